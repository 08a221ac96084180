"""Standard codecs between two networks, and the mark inside their files."""

from typing import Any

from comrec.codec import register
from comrec.inference import store
from comrec.wrapped import comrec, jiang2017

_LOSSY = ("jpeg", "jpeg2000", "webp", "avif", "bpg", "jpegxl", "heic")
_PAYLOADS: dict[str, dict[str, Any]] = {
    # Before a network, fewer coefficients are worth dropping than in a file shown as it is.
    "jpeg": {"payload_codec": "jpeg-tuned", "trade": 0.12},
    # Chroma at full size and finer samples: 8 % fewer bytes at the same RGB PSNR.
    "bpg": {"subsampling": "4:4:4", "bit_depth": 10},
}

# The compact picture's chroma is at half of each side already; halving it again costs more
# than it saves from quality 40 up.
_COMPACT_OPTIONS: dict[str, dict[str, Any]] = {
    "jpeg": {"subsampling": "4:4:4"},
    "bpg": {"subsampling": "4:4:4"},
}

# Where a codec has no network of its own, JPEG's serves.
if store.find("comrec", "jpeg", "rec", 1) is not None:
    for _base in _LOSSY:
        _ours = comrec.around(_base, **_PAYLOADS.get(_base, {}))
        register(_ours.id, _ours)
if store.find("jiang2017", "jpeg", "rec", 2) is not None:
    for _base in (*_LOSSY, "png"):
        _published = jiang2017.around(_base, **_COMPACT_OPTIONS.get(_base, {}))
        register(_published.id, _published)
