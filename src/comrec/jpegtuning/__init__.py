"""An optimised encoder of standard JPEG files."""

from comrec.codec import register
from comrec.jpegtuning.tuned import TunedJpeg

register(TunedJpeg.id, TunedJpeg)

__all__ = ["TunedJpeg"]
