"""Pictures to .cmr files and back, but for the coded pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from comrec import regions
from comrec.codec import check_quality
from comrec.errors import DamagedFileError, InputError, UnknownFormatError
from comrec.formats import cmr
from comrec.inference import tiles
from comrec.inference.store import Network
from comrec.learned.pixels import pixels_of
from comrec.picture import Picture, Pixels
from comrec.preparation.header import Header
from comrec.regions import Region
from comrec.standard.png import Png


def write(
    picture: Picture, codec_id: str, network: str, quality: float, payloads: Sequence[bytes]
) -> bytes:
    """The file of a picture that a learned codec coded.

    Args:
        picture: whose size, alpha and metadata go into the file.
        codec_id: the codec's id in the registry.
        network: 20 hexadecimal digits, as `comrec.inference.store.Network.id`.
        quality: 0..100.
        payloads: the coded pixels: one, or those of a progressive codec, coarse ones first.
    Raises:
        OptionError: quality out of range, or no payload, or over 65535.
    """
    check_quality(quality)
    channels = 1 if picture.is_gray else 3
    head = cmr.Header(codec_id, network, picture.width, picture.height, channels, quality)
    alpha = None if picture.alpha is None else Png().encode(Picture(picture.alpha), 100)
    return cmr.write(head, picture.metadata, alpha, payloads)


def header(data: bytes) -> Header:
    """What a .cmr file's header says of its picture; alpha, which it does not tell, not counted.

    Raises:
        InputError: the file cannot be used.
    """
    head = cmr.header(data)
    return Header(head.width, head.height, channels=head.channels)


def of_codec(file: cmr.Container, codec_id: str) -> cmr.Header:
    """The header of a file that a codec wrote.

    Raises:
        UnknownFormatError: another codec did.
    """
    head = file.header
    if head.codec != codec_id:
        raise UnknownFormatError(f"input: a .cmr file of the codec {head.codec}, not {codec_id}")
    return head


def synthesised(
    file: cmr.Container,
    g_s: Network,
    latents: NDArray[np.float32],
    quality: float,
    region: Region | None,
) -> Picture:
    """The picture of a file that g_s makes of its latents.

    Args:
        latents: (M, h, w).
        quality: that g_s is told, 0..100.
        region: the part that is wanted, for which g_s runs on no more than the tiles around it;
            None for all.
    Raises:
        OptionError: the region lies outside of the picture.
        DamagedFileError: as `picture`.
    """
    head = file.header
    part = regions.within(region, head.width, head.height)
    (planes,) = tiles.apply(
        g_s, latents, quality, np.ascontiguousarray, tiles.to_pixels, within=part.window
    )
    return picture(file, pixels_of(planes, head.channels), region)


def picture(file: cmr.Container, pixels: Pixels, region: Region | None = None) -> Picture:
    """The pixels that a codec decoded, with the file's alpha and metadata.

    Args:
        region: the part of the picture that they are of; by default all.
    Raises:
        DamagedFileError: alpha cannot be decoded, or is of another size.
    """
    alpha = _alpha_plane(file)
    if alpha is not None and region is not None:
        alpha = alpha[region.window].copy()
    return Picture(pixels, alpha, file.metadata)


def _alpha_plane(file: cmr.Container) -> Pixels | None:
    if file.alpha is None:
        return None
    size = file.header.width, file.header.height
    try:
        found = Png().header(file.alpha)
        if (found.width, found.height) != size:  # before the decoder takes memory for it
            raise DamagedFileError(f"{found.width}x{found.height}, not {size[0]}x{size[1]}")
        if found.channels != 1:
            raise DamagedFileError("not gray")
        plane = Png().decode(file.alpha)
    except InputError as error:
        reason = str(error).removeprefix("input: ")
        raise DamagedFileError(f"input: damaged chunk ALPH ({reason})") from None
    return plane.pixels
