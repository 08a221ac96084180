"""Optimised encoders of standard JPEG files."""

from comrec.codec import register
from comrec.jpegtuning.msroi import MsroiJpeg
from comrec.jpegtuning.tuned import TunedJpeg

for each in (TunedJpeg, MsroiJpeg):
    register(each.id, each)

__all__ = ["MsroiJpeg", "TunedJpeg"]
