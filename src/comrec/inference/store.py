"""The weight store: networks inside the package, listed with checksums in a manifest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from comrec.errors import WeightsError

FOLDER = Path(__file__).resolve().parent.parent / "weights"
MANIFEST = FOLDER / "manifest.json"


@dataclass(frozen=True)
class Network:
    """One entry of the manifest.

    Attributes:
        name: its job, such as "comrec-jpeg-rec1"; networks of later releases share it.
        family: "jiang2017", "comrec" or "liu2018".
        codec: id of the standard codec it was trained around; of "liu2018" what it is optimised
            for: "mse", "ms-ssim" or "perceptual".
        role: "com" (before the codec) or "rec" (after it); of "liu2018" "g_a", "h_a", "h_s", "g_s",
            "gradient".
        scale: 1 or 2: how many times smaller the compact picture's sides are; of "liu2018" what its
            output's sides are smaller or larger by, 16 or 4.
        channels: of its input; 1 (luma) or 3 (RGB) where that is a picture.
        conditioned: whether it takes a quality beside the picture.
        align: its input's sides must be multiples of this.
        reach: how far around itself an output sample looks, in input pixels.
        tile: side of the tiles that large pictures are cut into, in input pixels.
        sha256: of the ONNX file.
        training: recipe, data, steps, hardware, scores: for people.
    """

    name: str
    family: str
    codec: str
    role: str
    scale: int
    channels: int
    conditioned: bool
    align: int
    reach: int
    tile: int
    sha256: str
    training: dict[str, Any]

    @property
    def id(self) -> str:
        """The 20 hexadecimal digits that a mark names this network by."""
        return self.sha256[:20]

    @property
    def enlarges(self) -> bool:
        """Whether its output's sides are `scale` times larger, not smaller."""
        return self.role in ("rec", "h_s", "g_s")

    @property
    def path(self) -> Path:
        return FOLDER / file_name(self.name, self.sha256)

    def load(self) -> bytes:
        """The ONNX file's bytes, checked.

        Raises:
            WeightsError: the file is missing or altered.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            raise WeightsError(
                f"{self.path.name} is missing from the package; reinstall comrec"
            ) from None
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise WeightsError(f"{self.path.name} does not match its checksum; reinstall comrec")
        return data


@cache
def networks() -> tuple[Network, ...]:
    """All networks of the manifest."""
    entries = json.loads(MANIFEST.read_text(encoding="utf-8"))["networks"]
    return tuple(Network(**entry) for entry in entries)


def file_name(name: str, sha256: str) -> str:
    """What a network's file is called: no later network ever takes its place."""
    return f"{name}-{sha256[:8]}.onnx"


def find(family: str, codec: str, role: str, scale: int) -> Network | None:
    """The current network for a job, or None. Later entries replace earlier ones."""
    fitting = [
        n
        for n in networks()
        if (n.family, n.codec, n.role, n.scale) == (family, codec, role, scale)
    ]
    return fitting[-1] if fitting else None


def serving(family: str, codec: str, role: str, scale: int) -> Network:
    """The network for a job around a codec, or JPEG's where the codec has none of its own.

    Raises:
        WeightsError: neither is in the package.
    """
    for trained_around in (codec, "jpeg"):
        network = find(family, trained_around, role, scale)
        if network is not None:
            return network
    raise WeightsError(
        f"{family}-{codec}: this version ships no {role} network of scale 1/{scale} for it"
    )


def by_id(network_id: str) -> Network:
    """The network that a file names.

    Raises:
        WeightsError: no such network in this version.
    """
    for network in networks():
        if network.id == network_id:
            return network
    raise WeightsError(
        f"this file needs network {network_id}, which this version of comrec does not have; "
        "upgrade comrec"
    )
