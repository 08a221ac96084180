"""Standard codecs between two networks, and the mark inside their files."""

from functools import partial

from comrec import codec
from comrec.sandwich.jiang2017 import Jiang2017
from comrec.sandwich.our_jpeg import ComrecJpeg
from comrec.sandwich.our_jpegxl import ComrecJpegxl
from comrec.sandwich.ours import Comrec, ComrecSubsampled

__all__ = ["Comrec", "Jiang2017"]

# Around every standard codec whose files carry a mark. Where a codec has no network of its own,
# JPEG's serves. A lossless codec leaves nothing to repair at scale 1. The networks are not looked
# for here: without them, the standard codecs still have to work.
_BASES = [
    (base, coder)
    for base in codec.registered()
    for coder in [codec.get(base)]
    if coder.mark_overhead is not None and coder.container == base
]
for _base, _coder in _BASES:
    if _coder.quality_step is not None:
        _subsamples = any(option.name == "subsampling" for option in _coder.options)
        _ours = ComrecSubsampled if _subsamples else Comrec
        codec.register(f"comrec-{_base}", partial(_ours, _base))
codec.register("comrec-jpeg", ComrecJpeg)
codec.register("comrec-jpegxl", ComrecJpegxl)
for _base, _ in _BASES:
    codec.register(f"jiang2017-{_base}", partial(Jiang2017, _base))
