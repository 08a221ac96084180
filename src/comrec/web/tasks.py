"""What the processes of the crew do. Each task reports facts as it goes, ready for JSON."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from comrec import files, information, roi, targets
from comrec.codec import Codec
from comrec.learned.progressive import ProgressiveCodec
from comrec.measure import comparison, prefixes
from comrec.picture import Picture
from comrec.preparation import Preparation
from comrec.web import views
from comrec.web.settings import Settings

Facts = dict[str, Any]

READING = "reading"
"""The phase in which a task reads the file of a photograph; it comes to an end, or is ended."""
SCORES = ("psnr", "ssimulacra2", "ms_ssim")
"""In the order in which they are measured: the fast first."""


class Task(Protocol):
    """Something to do in another process; can be pickled."""

    def run(self) -> Iterator[Facts]:
        """Do it.

        Raises:
            ComrecError: it cannot be done.
        """


@dataclass(frozen=True)
class Source:
    """The file of a photograph.

    Attributes:
        path: where it lies.
        name: in errors.
        how: conversions.
    """

    path: str
    name: str
    how: Preparation


@lru_cache(maxsize=1)
def _read(source: Source) -> Picture:
    return files.read(Path(source.path).read_bytes(), source.name, source.how)


@dataclass(frozen=True)
class Open:
    """Read a photograph, and write its pixels to ``layer``."""

    source: Source
    layer: str

    def run(self) -> Iterator[Facts]:
        yield {"phase": READING}
        picture = _read(self.source)
        views.save(picture, self.layer)
        seen = views.load(self.layer)
        yield {"width": seen.width, "height": seen.height, "notes": list(picture.notes)}


@dataclass(frozen=True)
class Encode:
    """Make a file, and measure it.

    Attributes:
        source: the photograph.
        settings: of the file.
        file: where it is written.
        layer: where the pixels that comrec decodes are written; None for nowhere.
        scores: those of `SCORES` to measure.
    """

    source: Source
    settings: Settings
    file: str
    layer: str | None
    scores: tuple[str, ...]

    def run(self) -> Iterator[Facts]:
        yield {"phase": READING}
        picture = _read(self.source)
        yield {"phase": "encoding"}
        started = time.perf_counter()
        given, asked = picture, self.settings
        if asked.region is not None:
            given = roi.marked(picture, asked.region, asked.strength)
        point = targets.encode(asked.coder, given, asked.wanted).point
        seconds = time.perf_counter() - started
        Path(self.file).write_bytes(point.data)
        yield {
            "phase": "decoding",
            "bytes": len(point.data),
            "bpp": 8 * len(point.data) / (picture.width * picture.height),
            "quality": point.quality,
            "encode_s": seconds,
            "marked": files.parse(point.data).mark is not None,
            "shown": information.info(point.data).shown,
        }
        if not self.scores and self.layer is None:
            return
        started = time.perf_counter()
        decoded = files.decode(point.data)
        facts: Facts = {"decode_s": time.perf_counter() - started}
        if self.layer is not None:
            views.save(decoded, self.layer)
            facts["seen"] = True
        for name in (name for name in SCORES if name in self.scores):
            yield {"phase": name, **facts}
            value = comparison.score(name, decoded, picture)
            facts = {name: value}
            if value == math.inf:
                facts["exact"] = True  # JSON has no infinity
        yield facts


@dataclass(frozen=True)
class Plain:
    """Decode a file as other viewers do, and write the pixels, at full size, to ``layer``."""

    file: str
    layer: str
    size: tuple[int, int]

    def run(self) -> Iterator[Facts]:
        yield {"phase": "decoding"}
        views.save(files.parse(Path(self.file).read_bytes()).plain(), self.layer)
        seen = views.load(self.layer)
        stored = [seen.width, seen.height]
        if (seen.width, seen.height) != self.size:
            large = seen.to_pil().resize(self.size, Image.Resampling.BICUBIC)
            np.save(self.layer, np.atleast_3d(np.asarray(large)))
        yield {"stored": stored}


@dataclass(frozen=True)
class Importance:
    """Find which part of a photograph matters, and write it, (H, W, 1), to ``layer``.

    Attributes:
        pixels: those of the photograph, by `views.save`.
        region: as in `Settings`.
    """

    pixels: str
    region: str
    layer: str

    def run(self) -> Iterator[Facts]:
        yield {"phase": "importance"}
        upright = replace(views.load(self.pixels), alpha=None)
        views.save(roi.shown(upright, self.region, plain=True), self.layer)


@dataclass(frozen=True)
class Prefixes:
    """What the first bytes of a progressive file show; pixels to ``layer`` with percent."""

    source: Source
    coder: Codec
    file: str
    layer: str

    def run(self) -> Iterator[Facts]:
        yield {"phase": READING}
        assert isinstance(self.coder, ProgressiveCodec)
        picture, data = _read(self.source), Path(self.file).read_bytes()
        yield {"phase": "decoding"}
        found: list[Facts] = []
        for prefix in prefixes.of(self.coder, data, picture):
            facts: Facts = {"percent": prefix.percent, "bytes": prefix.bytes, "bpp": prefix.bpp}
            if prefix.decoded is not None and prefix.scores is not None:
                views.save(prefix.decoded, self.layer.format(prefix.percent))
                facts |= {"seen": True, **prefix.scores._asdict()}
            found.append(facts)
            yield {"prefixes": found}


@dataclass(frozen=True)
class Preview:
    """Encode and decode a part of a photograph, to show while a slider moves.

    Attributes:
        pixels: those of the photograph, by `views.save`.
        coder: the codec.
        quality: 0..100.
        box: the part, shown at its own size.
    """

    pixels: str
    coder: Codec
    quality: float
    box: views.Box

    def run(self) -> Iterator[Facts]:
        box = self.box
        part = views.load(self.pixels).cropped(box.left, box.top, box.width, box.height)
        data = targets.encode(self.coder, part, self.quality).point.data
        decoded = files.decode(data)
        whole = replace(box, left=0, top=0)
        yield {"png": views.png(decoded, whole), "bpp": 8 * len(data) / (box.width * box.height)}
