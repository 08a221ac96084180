"""Optimised encoders of standard JPEG files."""

from comrec.codec import register
from comrec.jpegtuning.deepn import DeepnJpeg
from comrec.jpegtuning.msroi import MsroiJpeg
from comrec.jpegtuning.tuned import TunedJpeg

for each in (TunedJpeg, MsroiJpeg, DeepnJpeg):
    register(each.id, each)

__all__ = ["DeepnJpeg", "MsroiJpeg", "TunedJpeg"]
