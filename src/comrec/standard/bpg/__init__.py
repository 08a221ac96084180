"""BPG (F. Bellard, specification 0.9.5): HEVC intra pictures in a small container.

The container and the rewriting of HEVC's headers are ours; HEVC itself is PyAV's x265 and
FFmpeg, the extra ``bpg``, imported when a picture is coded or decoded.
"""

from comrec.standard.bpg.codec import Bpg

__all__ = ["Bpg"]
