"""The exceptions of comrec.

    ComrecError
    ├── InputError              the file cannot be used
    │   ├── UnknownFormatError  not a file that comrec reads
    │   ├── DamagedFileError    cut short or altered
    │   ├── TooLargeError       declares more pixels than the limit
    │   └── LimitError          untrusted: its decoder crashed, or took too much time or memory
    ├── UnsupportedPictureError the codec cannot store, or comrec not read, this kind of picture
    ├── UnknownCodecError       no codec has this id            (also a ValueError)
    ├── OptionError             a parameter out of range        (also a ValueError)
    ├── TargetError             the target cannot be met        (also a ValueError)
    ├── WeightsError            a network is missing or corrupt
    ├── OutputError             the output cannot be written, or would overwrite the input
    └── MissingExtraError       an optional dependency is not installed

Messages say what was found, what was expected, and what to do.
"""

from __future__ import annotations

from typing import Self


class ComrecError(Exception):
    """Base class of all errors of comrec."""

    def naming(self, name: str) -> Self:
        """This error with the name of the file, in place of the "input" of decoders."""
        self.args = (f"{name}: {str(self).removeprefix('input: ')}",)
        return self


class InputError(ComrecError):
    """The input file cannot be used."""


class UnknownFormatError(InputError):
    """The input is not a picture format that comrec reads."""


class DamagedFileError(InputError):
    """The input is cut short or was altered."""


class TooLargeError(InputError):
    """The input declares more pixels than `comrec.picture.MAX_PIXELS`, or far more than its bytes
    make likely (`comrec.formats.density`)."""


class LimitError(InputError):
    """Reading the input as an untrusted file, in a process of its own, crashed that process or took
    more time or memory than such files get."""


class UnsupportedPictureError(ComrecError):
    """The codec cannot store this kind of picture, or comrec does not read it."""


class UnknownCodecError(ComrecError, ValueError):
    """No codec is registered under this id."""


class OptionError(ComrecError, ValueError):
    """A parameter is out of range or does not exist for this codec."""


class TargetError(ComrecError, ValueError):
    """The codec cannot meet the target size or fidelity for this picture.

    Attributes:
        smallest: bytes of its smallest file of the picture, where that is too large; otherwise 0.
    """

    smallest: int = 0


class WeightsError(ComrecError):
    """A network is missing from the package or does not match its checksum."""


class OutputError(ComrecError):
    """The output cannot be written, or would overwrite the input."""


class MissingExtraError(ComrecError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'comrec[{extra}]'")
