"""Standard files with the mark: writing them, and reconstructing what they stand for."""

from __future__ import annotations

import struct
from dataclasses import replace

from comrec import regions
from comrec.codec import Codec
from comrec.errors import DamagedFileError, TooLargeError, WeightsError
from comrec.formats import mark as marks
from comrec.formats.mark import Mark
from comrec.inference import store
from comrec.inference.store import Network
from comrec.picture import MAX_PIXELS, Picture
from comrec.preparation import orientation
from comrec.regions import Region
from comrec.sandwich import conditions, recompression
from comrec.sandwich.conditions import Condition
from comrec.sandwich.reconstruct import reconstruct

STALE = (
    "another program resized, cropped or rotated it, so that its mark no longer fits; it is read "
    "as a plain file"
)
"""Note on a file whose mark does not fit its picture."""


def write(plain: Codec, payload: bytes, picture: Picture, quality: float, rec: Network) -> bytes:
    """The payload with the mark that tells how to reconstruct ``picture`` from it.

    Args:
        plain: the standard codec of the payload's format.
        quality: 0..100, of the payload.
        rec: the RecCNN.
    """
    mark = Mark(rec.up, quality, picture.width, picture.height, rec.id)
    return plain.with_mark(payload, mark.pack())


def mark_of(plain: Codec, data: bytes) -> Mark | None:
    """The mark of a file of a standard codec's format, or None.

    Raises:
        DamagedFileError: the mark, or the file's structure, is damaged.
    """
    try:
        packed = plain.mark_in(data)
    except (struct.error, IndexError):
        raise DamagedFileError(f"input: damaged {plain.id} structure") from None
    return None if packed is None else marks.unpack(packed)


def decode(
    plain: Codec,
    data: bytes,
    mark: Mark | None,
    *,
    partial: bool = False,
    region: Region | None = None,
) -> Picture:
    """The full picture of a file with its mark.

    The plain picture where there is no mark; or where it does not fit, with a note.

    Args:
        region: the part that is wanted; by default all. Networks run on no more.
    Raises:
        OptionError: the region lies outside.
        InputError: the file cannot be used.
        WeightsError: the mark names a network that this version does not have.
        MissingExtraError: what reads its format is not installed.
    """
    if mark is not None and mark.recompressed:
        return _recompressed(plain, data, mark, region)
    compact = plain.decode(data, partial=partial)
    if mark is None or not mark.fits(compact.width, compact.height):
        told = compact if mark is None else compact.noting(STALE)
        return told if region is None else told.part(region).noting(regions.whole(plain.id))
    condition = conditions.from_file(plain.id, data, mark.quality)
    found = _full(compact, mark, condition, region)
    return found if region is None else found.noting(regions.whole(plain.id))


def _recompressed(plain: Codec, data: bytes, mark: Mark, region: Region | None) -> Picture:
    """The same of a JPEG XL file with the coefficients of a JPEG file: as of that file."""
    header = plain.header(data)
    if not mark.fits(header.width, header.height):
        return decode(plain, data, None, region=region).noting(STALE)
    try:
        jpeg = recompression.restored(data)
    except DamagedFileError:  # coded again, or damaged, which decoding it will tell
        return decode(plain, data, None, region=region).noting(STALE)
    upright = recompression.upright(data, jpeg)
    tag = orientation.orientation_of(upright.metadata.exif)
    width, height = orientation.size_turned_back((mark.width, mark.height), tag)
    mark = replace(mark, width=width, height=height)
    # The encoder's network saw the upright picture.
    first = region if tag == orientation.UPRIGHT else None
    found = _full(upright, mark, conditions.from_file("jpeg", jpeg, mark.quality), first)
    found = orientation.turned_back(found)
    if region is None:
        return found
    return (found if first else found.part(region)).noting(regions.whole(plain.id))


def _full(compact: Picture, mark: Mark, condition: Condition, region: Region | None) -> Picture:
    """The full picture, or a region of it, of a compact picture that its mark fits."""
    if mark.scale != 1 and compact.alpha is not None:  # comrec writes none
        raise DamagedFileError(
            "input: damaged: transparency of half the size of the picture that its mark declares; "
            "--plain decodes what other viewers show"
        )
    if mark.width * mark.height > MAX_PIXELS:
        raise TooLargeError(
            f"input: its mark declares {mark.width}x{mark.height}, more than {MAX_PIXELS:,} "
            "pixels; --plain decodes what other viewers show"
        )
    try:
        network = store.by_id(mark.network)
    except WeightsError as error:
        raise WeightsError(f"{error}, or decode the plain picture with --plain") from None
    size = mark.width, mark.height
    part = regions.within(region, *size)
    pixels = reconstruct(network, compact.pixels, condition, size, region=part)
    alpha = None if compact.alpha is None else compact.alpha[part.window]
    return replace(compact, pixels=pixels, alpha=alpha)
