"""The weight store: networks inside the package, listed with checksums in a manifest."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from comrec import records
from comrec.errors import WeightsError
from comrec.inference import patch

FOLDER = Path(__file__).resolve().parent.parent / "weights"
MANIFEST = FOLDER / "manifest.json"

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,99}", re.ASCII)
"""What can be the beginning of a file's name, in the folder of the manifest."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LARGEST = 1 << 20
"""Of all sizes; the largest here is a tile's."""

Size = Literal["fast", "default", "best"]
"""Of a RecCNN, where there are several for a job, as around JPEG: the better, the slower."""
SIZES: tuple[Size, ...] = get_args(Size)
DEFAULT: Size = "default"


@dataclass(frozen=True)
class Network:
    """One entry of the manifest.

    Attributes:
        name: its job, such as "comrec-jpeg-rec1"; networks of later releases share it.
        family: the system it belongs to: "jiang2017", "comrec", "liu2018", "rippel2017",
            "toderici2017" or "roi".
        variant: of the family: the standard codec it was trained around, by id; of the learned
            codecs what it was optimised for: "mse", "ms-ssim" or "perceptual".
        role: in its system: "com" (ComCNN) or "rec" (RecCNN); of the learned codecs "g_a", "h_a",
            "h_s", "g_s", "gradient", "planes", "encode", "decode" or "bits"; of "roi" "map".
        up, down: its output's sides are up / down times its input's; one of them is 1.
        channels: of its input; 1 (luma) or 3 (RGB) where that is a picture.
        conditioned: whether it takes a quality beside the picture.
        align: its input's sides must be multiples of this.
        reach: how far around itself an output sample looks, in input pixels.
        tile: side of the tiles that large pictures are cut into, in input pixels.
        sha256: of the ONNX file.
        training: recipe, data, steps, hardware, scores: for people.
        patch_of: where the ONNX file is stored as a patch (`inference.patch`): SHA-256 of the
            network that it is a patch of.
        size: see `Size`.
        com: of a RecCNN that was trained after another ComCNN than its codec's current one: the
            SHA-256 of that.
        stands_for: of a network that encoders alone run: the SHA-256 of one that files name, and
            whose place this one has taken, as it gives nearly the same.
        refined: whether it was trained for latents that encoders refine; where they do not, an
            earlier one that was not is better.
    Raises:
        ValueError: a value is out of range, or no file can have such a name.
    """

    name: str
    family: str
    variant: str
    role: str
    up: int
    down: int
    channels: int
    conditioned: bool
    align: int
    reach: int
    tile: int
    sha256: str
    training: dict[str, Any]
    patch_of: str | None = None
    size: str = DEFAULT
    com: str | None = None
    stands_for: str | None = None
    refined: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"the name {self.name!r} is no part of a file's name")
        for sha256 in (self.sha256, self.patch_of, self.com, self.stands_for):
            if sha256 is not None and not _SHA256.fullmatch(sha256):
                raise ValueError(f"{sha256!r} is no SHA-256 of 64 hexadecimal digits")
        sizes = ("up", "down", "channels", "align", "tile")
        for field, least in [*((size, 1) for size in sizes), ("reach", 0)]:
            value = getattr(self, field)
            if not least <= value <= _LARGEST:
                raise ValueError(f"{field} must be {least} to {_LARGEST}, not {value}")
        if min(self.up, self.down) > 1:
            raise ValueError(f"one of up and down must be 1, not {self.up} and {self.down}")
        if self.size not in SIZES:
            raise ValueError(f"size must be {', '.join(SIZES)}, not {self.size!r}")
        steps = self.training.get("steps", 0)
        if type(steps) is not int:
            raise ValueError(f"steps of the training must be a whole number, not {steps!r}")

    @property
    def id(self) -> str:
        """The 20 hexadecimal digits that a mark names this network by."""
        return self.sha256[:20]

    @property
    def ids(self) -> tuple[str, ...]:
        """All that it is found by."""
        ours, theirs = self.id, self.stands_for
        return (ours,) if theirs is None else (ours, theirs[: len(ours)])

    @property
    def path(self) -> Path:
        """Of the file in the package: ONNX, or a patch."""
        name = file_name(self.name, self.sha256)
        return FOLDER / (name if self.patch_of is None else patch_name(name))

    def load(self) -> bytes:
        """The ONNX file's bytes, checked.

        Raises:
            WeightsError: the file, or the one that it is a patch of, is missing or altered.
        """
        data = _read(self.path)
        if self.patch_of is not None:
            base = _base(self.patch_of)
            try:
                data = patch.apply(base, data)
            except WeightsError as error:
                raise WeightsError(
                    f"{self.path.name} does not match its checksum: {error}"
                ) from None
        return _checked(data, self.path, self.sha256)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise WeightsError(f"{path.name} is missing from the package; reinstall comrec") from None
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}; reinstall comrec") from None


def _checked(data: bytes, path: Path, sha256: str) -> bytes:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise WeightsError(f"{path.name} does not match its checksum; reinstall comrec")
    return data


def _base(sha256: str) -> bytes:
    """The ONNX file of this checksum, which may be stored as a patch itself."""
    for network in networks():
        if network.sha256 == sha256:
            return network.load()
    raise WeightsError(f"{file_name('*', sha256)} is missing from the package; reinstall comrec")


@cache
def networks() -> tuple[Network, ...]:
    """All networks of the manifest.

    Raises:
        WeightsError: the manifest is missing or damaged.
    """
    return manifest(MANIFEST)


def manifest(path: Path) -> tuple[Network, ...]:
    """The networks of a manifest, an object of JSON: ``{"networks": [...]}``.

    Raises:
        WeightsError: it is missing or damaged.
    """
    entry = "the list"
    try:
        held = records.loads(_read(path))
        entries = held.get("networks") if isinstance(held, dict) else None
        if not isinstance(entries, list):
            raise ValueError("it has no list of networks")
        found = []
        for index, values in enumerate(entries):
            entry = f"network {index + 1}"
            found.append(records.record(Network, values))
    except ValueError as error:
        raise WeightsError(f"{path.name} is damaged: {entry}: {error}; reinstall comrec") from None
    return tuple(found)


def file_name(name: str, sha256: str) -> str:
    """What a network's file is called: no later network ever takes its place."""
    return f"{name}-{sha256[:8]}.onnx"


def patch_name(name: str) -> str:
    """What the file is called where a patch takes its place."""
    return f"{name}.patch"


def find(
    family: str,
    variant: str,
    role: str,
    *,
    up: int = 1,
    down: int = 1,
    size: str = DEFAULT,
    refined: bool = True,
) -> Network | None:
    """The current network for a job, or None. Later entries replace earlier ones.

    Args:
        refined: whether latents are; otherwise networks that are for these are left out.
    """
    job = (family, variant, role, up, down, size)
    fitting = [
        n
        for n in networks()
        if (n.family, n.variant, n.role, n.up, n.down, n.size) == job and (refined or not n.refined)
    ]
    return fitting[-1] if fitting else None


def serving(
    family: str, codec: str, role: str, *, up: int = 1, down: int = 1, size: str = DEFAULT
) -> Network:
    """The network for a job around a codec, or JPEG's where the codec has none of its own.

    Raises:
        WeightsError: neither is in the package.
    """
    for trained_around in (codec, "jpeg"):
        network = find(family, trained_around, role, up=up, down=down, size=size)
        if network is not None:
            return network
    raise WeightsError(
        f"{family}-{codec}: this version ships no {role} network of scale {up}/{down} and size "
        f"{size} for it"
    )


def com_of(rec: Network, codec: str) -> Network:
    """The ComCNN that belongs before a codec whose files a RecCNN reconstructs.

    Raises:
        WeightsError: it is not in the package.
    """
    if rec.com is not None:
        return by_id(rec.com[: len(rec.id)])
    return serving(rec.family, codec, "com", down=rec.up)


def hashes(family: str, variant: str) -> tuple[str, ...]:
    """SHA-256 of all networks of a family and variant."""
    return tuple(n.sha256 for n in networks() if (n.family, n.variant) == (family, variant))


def gradient_of(g_s: Network) -> Network | None:
    """The network that refines latents for a synthesis, as a patch of which it is stored."""
    fitting = [n for n in networks() if (n.role, n.patch_of) == ("gradient", g_s.sha256)]
    return fitting[-1] if fitting else None


def by_id(network_id: str) -> Network:
    """The network that a file names.

    Raises:
        WeightsError: no such network in this version.
    """
    for network in networks():
        if network_id in network.ids:
            return network
    raise WeightsError(
        f"this file needs network {network_id}, which this version of comrec does not have; "
        "upgrade comrec"
    )
