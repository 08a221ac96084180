"""Files of every codec here, marked or not: which codec it is, decoding, and writing marks."""

from __future__ import annotations

from comrec import codec, preparation
from comrec.codec import Codec
from comrec.errors import (
    DamagedFileError,
    InputError,
    MissingExtraError,
    UnknownCodecError,
    UnknownFormatError,
    UnsupportedPictureError,
    WeightsError,
)
from comrec.inference import store
from comrec.inference.store import Network
from comrec.learned import container
from comrec.picture import Picture, format_of
from comrec.preparation import STRICT, Preparation
from comrec.standard.pillow import PillowCodec
from comrec.wrapped import conditions, containers, mark
from comrec.wrapped.mark import Mark
from comrec.wrapped.rebuild import rebuild

UNUSABLE = (
    InputError,
    UnsupportedPictureError,
    WeightsError,
    UnknownCodecError,
    MissingExtraError,
)
"""What decoding a file may raise; to be given the file's name."""


def write(base: str, payload: bytes, picture: Picture, quality: float, network: Network) -> bytes:
    """The payload with the mark that tells how to rebuild ``picture`` from it."""
    packed = Mark(network.scale, quality, picture.width, picture.height, network.id).pack()
    return containers.embed(base, payload, packed)


def mark_of(data: bytes) -> Mark | None:
    """The mark of a file of any format, or None: .cmr files have none.

    Raises:
        UnknownFormatError, DamagedFileError.
    """
    base = format_of(data)
    packed = None if base == container.FORMAT else containers.extract(base, data)
    return None if packed is None else mark.unpack(packed)


def codec_of(data: bytes) -> Codec:
    """The codec that decodes a file without its mark: its format's, or the one a .cmr file names.

    Raises:
        UnknownFormatError, DamagedFileError.
        UnknownCodecError: this version does not have the one named.
    """
    base = format_of(data)
    if base != container.FORMAT:
        return codec.get(base)
    named = container.header(data).codec
    try:
        found = codec.get(named)
    except UnknownCodecError:
        raise UnknownCodecError(
            f"input: a .cmr file of the codec {named!r}, which this comrec does not have; upgrade "
            "comrec, or install the package that brings it"
        ) from None
    if found.extension != container.EXTENSION:  # it would look for its own format, or ask us again
        raise DamagedFileError(
            f"input: a .cmr file of the codec {named!r}, which writes {found.extension} files"
        )
    return found


def plain(data: bytes) -> Picture:
    """What other viewers show: the standard file alone. A .cmr file is decoded in full."""
    return codec_of(data).decode(data)


def decode(data: bytes) -> Picture:
    """The full picture of a marked or .cmr file; the plain picture of an unmarked one.

    Raises:
        InputError: the file cannot be used.
        WeightsError: the file names a network that this version does not have.
        UnknownCodecError: it names a codec that this version does not have.
        MissingExtraError: what reads its format is not installed.
    """
    found = mark_of(data)
    base = format_of(data)
    compact = plain(data)
    if found is None:
        return compact
    expected = tuple(-(-side // found.scale) for side in (found.width, found.height))
    if (compact.width, compact.height) != expected:
        raise DamagedFileError(
            f"input: the mark says {found.width}x{found.height} at scale 1/{found.scale}, but "
            f"the file holds {compact.width}x{compact.height}; it was edited after encoding"
        )
    try:
        network = store.by_id(found.network)
    except WeightsError as error:
        raise WeightsError(f"{error}, or decode the plain picture with --plain") from None
    condition = conditions.of_file(base, data, found.quality)
    size = found.width, found.height
    return compact.with_pixels(rebuild(network, compact.pixels, condition, size))


def beyond_pillow(data: bytes) -> bool:
    """Whether a file of any format is marked, or of a format that Pillow does not read.

    Raises:
        UnknownFormatError, DamagedFileError.
        UnknownCodecError: as `codec_of`.
    """
    return mark_of(data) is not None or not isinstance(codec_of(data), PillowCodec)


def read(data: bytes, name: str, how: Preparation = STRICT) -> Picture:
    """Any picture file that Pillow or a codec here reads, prepared; a marked one in full.

    Raises:
        InputError: naming the file.
        UnsupportedPictureError: something cannot be carried, and ``how`` does not allow for it.
        WeightsError, UnknownCodecError, MissingExtraError.
    """
    try:
        if beyond_pillow(data):
            preparation.allow(codec_of(data).kind(data), how)
            if how.frame:
                raise UnsupportedPictureError(
                    f"only the first frame of {format_of(data)} files can be taken"
                )
            return preparation.finish(decode(data), how)
    except UnknownFormatError:
        pass  # Pillow reads more formats than ours
    except UNUSABLE as error:
        raise error.naming(name) from None
    return preparation.read(data, name, how)


def enhance(data: bytes) -> Picture:
    """A plain file, its codec's artefacts removed by our RecCNN; a marked or .cmr one decoded.

    Raises:
        WeightsError: there is no network for this codec.
    """
    base = format_of(data)
    if base == container.FORMAT or mark_of(data) is not None:
        return decode(data)
    network = store.find("comrec", base, "rec", 1)
    if network is None:
        raise WeightsError(f"there is no network that enhances {base} files")
    decoded = plain(data)
    condition = conditions.estimate(base, data, decoded)
    size = decoded.width, decoded.height
    return decoded.with_pixels(rebuild(network, decoded.pixels, condition, size))
