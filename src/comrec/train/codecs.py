"""Real codecs inside the training loop."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from comrec.codec import Codec
from comrec.picture import Picture


def through_codec(coder: Codec, compact: Tensor, quality: float) -> tuple[Tensor, float]:
    """Code a batch of RGB crops with a real codec, as one tall picture.

    Args:
        compact: (N, 3, h, w) in 0..1; h and w multiples of 16 keep the crops apart, but for the
            chroma filter at their borders.
    Returns:
        decoded, as compact; and the file's bits.
    """
    n, channels, height, width = compact.shape
    pixels = compact.detach().mul(255).round().clamp(0, 255).to(torch.uint8)
    tall = pixels.permute(0, 2, 3, 1).reshape(n * height, width, channels).cpu().numpy()
    data = coder.encode(Picture(np.ascontiguousarray(tall)), quality)
    decoded = torch.from_numpy(coder.decode(data).rgb.copy())
    back = decoded.view(n, height, width, channels).permute(0, 3, 1, 2)
    return back.to(compact.device).float().div(255), 8.0 * len(data)


def jpeg_mosaic(compact: Tensor, quality: int) -> Tensor:
    """Code a batch of gray crops with real JPEG, as one tall picture.

    JPEG's blocks are independent, so crops with sides in multiples of 8 come back as they
    would alone.

    Args:
        compact: (N, 1, h, w) in 0..1, h and w multiples of 8.
        quality: libjpeg quality, 1..100.
    """
    n, _, height, width = compact.shape
    pixels = compact.detach().mul(255).round().clamp(0, 255).to(torch.uint8)
    buffer = io.BytesIO()
    tall = pixels.reshape(n * height, width).cpu().numpy()
    Image.fromarray(tall).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        decoded = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return decoded.view(n, 1, height, width).to(compact.device).float().div(255)
