"""Better encoders of plain JPEG: every viewer opens what they write."""

from comrec.codec import register
from comrec.jpegtuning.tuned import TunedJpeg

register(TunedJpeg.id, TunedJpeg)

__all__ = ["TunedJpeg"]
