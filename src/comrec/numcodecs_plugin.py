"""Any codec here as a codec of numcodecs, and so of Zarr arrays whose chunks are pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numcodecs import compat
from numcodecs.abc import Codec

from comrec import codec as registry
from comrec import files
from comrec.errors import OptionError
from comrec.files import File
from comrec.picture import Picture


class Comrec(Codec):  # type: ignore[misc]  # numcodecs is not typed
    """Arrays of (H, W) or (H, W, 3) uint8 to files of a codec here, and back.

    numcodecs finds it under the id ``comrec``. Most codecs are lossy, and some give gray back as
    RGB: docs/pictures.md says which.

    Args:
        codec: an id of `comrec.codecs`, or one with options: "liu2018:metric=ms-ssim".
        quality: 0 (smallest) to 100 (best).
        options: of the codec, in place of those in the text.
    Raises:
        UnknownCodecError, OptionError.
    """

    codec_id = "comrec"

    def __init__(self, codec: str, quality: float = 50.0, **options: Any) -> None:
        self._coder = registry.parse(codec, **options)
        self.codec = str(self._coder)
        self.quality = registry.check_quality(quality)

    def encode(self, buf: Any) -> bytes:
        """The file of an array.

        Raises:
            OptionError: not such an array.
            UnsupportedPictureError: the codec cannot carry it.
        """
        try:
            samples = compat.ensure_ndarray(buf)
        except (TypeError, ValueError):
            raise OptionError(f"an array is needed, not {type(buf).__name__}") from None
        return self._coder.encode(Picture(np.ascontiguousarray(samples)), self.quality)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The array of a file of any codec here; in ``out``, where that is given.

        Args:
            out: a writable array or buffer of as many uint8 as the file holds.
        Raises:
            InputError: the file cannot be used.
            OptionError: ``buf`` is no buffer, or ``out`` is none of this kind and size. Nothing has
                been decoded then, if the file's header is right.
        """
        try:
            file = files.parse(compat.ensure_bytes(buf))
        except TypeError:
            raise OptionError(f"a file's bytes are needed, not {type(buf).__name__}") from None
        if out is None:
            return file.decode().pixels
        room = _room(out)
        _check(room, _sizes(file))
        pixels = file.decode().pixels
        _check(room, {pixels.nbytes})
        return compat.ndarray_copy(pixels, out)

    def get_config(self) -> dict[str, Any]:
        """What `numcodecs.get_codec` makes the same codec of."""
        return {"id": self.codec_id, "codec": self.codec, "quality": self.quality}


def _room(out: Any) -> int:
    """How many samples can be written to ``out``."""
    try:
        view = memoryview(out)
    except (TypeError, ValueError):  # ValueError: NumPy's dates
        raise OptionError(f"out must be an array or buffer, not {type(out).__name__}") from None
    if view.readonly:
        raise OptionError("out cannot be written to: it is read-only")
    if view.format != "B":
        raise OptionError(f"out must be uint8, not of the format {view.format}")
    return view.nbytes


def _sizes(file: File) -> set[int]:
    """The samples of a file by its header: of the picture, and where it is marked, of the plain."""
    header = file.codec.header(file.data)
    pixels = {header.width * header.height}
    if file.mark is not None:
        pixels.add(file.mark.width * file.mark.height)
    samples = 1 if header.channels <= 2 else 3
    return {count * samples for count in pixels}


def _check(room: int, held: set[int]) -> None:
    if room not in held:
        counts = " or ".join(f"{count:,}" for count in sorted(held))
        raise OptionError(f"the file holds {counts} samples, and out has room for {room:,}")
