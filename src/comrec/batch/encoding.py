"""One picture file to another, as `comrec encode` and `comrec batch` do it."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from comrec import files, roi, targets
from comrec.codec import Codec
from comrec.errors import ComrecError, InputError
from comrec.preparation import STRICT, Preparation
from comrec.roi import AUTO, DEFAULT_STRENGTH
from comrec.targets import DEFAULT_QUALITY, Match, Target, Wanted
from comrec.text import as_json


@dataclass(frozen=True)
class Recipe:
    """How pictures are encoded.

    Attributes:
        coder: the codec.
        wanted: a quality, or a target.
        how: the conversions.
        roi: which part matters, a source of `comrec.roi` as text; None: all of it alike.
        roi_strength: see `comrec.roi.marked`.
    """

    coder: Codec
    wanted: Wanted = DEFAULT_QUALITY
    how: Preparation = STRICT
    roi: str | None = None
    roi_strength: float = DEFAULT_STRENGTH

    @property
    def settings(self) -> str:
        """A hash of all that decides what a picture's file is, networks and a mask's file included.

        Raises:
            InputError: the mask's file cannot be read.
            WeightsError: a network is missing.
        """
        facts: dict[str, Any] = {
            "codec": str(self.coder),
            "networks": self.coder.networks,
            "wanted": repr(self.wanted),
            "how": repr(self.how),
        }
        if self.roi is not None:
            facts |= {"roi": self.roi, "roi_strength": self.roi_strength}
            if self.roi == AUTO:
                facts["roi_network"] = roi.network.network().sha256
            elif (mask := Path(self.roi)).is_file():
                try:
                    facts["mask"] = sha256(mask.read_bytes())
                except OSError as error:
                    raise InputError(f"{mask}: {error.strerror or error}") from None
        return sha256(as_json(facts).encode())

    def encode(self, data: bytes, name: str, *, untrusted: bool = False) -> Encoded:
        """The file of a picture file.

        Args:
            name: of the picture file, in errors.
            untrusted: see `files.read`.
        Raises:
            ComrecError: it cannot be read or encoded.
        """
        picture = files.read(data, name, self.how, untrusted=untrusted)
        started = time.perf_counter()
        try:
            if self.roi is not None:
                picture = roi.marked(picture, self.roi, self.roi_strength)
            outcome = targets.encode(self.coder, picture, self.wanted)
        except ComrecError as error:
            raise error.naming(name) from None
        point = outcome.point
        target: dict[str, Any] | None = None
        if isinstance(self.wanted, Target):
            # JSON has no infinity: null stands for a lossless result.
            reached = None if math.isinf(outcome.value) else round(outcome.value, 5)
            target = asdict(self.wanted) | {"met": reached, "encodes": point.encodes}
        elif isinstance(self.wanted, Match):
            target = {"kind": "match", "value": str(self.wanted), "met": outcome.value}
            target["encodes"] = point.encodes
        return Encoded(
            point.data,
            point.quality,
            target,
            picture.width,
            picture.height,
            picture.notes,
            time.perf_counter() - started,
        )


@dataclass(frozen=True)
class Encoded:
    """What came of a picture file.

    Attributes:
        data: the new file.
        quality: of the codec.
        target: the target and what was met, for reports; None where a quality was wanted.
        width, height: pixels.
        notes: what reading changed or left out.
        seconds: without reading.
    """

    data: bytes
    quality: float
    target: dict[str, Any] | None
    width: int
    height: int
    notes: tuple[str, ...]
    seconds: float


def sha256(data: bytes) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
