"""Marked files: writing, recognising and decoding them, whichever wrapped codec made them."""

from __future__ import annotations

from comrec import codec, preparation
from comrec.errors import (
    DamagedFileError,
    InputError,
    MissingExtraError,
    UnknownFormatError,
    UnsupportedPictureError,
    WeightsError,
)
from comrec.inference import store
from comrec.inference.store import Network
from comrec.picture import Picture, format_of
from comrec.preparation import STRICT, Preparation
from comrec.standard.pillow import PillowCodec
from comrec.wrapped import conditions, containers, mark
from comrec.wrapped.mark import Mark
from comrec.wrapped.rebuild import rebuild


def write(base: str, payload: bytes, picture: Picture, quality: float, network: Network) -> bytes:
    """The payload with the mark that tells how to rebuild ``picture`` from it."""
    packed = Mark(network.scale, quality, picture.width, picture.height, network.id).pack()
    return containers.embed(base, payload, packed)


def mark_of(data: bytes) -> Mark | None:
    """The mark of a file of any standard format, or None.

    Raises:
        UnknownFormatError, DamagedFileError.
    """
    packed = containers.extract(format_of(data), data)
    return None if packed is None else mark.unpack(packed)


def plain(data: bytes) -> Picture:
    """What other viewers show: the standard file alone."""
    return codec.get(format_of(data)).decode(data)


def decode(data: bytes) -> Picture:
    """The full picture of a marked file; the plain picture of an unmarked one.

    Raises:
        InputError: the file cannot be used.
        WeightsError: the mark names a network that this version does not have.
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
    network = store.by_id(found.network)
    condition = conditions.of_file(base, data, found.quality)
    size = found.width, found.height
    return compact.with_pixels(rebuild(network, compact.pixels, condition, size))


def beyond_pillow(data: bytes) -> bool:
    """Whether a file of any standard format is marked, or of a format that Pillow does not read.

    Raises:
        UnknownFormatError, DamagedFileError.
    """
    return mark_of(data) is not None or not isinstance(codec.get(format_of(data)), PillowCodec)


def read(data: bytes, name: str, how: Preparation = STRICT) -> Picture:
    """Any picture file that Pillow or a codec here reads, prepared; a marked one in full.

    Raises:
        InputError: naming the file.
        UnsupportedPictureError: something cannot be carried, and ``how`` does not allow for it.
        WeightsError, MissingExtraError.
    """
    try:
        if beyond_pillow(data):
            preparation.allow(codec.get(format_of(data)).kind(data), how)
            if how.frame:
                raise UnsupportedPictureError(
                    f"only the first frame of {format_of(data)} files can be taken"
                )
            return preparation.finish(decode(data), how)
    except UnknownFormatError:
        pass  # Pillow reads more formats than ours
    except (InputError, UnsupportedPictureError, WeightsError, MissingExtraError) as error:
        raise error.naming(name) from None
    return preparation.read(data, name, how)


def enhance(data: bytes) -> Picture:
    """A plain file, its codec's artefacts removed by our RecCNN; a marked one decoded.

    Raises:
        WeightsError: there is no network for this codec.
    """
    if mark_of(data) is not None:
        return decode(data)
    base = format_of(data)
    network = store.find("comrec", base, "rec", 1)
    if network is None:
        raise WeightsError(f"there is no network that enhances {base} files")
    decoded = plain(data)
    condition = conditions.estimate(base, data, decoded)
    size = decoded.width, decoded.height
    return decoded.with_pixels(rebuild(network, decoded.pixels, condition, size))
