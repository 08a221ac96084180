"""Plain JPEG for networks that look at pictures, after DeepN-JPEG.

Z. Liu, T. Liu, W. Wen, L. Jiang, J. Xu, Y. Wang, G. Quan, "DeepN-JPEG: A Deep Neural Network
Favorable JPEG-based Image Compression Framework", DAC 2018: quantisation tables are made for a data
set and its network instead of for eyes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from comrec.codec import check_quality, effort_option
from comrec.jpegtuning import tableset
from comrec.jpegtuning.tableset import Float, Tables
from comrec.jpegtuning.tuned import TunedEncoder
from comrec.options import option
from comrec.picture import Picture
from comrec.standard.chroma import Sampling, Subsampling, subsampling_option
from comrec.standard.jpeg import JpegEncoder


@dataclass(frozen=True)
class Scaled:
    """Tables by quality, and what the trellis does with them.

    A step says how much an error matters: steps of equal harm make errors of equal harm where each
    is counted in steps.
    """

    of: Tables
    lmbda, masking, relative = 0.05, 0.0, True

    def luma_step(self, quality: float) -> float:
        return 1.0

    def tables(self, quality: float, subsampling: Sampling) -> tuple[Float, Float, Float]:
        return self.of.at(quality)


@dataclass(frozen=True)
class DeepnJpeg(JpegEncoder):
    """JPEG with quantisation tables made for a classifier; any JPEG decoder reads the files.

    The trellis of `jpeg-tuned`, which here counts errors in steps.

    Attributes:
        effort: 1..10; below 4 a dead zone replaces the trellis.
        tables: "imagenet", the package's, for photographs seen by ImageNet's classifiers; or a JSON
            file by `comrec tables design`, which is read as the codec is made.
        subsampling: chroma subsampling, "4:2:0", "4:4:4", or "auto": the better one for PSNR.
    Raises:
        OptionError: an option is out of range.
        InputError: the file of tables cannot be used.
    """

    id = "deepn-jpeg"
    summary = "plain JPEG, tables made for classifiers instead of eyes"
    packages = ("Pillow", "mozjpeg-lossless-optimization")
    quality_step = 0.1
    bench_qualities = (2, 6, 11, 20, 35, 58, 78, 90)

    effort: int = effort_option("below 4 a dead zone replaces the trellis")
    tables: str = option("imagenet", "imagenet, or a file by `comrec tables design`")
    subsampling: Subsampling = subsampling_option("4:2:0")
    tuning: Scaled = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "tuning", Scaled(tableset.load(self.tables)))

    @property
    def networks(self) -> tuple[str, ...]:
        return (self.tuning.of.sha256,)

    def encode(self, picture: Picture, quality: float) -> bytes:
        return self.encoder(picture)(check_quality(quality))

    def encoder(self, picture: Picture) -> TunedEncoder:
        self.check(picture)
        return TunedEncoder(self, picture)
