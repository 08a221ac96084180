"""Headers of Photoshop files (PSD)."""

from __future__ import annotations

import struct

MAGIC = b"8BPS"

MODES = {
    0: "bitmap", 1: "gray", 2: "palette", 3: "RGB", 4: "CMYK", 7: "multichannel", 8: "duotone",
    9: "Lab",
}  # fmt: skip
"""Names of colour modes."""

_COLOURS = {0: 1, 1: 1, 2: 1, 3: 3, 4: 4, 7: 1, 8: 1, 9: 3}


def header(data: bytes) -> tuple[int, int, int]:
    """Channels, bits per sample, and the number of the colour mode.

    Raises:
        struct.error: the file is cut off.
    """
    channels, bits, mode = struct.unpack_from(">H8xHH", data, 12)
    return channels, bits, mode


def notes(data: bytes) -> tuple[str, ...]:
    """What Pillow leaves out of the merged picture, as sentences without a full stop.

    Pillow takes a fourth channel of RGB as alpha, and no other.
    """
    channels, _, mode = header(data)
    left = channels - _COLOURS.get(mode, channels)
    if left <= 0 or (MODES.get(mode) == "RGB" and left == 1):
        return ()
    what = "one further channel is" if left == 1 else f"{left} further channels are"
    return (f"{what} left out: only the colours of this kind of PSD are read",)
