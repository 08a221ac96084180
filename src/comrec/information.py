"""What a file says of itself; no network is loaded, no pixel decoded."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from PIL import Image

from comrec.errors import DamagedFileError, InputError, TooLargeError
from comrec.inference import store
from comrec.picture import DECODER_ERRORS, format_of, pillow_open
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
    """
    try:
        container = format_of(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = pillow_open(data)
        mark = files.mark_of(data)
    except Image.DecompressionBombError:
        raise TooLargeError(f"{name}: declares an impossible size") from None
    except DECODER_ERRORS as error:
        raise DamagedFileError(f"{name}: damaged or cut short ({error})") from None
    except InputError as error:
        raise error.naming(name) from None
    if mark is None:
        width, height = image.size
        codec, network, shown = container, None, "the whole picture"
    else:
        width, height = mark.width, mark.height
        known = next((n for n in store.networks() if n.id == mark.network), None)
        codec = f"{known.family}-{container}" if known else f"unknown network around {container}"
        network = known.name if known else mark.network
        shown = (
            "the whole picture, without the network's improvement"
            if mark.scale == 1
            else f"a picture of {image.width}x{image.height}, half of each side"
        )
    return Information(
        container,
        codec,
        width,
        height,
        len(data),
        8 * len(data) / (width * height),
        mark.scale if mark else None,
        mark.quality if mark else None,
        network,
        shown,
    )
