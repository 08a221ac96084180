"""WebP, lossy (VP8 key frame, 4:2:0)."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from comrec.errors import UnsupportedPictureError
from comrec.formats import webp
from comrec.formats.detection import Signature
from comrec.picture import Picture
from comrec.standard.pillow import PillowCodec

_MARK = b"CMRC"
_ALPHA = b"ALPH"
_MODES_TOO_LARGE = "encoding error 6"
"""Of libwebp: the first partition of VP8, 19 bits long, overflows; from about 150 megapixels on."""

_BEST = 6
"""The method takes 40 times as long for alpha as for colours, and saves 3 to 25 % of such files."""
_MOST_ALPHA = 8


class _CodedAlpha:
    """Chunks of alpha by that method, of the pictures coded last: searches and rounds code a
    picture many times, and its alpha is coded alike at every quality."""

    def __init__(self) -> None:
        self._chunks: dict[bytes, bytes] = {}
        self._lock = threading.Lock()

    def get(self, key: bytes) -> bytes | None:
        with self._lock:
            return self._chunks.get(key)

    def keep(self, key: bytes, chunk: bytes) -> None:
        with self._lock:
            self._chunks[key] = chunk
            if len(self._chunks) > _MOST_ALPHA:
                del self._chunks[next(iter(self._chunks))]


_coded_alpha = _CodedAlpha()


@dataclass(frozen=True)
class Webp(PillowCodec):
    """WebP by libwebp. Effort 1..10 is method effort - 1, at most 6."""

    id = "webp"
    summary = "WebP, lossy"
    extension = ".webp"
    signatures = (Signature(b"WEBP", 8),)
    quality_step = 0.1
    bench_qualities = (0, 4, 14, 32, 58, 78, 88, 94)
    mark_overhead = 26
    pillow_format = "WEBP"
    max_side = 16383

    def save_options(self, picture: Picture, quality: float) -> dict[str, Any]:
        # Where not exact, libwebp makes hidden blocks flat: fewer bytes still than smooth ones.
        method = min(_BEST, self.effort - 1)
        return {"quality": quality, "method": method, "exact": picture.exact}

    def saved(self, picture: Picture, options: dict[str, Any]) -> bytes:
        if picture.alpha is None or options["method"] < _BEST:
            return self._saved(picture, options)
        hashed = hashlib.sha256(repr(picture.alpha.shape).encode())
        hashed.update(np.ascontiguousarray(picture.alpha).data)
        key = hashed.digest()
        alpha = _coded_alpha.get(key)
        if alpha is not None:
            data = self._saved(picture, {**options, "alpha_quality": 0})  # quickly
            return webp.replaced(data, _ALPHA, alpha)
        data = self._saved(picture, options)
        alpha = webp.find(data, _ALPHA)
        if alpha is not None:  # some is not opaque
            _coded_alpha.keep(key, alpha)
        return data

    def _saved(self, picture: Picture, options: dict[str, Any]) -> bytes:
        try:
            return super().saved(picture, options)
        except UnsupportedPictureError as error:
            if _MODES_TOO_LARGE not in str(error):
                raise
            raise UnsupportedPictureError(
                f"webp cannot store {picture.width}x{picture.height} pixels like these: how blocks "
                "are predicted would take more than 512 kB; choose another codec"
            ) from None

    def with_mark(self, data: bytes, mark: bytes) -> bytes:
        return webp.append(data, _MARK, mark)

    def mark_in(self, data: bytes) -> bytes | None:
        return webp.find(data, _MARK)
