"""What can go wrong.

    ComrecError
    ├── InputError              the file cannot be used
    │   ├── UnknownFormatError  not a file that comrec reads
    │   ├── DamagedFileError    cut short or altered
    │   └── TooLargeError       declares more pixels than the limit
    ├── UnsupportedPictureError the codec cannot carry this kind of picture
    ├── UnknownCodecError       no codec of that id            (also a ValueError)
    ├── OptionError             a parameter out of range        (also a ValueError)
    ├── TargetError             no file of this picture meets it (also a ValueError)
    ├── WeightsError            a network is missing or altered
    ├── OutputError             the output cannot be written, or would overwrite the input
    └── MissingExtraError       an optional dependency is not installed

Every message says what came, what was expected and what to do.
"""

from __future__ import annotations

from typing import Self


class ComrecError(Exception):
    """Base of all errors that comrec raises on purpose."""

    def naming(self, name: str) -> Self:
        """This error, now about the file of that name: decoders call theirs "input"."""
        self.args = (f"{name}: {str(self).removeprefix('input: ')}",)
        return self


class InputError(ComrecError):
    """The input file cannot be used."""


class UnknownFormatError(InputError):
    """The input is not a picture format that comrec reads."""


class DamagedFileError(InputError):
    """The input is cut short or was altered."""


class TooLargeError(InputError):
    """The input declares more pixels than `comrec.picture.MAX_PIXELS`."""


class UnsupportedPictureError(ComrecError):
    """The codec cannot carry this kind of picture."""


class UnknownCodecError(ComrecError, ValueError):
    """No codec is registered under that id."""


class OptionError(ComrecError, ValueError):
    """A parameter is out of range or does not exist for this codec."""


class TargetError(ComrecError, ValueError):
    """No file that the codec makes of this picture meets the target size or fidelity."""


class WeightsError(ComrecError):
    """A network is missing from the package or does not match its checksum."""


class OutputError(ComrecError):
    """The output cannot be written, or would overwrite the input."""


class MissingExtraError(ComrecError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'comrec[{extra}]'")
