"""The one contract, and the registry.

A codec turns a picture into a file and back. It is a value: its options are its fields.

    coder = comrec.codec.parse("liu2018:metric=ms-ssim")
    data = coder.encode(picture, quality=30)
    picture = coder.decode(data)

Other packages add codecs through the entry-point group ``comrec.codecs``: the name is the
codec's id, the object a callable that takes options and returns a `Codec`.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from comrec import options, regions
from comrec.errors import OptionError, UnknownCodecError, UnsupportedPictureError
from comrec.formats import detection
from comrec.formats.detection import Brand, Signature
from comrec.options import Option, option
from comrec.picture import Picture
from comrec.preparation.header import Header
from comrec.ratecontrol import TOLERANCE, OperatingPoint, QualitySearch
from comrec.regions import Region

ENTRY_POINTS = "comrec.codecs"

Encode = Callable[[float], bytes]
"""A quality to a file of one picture. It may also be able to estimate a file's size, or know what
decoding it gives: see `comrec.ratecontrol.Estimating` and `Decoding`."""


class Codec(ABC):
    """A picture to a file and back.

    A subclass is a frozen dataclass, so that codecs have a repr, are equal where their options are,
    and can be pickled. Options are fields made by `comrec.options.option`, and are checked when a
    codec is made.

    What is declared once, as class attributes or properties:

    Attributes:
        id: the name in the registry; stable for ever.
        summary: one line for people.
        extension: of the files it writes, with the dot.
        aliases: other extensions of the same files.
        container: the format of its files, as `comrec.formats.detection` names it: the id of the
            plain codec that decodes them too; "cmr" for learned codecs.
        signatures: what tells its files from others, where it is the plain codec of its format.
        extra: of this package that it needs installed, such as "heic"; None where none.
        modules: that must be importable for it to work.
        packages: distributions whose version decides, beside comrec's, what it writes and reads.
        networks: SHA-256 of those that decide it too.
        quality_step: between the qualities that a search for a target tries, counted down from
            100: nearer ones give the same file or nearly so. None where quality changes nothing.
        lossless: whether decoding gives every sample back, so that those that alpha hides are kept
            too; by default where quality changes nothing.
        bench_qualities: that span about 0.1 to 2 bits per pixel of photographs, where the codec
            reaches so far.
        uses_importance: whether `encode` makes use of `Picture.importance`; others refuse it.
        mark_overhead: bytes that a mark in its files costs beyond its own, at most; None where its
            files cannot carry one (see `with_mark`).
    """

    aliases: tuple[str, ...] = ()
    signatures: tuple[Signature | Brand, ...] = ()
    modules: tuple[str, ...] = ()
    mark_overhead: int | None = None

    def __post_init__(self) -> None:
        """Raises OptionError: an option is out of range."""
        options.check(self)

    @property
    @abstractmethod
    def id(self) -> str: ...

    @property
    @abstractmethod
    def summary(self) -> str: ...

    @property
    @abstractmethod
    def extension(self) -> str: ...

    @property
    def container(self) -> str:
        return self.id

    @property
    def extra(self) -> str | None:
        return None

    @property
    def packages(self) -> tuple[str, ...]:
        return ()

    @property
    def networks(self) -> tuple[str, ...]:
        return ()

    @property
    def quality_step(self) -> float | None:
        return 1.0

    @property
    def lossless(self) -> bool:
        return self.quality_step is None

    @property
    def bench_qualities(self) -> tuple[float, ...]:
        return (5.0, 15.0, 27.0, 40.0, 53.0, 66.0, 79.0, 92.0)

    @property
    def uses_importance(self) -> bool:
        return False

    @property
    def available(self) -> bool:
        """Whether all that it needs is installed."""
        return all(map(_importable, self.modules))

    @property
    def options(self) -> tuple[Option, ...]:
        """The options that it has."""
        return options.options_of(self)

    def __str__(self) -> str:
        """The text form: the id, and the options that are not at their defaults; see `parse`."""
        values = ((each, getattr(self, each.name)) for each in self.options)
        given = [f"{o.name}={o.format(value)}" for o, value in values if value != o.default]
        return ":".join([self.id, *given])

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

    def encoder(self, picture: Picture) -> Encode:
        """`encode` of one picture, as a function of quality, for a search that calls it often.

        Override it where some work does not depend on quality, and let `encode` call it.

        Raises:
            UnsupportedPictureError, MissingExtraError: as `encode`; here or in the call.
        """
        return lambda quality: self.encode(picture, quality)

    @abstractmethod
    def decode(self, data: bytes, *, partial: bool = False) -> Picture:
        """The picture of a file.

        Args:
            partial: take what is there of a file that is cut short: a picture of lower quality, in
                codecs whose files allow it. The others raise as without it.
        Raises:
            InputError: the file cannot be used: damaged, or of another format.
            MissingExtraError: `extra` is not installed.
        """

    def decode_region(self, data: bytes, region: Region, *, partial: bool = False) -> Picture:
        """A part of a file's picture, the same pixels as of the whole. By default the whole is
        decoded, with a note; override it where a part takes less time or memory.

        Raises:
            OptionError: the region lies outside of the picture.
            InputError, MissingExtraError: as `decode`.
        """
        return self.decode(data, partial=partial).part(region).noting(regions.whole(self.id))

    def header(self, data: bytes) -> Header:
        """What a file's header says of its picture. By default, the whole file is decoded for it.

        Raises:
            InputError: the file cannot be used.
            MissingExtraError: `extra` is not installed.
        """
        picture = self.decode(data)
        channels = (1 if picture.is_gray else 3) + (picture.alpha is not None)
        return Header(picture.width, picture.height, channels=channels)

    def encode_within(
        self, picture: Picture, budget: int, tolerance: float = TOLERANCE
    ) -> OperatingPoint:
        """The best file of at most ``budget`` bytes; no smaller than it need be (`ratecontrol`).

        Args:
            tolerance: a search among files ends within this fraction below the budget.
        Raises:
            TargetError: the smallest file is larger.
            UnsupportedPictureError: the codec cannot carry this picture.
        """
        return self.search(picture).within(budget, self.id, tolerance)

    def search(self, picture: Picture) -> QualitySearch:
        """A search among the files of a picture by quality."""
        pixels = picture.width * picture.height
        return QualitySearch(self.encoder(picture), self.quality_step, pixels)

    def check(self, picture: Picture) -> None:
        """Refuse what the codec cannot carry; to be called by `encode`, and extended.

        Raises:
            UnsupportedPictureError: naming what helps.
        """
        if picture.importance is not None:
            self.check_importance()

    def check_importance(self) -> None:
        """Refuse importance where the codec makes no use of it.

        Raises:
            UnsupportedPictureError: naming the codecs that do.
        """
        if not self.uses_importance:
            raise UnsupportedPictureError(
                f"{self.id} cannot make one part of a picture better than others: leave the "
                f"importance map (--roi) out, or choose a codec that can: {', '.join(_weighing())}"
            )

    def with_mark(self, data: bytes, mark: bytes) -> bytes:
        """One of its files with comrec's mark (`formats.mark`) where its readers do not mind."""
        raise NotImplementedError(f"{self.id} files carry no mark")

    def mark_in(self, data: bytes) -> bytes | None:
        """The mark's bytes in a file of its format; None where there is none.

        Raises:
            DamagedFileError: the structure of the file is broken.
        """
        return None


def check_quality(quality: float) -> float:
    """A quality as a float.

    Raises:
        OptionError: it is no number in 0..100.
    """
    found = options.number(quality)
    if found is None or not 0 <= found <= 100:
        wanted = "in 0..100" if found is not None else "a number in 0..100"
        raise OptionError(f"quality must be {wanted}, not {options.shown(quality)}")
    return found


def effort_option(help: str = "1 (fast) to 10 (small)") -> Any:
    """The option that many codecs have: how long to work for a smaller file."""
    return option(7, help, range(1, 11))


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a package around it is missing or broken
        return False


Factory = Callable[..., Codec]
_factories: dict[str, Factory] = {}


def register(codec_id: str, factory: Factory) -> None:
    """Add a codec; ``factory(**options)`` makes it. The last registration of an id wins."""
    _factories[codec_id] = factory
    detection.register(codec_id, factory().signatures)


def unregister(codec_id: str) -> None:
    """Take a codec out again; nothing happens where there is none."""
    if _factories.pop(codec_id, None) is not None:
        detection.unregister(codec_id)


def registered() -> list[str]:
    """The ids of the codecs that are loaded: of other packages' only those that were asked for."""
    return list(_factories)


def names() -> list[str]:
    """The ids of all codecs, ours first. To ask for one of another package imports that."""
    found = {point.name for point in entry_points(group=ENTRY_POINTS)}
    return [*_factories, *sorted(found - set(_factories))]


def get(codec_id: str, **given: Any) -> Codec:
    """The codec of an id with options, as values.

    Raises:
        UnknownCodecError: no such codec, or it is of another package and cannot be loaded.
        OptionError: it has no such option, or not with that value.
    """
    factory = _factories.get(codec_id)
    if factory is None:
        points = entry_points(group=ENTRY_POINTS, name=codec_id)
        if not points:
            raise UnknownCodecError(f"no codec {codec_id!r}; there are: {', '.join(names())}")
        factory = _loaded(next(iter(points)))
        register(codec_id, factory)
    known = inspect.signature(factory).parameters if given else {}
    for name in given:
        if name not in known:
            raise OptionError(
                f"{codec_id} has no option {name!r}; it has: {_listed(factory())}{others(name)}"
            )
    return factory(**given)


def _loaded(point: EntryPoint) -> Factory:
    """The factory of a codec of another package, which makes what `Codec` promises.

    Raises:
        UnknownCodecError: it does not; says which package it is of, and why.
    """
    try:
        factory: Factory = point.load()
        why = _wrong(factory(), point.name)
        if why is None:
            inspect.signature(factory)  # as `get` asks for it
    except (Exception, SystemExit) as error:  # whatever code that is not ours raises
        why = f"{type(error).__name__}: {error}".removesuffix(": ")
    if why is None:
        return factory
    package = f" of the package {point.dist.name} {point.dist.version}" if point.dist else ""
    why = " ".join(why.split())  # one line
    raise UnknownCodecError(
        f"the codec {point.name!r}{package} cannot be loaded ({why}); update or remove that package"
    )


def _wrong(coder: Any, codec_id: str) -> str | None:
    """What is wrong with the declarations of a new codec; None where nothing is."""
    if not isinstance(coder, Codec):
        return f"{type(coder).__name__} is no comrec.Codec"
    if coder.id != codec_id:
        return f"its id is {options.shown(coder.id)}"
    for name in ("summary", "extension", "container"):
        if not isinstance(getattr(coder, name), str):
            return f"its {name} is no text"
    for signature in coder.signatures:
        bytes_ = signature.name if isinstance(signature, Brand) else signature.magic
        if not isinstance(bytes_, bytes):
            return "its signatures are no bytes"
    str(coder)  # asks for the options
    return None


def parse(text: str, defaults: Mapping[str, Any] | None = None, **given: Any) -> Codec:
    """The codec of its text form: ``id`` or ``id:option=value:option=value``.

    The one spelling everywhere: ``jpeg``, ``bpg:subsampling=4:4:4:bit_depth=10``.

    Args:
        defaults: options where the text names none; those that the codec lacks are left out.
        given: options as values, beside those of the text.
    Raises:
        UnknownCodecError: as `get`.
        OptionError: it has no such option, or not with that value; or one is given twice.
    """
    if not isinstance(text, str):
        raise OptionError(f"a codec is given by its id, such as 'jpeg', not {options.shown(text)}")
    codec_id, *items = re.split(r":(?=\w+=)", text.strip())
    declared = {each.name: each for each in get(codec_id).options}
    values: dict[str, Any] = {}
    for item in items:
        name, _, value = item.partition("=")
        if name in values or name in given:
            raise OptionError(f"{text}: {name} is given twice")
        values[name] = declared[name].parse(value) if name in declared else value
    assumed = {
        name: value
        for name, value in (defaults or {}).items()
        if name in declared and name not in values and name not in given
    }
    return get(codec_id, **assumed, **values, **given)


def _weighing() -> list[str]:
    """The ids of the codecs that make use of importance."""
    return [codec_id for codec_id, factory in _factories.items() if factory().uses_importance]


def others(name: str) -> str:
    """The end of an error about a codec without an option: those that have it, if there are any."""
    having = [
        codec_id
        for codec_id, factory in _factories.items()
        if name in (each.name for each in factory().options)
    ]
    return f"; codecs with it: {', '.join(having)}" if having else ""


def _listed(coder: Codec) -> str:
    return ", ".join(f"{each.name} ({each.values})" for each in coder.options) or "none"
