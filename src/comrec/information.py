"""What a file says of itself; no network is loaded, no pixel decoded."""

from __future__ import annotations

from dataclasses import dataclass

from comrec import codec
from comrec.errors import InputError, MissingExtraError
from comrec.inference import store
from comrec.learned import container as cmr
from comrec.picture import format_of
from comrec.wrapped import files


@dataclass(frozen=True)
class Information:
    """A file's description.

    Attributes:
        container: the format, such as "jpeg"; "cmr" of learned codecs.
        codec: the id that decodes it in full: "comrec-jpeg", the one that a .cmr file names, or
            the container's for plain files.
        width, height: of the full picture, pixels.
        bytes: of the file.
        bpp: bits a pixel of the full picture.
        scale: 1 or 2 (other viewers show 1/scale of each side); None for plain and .cmr files.
        quality: 0..100 at which the file was coded; None for plain files.
        network: the name of the network that rebuilds it, or its id if this version lacks it;
            None for plain files.
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
    """Read the header and the mark of a file; what else is damaged stays unseen.

    Raises:
        InputError: not a file of ours, or damaged.
        MissingExtraError: what reads its format is not installed.
    """
    try:
        container = format_of(data)
        if container == cmr.FORMAT:
            return _of_cmr(data)
        width, height = codec.get(container).size(data)
        mark = files.mark_of(data)
    except (InputError, MissingExtraError) as error:
        raise error.naming(name) from None
    if mark is None:
        codec_id, network, shown = container, None, "the whole picture"
    else:
        known = _network(mark.network)
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


def _of_cmr(data: bytes) -> Information:
    head = cmr.header(data)
    known = _network(head.network)
    return Information(
        cmr.FORMAT,
        head.codec,
        head.width,
        head.height,
        len(data),
        8 * len(data) / (head.width * head.height),
        None,
        head.quality,
        known.name if known else head.network,
        "nothing",
    )


def _network(network_id: str) -> store.Network | None:
    return next((n for n in store.networks() if n.id == network_id), None)
