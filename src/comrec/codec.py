"""The one contract, and the registry.

A codec turns a picture into a file and back:

    codec = comrec.codec.get("comrec-jpeg", effort=7)
    data = codec.encode(picture, quality=30)
    picture = codec.decode(data)

Other packages add codecs through the entry-point group ``comrec.codecs``: the name is the
codec's id, the object a callable that takes options and returns a `Codec`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from comrec.errors import OptionError, UnknownCodecError
from comrec.picture import Picture
from comrec.preparation import Kind
from comrec.ratecontrol import Fit, Trials, met

ENTRY_POINTS = "comrec.codecs"


class Codec(ABC):
    """A picture to a file and back.

    Attributes:
        id: the name in the registry; stable for ever.
        summary: one line for people.
        extension: of the files it writes, with the dot.
        lossless: whether decode gives back the same pixels.
        extra: of this package that it needs installed, such as "heic"; None where none.
        step: between the qualities that a search for a target tries, counted down from 100:
            nearer ones give the same file or nearly so. Infinite where quality changes nothing.
    """

    id: str
    summary: str
    extension: str
    lossless: bool = False
    extra: str | None = None
    step: float = 1.0

    @abstractmethod
    def encode(self, picture: Picture, quality: float) -> bytes:
        """The file of a picture.

        Args:
            quality: 0 (smallest) to 100 (best); what a step means is the codec's own.
        Raises:
            OptionError: quality out of range.
            UnsupportedPictureError: the codec cannot carry this picture.
            MissingExtraError: `extra` is not installed.
        """

    @abstractmethod
    def decode(self, data: bytes) -> Picture:
        """The picture of a file.

        Raises:
            InputError: the file cannot be used.
            MissingExtraError: `extra` is not installed.
        """

    def size(self, data: bytes) -> tuple[int, int]:
        """(width, height) of a file's picture; codecs whose header says it do not decode.

        Raises:
            InputError: the file cannot be used.
        """
        picture = self.decode(data)
        return picture.width, picture.height

    def kind(self, data: bytes) -> Kind:
        """What a file's header says of its picture: `decode` rounds, takes the first frame, ...

        Raises:
            InputError: the file cannot be used.
        """
        return Kind()

    def encode_within(self, picture: Picture, budget: int) -> Fit:
        """The best file of at most ``budget`` bytes; no smaller than it need be (`ratecontrol`).

        Raises:
            TargetError: the smallest file is larger.
            UnsupportedPictureError: the codec cannot carry this picture.
        """
        pixels = picture.width * picture.height
        trials = Trials(lambda quality: self.encode(picture, quality), self.step, pixels)
        return met(trials, budget, self.id)


def check_quality(quality: float) -> float:
    """Pass a quality on if it is in 0..100."""
    if not 0 <= quality <= 100:
        raise OptionError(f"quality must be in 0..100, not {quality:g}")
    return float(quality)


def check_effort(effort: int) -> int:
    """Pass an effort on if it is in 1..10."""
    if effort not in range(1, 11):
        raise OptionError(f"effort must be in 1..10, not {effort}")
    return effort


Factory = Callable[..., Codec]
_factories: dict[str, Factory] = {}


def register(codec_id: str, factory: Factory) -> None:
    """Add a codec; ``factory(**options)`` makes it. The last registration of an id wins."""
    _factories[codec_id] = factory


def names() -> list[str]:
    """The ids of all codecs, ours first."""
    found = {point.name for point in entry_points(group=ENTRY_POINTS)}
    return [*_factories, *sorted(found - set(_factories))]


def get(codec_id: str, **options: Any) -> Codec:
    """The codec of an id.

    Raises:
        UnknownCodecError: no such codec.
        OptionError: it has no such option.
    """
    factory = _factories.get(codec_id)
    if factory is None:
        points = entry_points(group=ENTRY_POINTS, name=codec_id)
        if not points:
            raise UnknownCodecError(f"no codec {codec_id!r}; there are: {', '.join(names())}")
        factory = next(iter(points)).load()
        register(codec_id, factory)
    known = inspect.signature(factory).parameters
    for option in options:
        if option not in known:
            allowed = ", ".join(known) or "none"
            raise OptionError(f"{codec_id} has no option {option!r}; it has: {allowed}")
    return factory(**options)
