"""Files of every codec here, marked or not: which codec it is, and decoding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from comrec import codec, confined, preparation
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
from comrec.formats import cmr, density, detection
from comrec.formats.mark import Mark
from comrec.picture import Picture
from comrec.preparation import STRICT, Header, Preparation
from comrec.regions import Region
from comrec.sandwich import enhancement, marked
from comrec.sandwich.enhancement import Enhancing
from comrec.standard.pillow import PillowCodec

UNUSABLE = (
    InputError,
    UnsupportedPictureError,
    WeightsError,
    UnknownCodecError,
    MissingExtraError,
)
"""What decoding a file may raise; to be given the file's name."""


@dataclass(frozen=True)
class File:
    """A file of a codec here; each of its parts is read once, when it is asked for.

    Attributes:
        data: its bytes.
        format: as `detection.format_of` names it.
        iterations: at most so many of a recurrent codec's are decoded; None for all.
    """

    data: bytes
    format: str
    iterations: int | None = None

    @cached_property
    def mark(self) -> Mark | None:
        """The mark; None where there is none that fits the picture. .cmr files have none.

        Raises:
            DamagedFileError: the mark, or the file's structure, is damaged.
        """
        return None if self.stale else self._found_mark

    @cached_property
    def header(self) -> Header:
        """What the standard codec's, or a .cmr file's, header says.

        Raises:
            InputError, UnsupportedPictureError, MissingExtraError.
        """
        return self.codec.header(self.data)

    @cached_property
    def stale(self) -> bool:
        """Whether there is a mark that no longer fits the picture (`Mark.fits`).

        Raises:
            DamagedFileError: as `mark`.
        """
        if self._found_mark is None:
            return False
        return not self._found_mark.fits(self.header.width, self.header.height)

    @cached_property
    def _found_mark(self) -> Mark | None:
        return None if self.format == cmr.FORMAT else marked.mark_of(self.codec, self.data)

    @cached_property
    def codec(self) -> Codec:
        """What decodes it without its mark: its format's codec, or the one a .cmr file names.

        Raises:
            DamagedFileError.
            UnknownCodecError: this version does not have the one named.
            OptionError: it has no iterations, or not so many.
        """
        given = {} if self.iterations is None else {"iterations": self.iterations}
        if self.format != cmr.FORMAT:
            return codec.get(self.format, **given)
        named = cmr.header(self.data).codec
        try:
            found = codec.get(named, **given)
        except UnknownCodecError:
            raise UnknownCodecError(
                f"input: a .cmr file of the codec {named!r}, which this comrec does not have; "
                "upgrade comrec, or install the package that brings it"
            ) from None
        if found.container != cmr.FORMAT:  # it would look for its own format
            raise DamagedFileError(
                f"input: a .cmr file of the codec {named!r}, which writes {found.extension} files"
            )
        return found

    @property
    def beyond_pillow(self) -> bool:
        """Whether it is marked, or of a format that Pillow does not read.

        Raises:
            DamagedFileError.
            UnknownCodecError: as `codec`.
        """
        return self.mark is not None or not isinstance(self.codec, PillowCodec)

    def plain(self, *, partial: bool = False, region: Region | None = None) -> Picture:
        """What other viewers show: the standard file alone. A .cmr file is decoded in full.

        Args:
            region: see `decode`.
        """
        if region is None:
            return self._noting_losses(self.codec.decode(self.data, partial=partial))
        part = self.codec.decode_region(self.data, region, partial=partial)
        return self._noting_losses(part)

    def decode(self, *, partial: bool = False, region: Region | None = None) -> Picture:
        """The full picture of a marked or .cmr file; the plain picture of an unmarked one.

        Args:
            partial: see `Codec.decode`.
            region: the part that is wanted; by default all.
        Raises:
            OptionError: the region lies outside of the picture.
            InputError: the file cannot be used.
            WeightsError: the file names a network that this version does not have.
            UnknownCodecError: it names a codec that this version does not have.
            MissingExtraError: what reads its format is not installed.
        """
        if self.mark is None:
            plain = self.plain(partial=partial, region=region)
            return plain.noting(marked.STALE) if self.stale else plain
        return self._noting_losses(
            marked.decode(self.codec, self.data, self.mark, partial=partial, region=region)
        )

    def enhance(self, how: Enhancing, region: Region | None = None) -> Picture:
        """The artefacts of a plain file removed by our RecCNN; a marked or .cmr file decoded.

        A plain file that no network is made for is left as it is, with a note that says why.

        Args:
            how: of a plain file.
            region: see `decode`.
        """
        if self.format == cmr.FORMAT or self.mark is not None:
            return self.decode(region=region)
        return enhancement.enhance(self.format, self.data, self.decode(), how, region)

    def check_density(self, *, plain: bool) -> None:
        """Refuse a small file of a large picture (`formats.density`).

        Args:
            plain: whether the mark is not heeded.
        Raises:
            TooLargeError: it is.
        """
        full = self.header if plain or self.mark is None else self.mark
        channels = self.header.channels
        density.check(self.format, full.width, full.height, channels, len(self.data))

    def _noting_losses(self, picture: Picture) -> Picture:
        return picture.noting(*(loss.done for loss in self.header.losses))


def parse(data: bytes, iterations: int | None = None) -> File:
    """
    Args:
        iterations: see `File`.
    Raises:
        DamagedFileError: the file is empty.
        UnknownFormatError: of no codec here.
    """
    return File(data, detection.format_of(data), iterations)


def decode(data: bytes, *, partial: bool = False) -> Picture:
    """As `File.decode`."""
    return parse(data).decode(partial=partial)


def read(data: bytes, name: str, how: Preparation = STRICT, *, untrusted: bool = False) -> Picture:
    """Any picture file that Pillow or a codec here reads, prepared; a marked one in full.

    Args:
        untrusted: in a process of its own, with limits (`confined`).
    Raises:
        InputError: naming the file.
        UnsupportedPictureError: something cannot be carried, and ``how`` does not allow for it.
        WeightsError, UnknownCodecError, MissingExtraError.
    """
    if untrusted:
        limits = confined.Limits.of(len(data))
        return confined.call(read, data, name, how, limits=limits, name=name)
    notes: tuple[str, ...] = ()
    try:
        file = parse(data)
        notes = (marked.STALE,) if file.stale else ()
        if file.beyond_pillow:
            preparation.allow(file.header, how)
            if how.frame:
                raise UnsupportedPictureError(
                    f"only the first frame of {file.format} files can be taken"
                )
            return preparation.finish(file.decode(), how)
    except UnknownFormatError:
        pass  # Pillow reads more formats than ours
    except UNUSABLE as error:
        raise error.naming(name) from None
    return preparation.read(data, name, how).noting(*notes)
