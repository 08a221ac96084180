"""JPEG XL between our networks: the coefficients of `comrec-jpeg`, coded by JPEG XL."""

from __future__ import annotations

from dataclasses import dataclass, replace

from comrec.codec import Encode, check_quality, effort_option
from comrec.errors import TargetError
from comrec.inference.store import Size
from comrec.picture import Picture
from comrec.preparation import orientation
from comrec.ratecontrol import TOLERANCE, OperatingPoint, QualitySearch, too_small
from comrec.sandwich import marked, recompression
from comrec.sandwich.contest import CLEAR_WIN, Candidate, Contest, Once, better, candidate
from comrec.sandwich.our_jpeg import EFFORT, ComrecJpeg, Tune, network_option, tune_option
from comrec.sandwich.ours import Comrec
from comrec.standard.chroma import Subsampling, subsampling_option
from comrec.standard.jpeg import Jpeg

_SHARE = 0.88
"""Bytes of a recompressed file relative to the JPEG file's, roughly."""

_TRIES = 3
"""For so many sizes at most the best JPEG file is made, to find the one for a given size."""

_LARGER = 1.1
"""A file of JPEG XL alone of up to so many times a budget tells whether one within it could win."""


@dataclass(frozen=True)
class ComrecJpegxl(Comrec):
    """The file of `ComrecJpeg` with its coefficients coded by JPEG XL, whose entropy coder needs
    about an eighth fewer bytes; or the best file of JPEG XL alone of that size. Quality is
    `ComrecJpeg`'s.

    JPEG cannot carry all pictures that JPEG XL can: those with alpha, and larger ones. They are
    coded by JPEG XL, in the loop with its own RecCNN, and quality is JPEG XL's; options of JPEG
    have no effect.

    Attributes:
        effort: that of `ComrecJpeg`, and of JPEG XL alone.
        subsampling, tune, network: see `ComrecJpeg`.
    """

    uses_importance = True

    base: str = "jpegxl"
    effort: int = effort_option(EFFORT)
    subsampling: Subsampling = subsampling_option()
    tune: Tune = tune_option()
    network: Size = network_option()

    @property
    def jpeg(self) -> ComrecJpeg:
        """Whose coefficients it codes."""
        return ComrecJpeg(
            effort=self.effort,
            scale=self.scale,
            subsampling=self.subsampling,
            tune=self.tune,
            network=self.network,
        )

    @property
    def summary(self) -> str:
        return "comrec-jpeg's coefficients, coded by JPEG XL"

    @property
    def packages(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.jpeg.packages, *super().packages)))

    @property
    def bench_qualities(self) -> tuple[float, ...]:
        return self.jpeg.bench_qualities

    def encoder(self, picture: Picture) -> Encode:
        if _beyond_jpeg(picture):
            return super().encoder(picture)
        return _Encoder(self, picture)

    def encode_within(
        self, picture: Picture, budget: int, tolerance: float = TOLERANCE
    ) -> OperatingPoint:
        if _beyond_jpeg(picture):
            return super().encode_within(picture, budget, tolerance)
        return _Encoder(self, picture).within(budget, tolerance)


def _beyond_jpeg(picture: Picture) -> bool:
    return picture.alpha is not None or max(picture.width, picture.height) > Jpeg.max_side


class _Encoder:
    """The encoder of one picture."""

    def __init__(self, coder: ComrecJpegxl, picture: Picture) -> None:
        self._coder = coder
        self._picture = picture
        self._shell = recompression.shell(picture.metadata)
        self._sources = coder.jpeg.sources(orientation.upright(picture).bare)
        self._alone = Once(coder.plain.encoder(replace(picture, importance=None)), {})
        self._last: Candidate | None = None

    def __call__(self, quality: float) -> bytes:
        found = self._recompressed(self._contest().at(check_quality(quality)))
        return self._chosen(found, len(found.data), self._search()).data

    def decoded(self, data: bytes) -> Picture:
        """See `comrec.ratecontrol.Decoding`."""
        if self._last is not None and self._last.data == data:
            return self._last.picture
        return self._coder.decode(data)

    def within(self, budget: int, tolerance: float) -> OperatingPoint:
        """See `comrec.codec.Codec.encode_within`."""
        best: Candidate | None = None
        sizes: list[int] = []
        contest, alone = self._contest(), self._search()
        aim = round(budget / self._share(budget))
        for _ in range(_TRIES):
            try:
                found = contest.within(aim, tolerance)
            except TargetError as error:
                coarsest = self._unmarked(self._sources.unmarked(0.0), 0.0)
                sizes.append(len(coarsest.data))
                if sizes[-1] > budget:
                    break
                best = better(coarsest, best)
                found = contest.within(error.smallest, tolerance)
            new = self._recompressed(found)
            sizes.append(len(new.data))
            if sizes[-1] <= budget:
                best = better(new, best)
            if budget * (1 - tolerance) <= sizes[-1] <= budget or sizes[-1] in sizes[:-1]:
                break
            aim = round(len(found.data) * (1 - tolerance / 4) * budget / sizes[-1])
        if best is not None:
            best = self._chosen(best, budget, alone)
        else:
            point = alone.largest_within(budget, tolerance=tolerance)
            if point is None:
                smallest = min(alone.smallest, *sizes)
                raise too_small(budget, self._coder.id, smallest)
            best = self._shown(point)
        encodes = self._sources.encodes + len(self._alone.files)
        return OperatingPoint(best.data, best.quality, encodes)

    def _share(self, budget: int) -> float:
        """Bytes of a recompressed file relative to the JPEG file's, near a budget: of one for
        which no network runs."""
        rough = self._sources.rough
        search = QualitySearch(rough, self._coder.quality_step, self._sources.pixels)
        near = search.largest_within(round(budget / _SHARE)) or search.at(0.0)
        data = recompression.recompressed(near.data, self._shell)
        return len(data) / len(near.data)

    def _contest(self) -> Contest:
        return Contest(self._sources, self._coder.scale, self._coder.id)

    def _search(self) -> QualitySearch:
        """Among the files of JPEG XL alone."""
        return QualitySearch(self._alone, self._coder.plain.quality_step, self._sources.pixels)

    def _recompressed(self, found: Candidate) -> Candidate:
        """The JPEG XL file of a JPEG file, which has the same mark."""
        picture = self._picture
        mark = marked.mark_of(Jpeg(), found.data)
        if mark is None:
            return self._unmarked(found.data, found.quality)
        mark = replace(mark, width=picture.width, height=picture.height, recompressed=True)
        data = recompression.recompressed(found.data, self._shell)
        data = self._coder.plain.with_mark(data, mark.pack())
        shown = orientation.turned_back(replace(found.picture, metadata=picture.metadata)).bare
        return replace(found, data=data, picture=shown)

    def _unmarked(self, jpeg: bytes, quality: float) -> Candidate:
        """The JPEG XL file of a plain JPEG file."""
        data = recompression.recompressed(jpeg, self._shell)
        return self._shown(OperatingPoint(data, quality, 0))

    def _chosen(self, ours: Candidate, budget: int, alone: QualitySearch) -> Candidate:
        """The best of a file and those of JPEG XL alone within a budget.

        Without more encodes where one that is not smaller is clearly worse.
        """
        self._last = ours
        near = alone.largest_within(round(budget * _LARGER), tolerance=1 - 1 / _LARGER)
        if near is None:
            return ours
        if len(near.data) > budget and self._shown(near).psnr < ours.psnr - CLEAR_WIN:
            return ours
        # Sizes are not monotone: what is found depends on where the search begins.
        points = self._search().contenders(budget)
        self._last = max([ours, *map(self._shown, points)], key=lambda each: each.psnr)
        return self._last

    def _shown(self, point: OperatingPoint) -> Candidate:
        shown = self._coder.plain.decode(point.data).bare
        return candidate(point.data, point.quality, shown, self._picture)
