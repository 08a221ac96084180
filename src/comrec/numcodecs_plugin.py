"""Any codec here as a codec of numcodecs, and so of Zarr arrays whose chunks are pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numcodecs import compat
from numcodecs.abc import Codec

from comrec import codec as registry
from comrec import files
from comrec.errors import OptionError
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
        self.quality = quality

    def encode(self, buf: Any) -> bytes:
        """The file of an array.

        Raises:
            OptionError: not such an array, or quality out of range.
            UnsupportedPictureError: the codec cannot carry it.
        """
        samples = compat.ensure_ndarray(buf)
        return self._coder.encode(Picture(np.ascontiguousarray(samples)), self.quality)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The array of a file of any codec here; in ``out``, where that is given.

        Raises:
            InputError: the file cannot be used.
            OptionError: ``out`` is of another size.
        """
        pixels = files.decode(compat.ensure_bytes(buf)).pixels
        if out is not None and memoryview(out).nbytes != pixels.nbytes:
            raise OptionError(
                f"the file holds {pixels.shape} uint8; out has {memoryview(out).nbytes:,} bytes"
            )
        return compat.ndarray_copy(pixels, out)

    def get_config(self) -> dict[str, Any]:
        """What `numcodecs.get_codec` makes the same codec of."""
        return {"id": self.codec_id, "codec": self.codec, "quality": self.quality}
