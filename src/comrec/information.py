"""Information from the headers of a file; no network is loaded, no pixel is decoded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from comrec import codec, confined, files
from comrec.buffers import bytes_of
from comrec.errors import InputError, UnknownCodecError
from comrec.formats import cmr, excerpt
from comrec.inference import store
from comrec.learned import progressive
from comrec.learned.progressive import ProgressiveCodec


@dataclass(frozen=True)
class Information:
    """Description of a file.

    Attributes:
        container: the file format, such as "jpeg"; "cmr" for learned codecs.
        codec: id of the codec that wrote it: such as "comrec-jpeg", the one named in a .cmr file,
            or the id of the format for plain files.
        width, height: of the full picture, pixels.
        bytes: size of the file.
        bpp: bits per pixel of the full picture.
        scale: 1 or 2: the stored picture has 1/scale of each side; None for plain and .cmr files.
        quality: of the encoder, 0..100; None for plain files.
        network: name of the network that reconstructs it, or its id if this version lacks it;
            None for plain files.
        shown: what other viewers show, as text.
        stale: whether another program resized, cropped or rotated a marked file: its mark no longer
            fits, and the file is decoded, and described here, as a plain one.
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
    stale: bool = False


@dataclass(frozen=True, kw_only=True)
class ProgressiveInformation(Information):
    """Description of a file of a progressive codec.

    Attributes:
        steps: after how many bytes of the file each of its chunks of coded pixels ends: what to ask
            for, of a file that is read in parts. Of a file that is cut short, those known; the last
            may lie beyond its end.
        cut_short: whether bytes are missing at its end.
        share: how much of the coded pixels of its quality it has, 0..1: less than 1 too where it
            was made for a size. None if that is not known: it ends before them.
    """

    steps: tuple[int, ...]
    cut_short: bool
    share: float | None


def info(
    data: bytes | bytearray | memoryview,
    name: str = "input",
    *,
    size: int | None = None,
    untrusted: bool = False,
) -> Information:
    """Read the header and the mark of a file. Damage elsewhere is not detected.

    Args:
        data: the file.
        name: name of the file in errors.
        size: bytes of the whole file, where ``data`` is but an excerpt of it (`formats.excerpt`).
        untrusted: in a process of its own, which is used again, with limits of memory and time
            (SECURITY.md).
    Returns:
        Of a file of a progressive codec, a `ProgressiveInformation`.
    Raises:
        OptionError: ``data`` is of another type.
        InputError: the format is unknown, or the header or mark is damaged; a LimitError where only
            an untrusted one is refused.
        UnsupportedPictureError: the file is whole, but of a kind that is not read.
        MissingExtraError: the library for its format is not installed.
        WeightsError: the list of networks in the package is damaged.
    """
    data = bytes_of(data)
    if untrusted:
        limits = confined.Limits.of(len(data))
        return confined.call(_named, data, name, size, limits=limits, name=name)
    return _named(data, name, size)


def of_file(path: Path, name: str, *, untrusted: bool = False) -> Information:
    """As `info`, of a file of which no more is read than it needs.

    Raises:
        InputError: it cannot be read; and as `info`.
    """
    if untrusted:
        return confined.call(of_file, path, name, limits=confined.Limits.of(0), name=name)
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            data = excerpt.of(stream, size)
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from None
    except InputError as error:
        raise error.naming(name) from None
    return _named(data, name, size)


def _named(data: bytes, name: str, size: int | None) -> Information:
    try:
        return _of(data, len(data) if size is None else size)
    except files.UNUSABLE as error:
        raise error.naming(name) from None


def _of(data: bytes, size: int) -> Information:
    file = files.parse(data)
    if file.format == cmr.FORMAT:
        return _from_cmr(data, size)
    header, mark, stale = file.header, file.mark, file.stale
    width, height = header.width, header.height
    if mark is None:
        codec_id, network, shown = file.format, None, "the whole picture"
    else:
        known = _network(mark.network)
        around = f"unknown network around {file.format}"
        codec_id = f"{known.family}-{file.format}" if known else around
        network = known.name if known else mark.network
        shown = (
            "the whole picture, without the network's improvement"
            if mark.scale == 1
            else f"a picture of {width}x{height}, half the size in each direction"
        )
        width, height = mark.width, mark.height
    return Information(
        file.format,
        codec_id,
        width,
        height,
        size,
        8 * size / (width * height),
        mark.scale if mark else None,
        mark.quality if mark else None,
        network,
        shown,
        stale,
    )


def _from_cmr(data: bytes, size: int) -> Information:
    head = cmr.header(data)
    known = _network(head.network)
    found = Information(
        cmr.FORMAT,
        head.codec,
        head.width,
        head.height,
        size,
        8 * size / (head.width * head.height),
        None,
        head.quality,
        known.name if known else head.network,
        "nothing",
    )
    if not _is_progressive(head.codec):
        return found
    steps = cmr.ends(data)
    cut_short = len(steps) < head.payloads or steps[-1] > size
    share = progressive.share(data, size)
    return ProgressiveInformation(**vars(found), steps=steps, cut_short=cut_short, share=share)


def _is_progressive(codec_id: str) -> bool:
    """Of codecs that are not here, nothing is known."""
    try:
        return isinstance(codec.get(codec_id), ProgressiveCodec)
    except UnknownCodecError:
        return False


def _network(network_id: str) -> store.Network | None:
    return next((n for n in store.networks() if n.id == network_id), None)
