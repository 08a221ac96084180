"""BPG (F. Bellard, specification 0.9.5): HEVC intra pictures in a small container.

Container and HEVC headers are implemented here. HEVC itself is coded by x265 and decoded by
FFmpeg, both through PyAV (extra ``bpg``), which is imported when needed.
"""

from comrec.standard.bpg.codec import Bpg

__all__ = ["Bpg"]
