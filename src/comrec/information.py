"""What a file says of itself; no network is loaded, no pixel decoded."""

from __future__ import annotations

from dataclasses import dataclass

from comrec import codec
from comrec.errors import InputError, MissingExtraError
from comrec.inference import store
from comrec.picture import format_of
from comrec.wrapped import files


@dataclass(frozen=True)
class Information:
    """A file's description.

    Attributes:
        container: the standard format, such as "jpeg".
        codec: the id that decodes it in full: "comrec-jpeg", or the container's for plain files.
        width, height: of the full picture, pixels.
        bytes: of the file.
        bpp: bits a pixel of the full picture.
        scale: 1 or 2 (other viewers show 1/scale of each side); None for plain files.
        quality: 0..100 at which the standard file was coded; None for plain files.
        network: the name of the network that rebuilds it, or its id if this version lacks it.
        shown: what viewers without comrec show, in words.
    """

    container: str
    codec: str
    width: int
    height: int
    bytes: int
    bpp: float
    scale: int | None
    quality: float | None
    network: str | None
    shown: str


def info(data: bytes, name: str = "input") -> Information:
    """Read the header and the mark of a file.

    Raises:
        InputError: not a file of ours, or damaged.
        MissingExtraError: what reads its format is not installed.
    """
    try:
        container = format_of(data)
        width, height = codec.get(container).size(data)
        mark = files.mark_of(data)
    except (InputError, MissingExtraError) as error:
        raise error.naming(name) from None
    if mark is None:
        codec_id, network, shown = container, None, "the whole picture"
    else:
        known = next((n for n in store.networks() if n.id == mark.network), None)
        codec_id = f"{known.family}-{container}" if known else f"unknown network around {container}"
        network = known.name if known else mark.network
        shown = (
            "the whole picture, without the network's improvement"
            if mark.scale == 1
            else f"a picture of {width}x{height}, half of each side"
        )
        width, height = mark.width, mark.height
    return Information(
        container,
        codec_id,
        width,
        height,
        len(data),
        8 * len(data) / (width * height),
        mark.scale if mark else None,
        mark.quality if mark else None,
        network,
        shown,
    )
