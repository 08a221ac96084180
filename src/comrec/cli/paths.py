"""Input and output paths; atomic writes."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from comrec.errors import InputError, OptionError, OutputError

STREAM = "-"


def read(name: str) -> bytes:
    """The bytes of a file, or of standard input for "-".

    Raises:
        InputError: the file cannot be read.
    """
    if name == STREAM:
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from None


def label(name: str) -> str:
    """The name of an input in messages."""
    return "standard input" if name == STREAM else name


def outputs(inputs: list[str], out: str, extension: str) -> list[str]:
    """The output path of each input: the file ``out``, or files in the folder ``out``.

    Raises:
        OptionError: several inputs for one file, two inputs with the same output, or standard
            input with a folder.
    """
    folder = out.endswith(("/", os.sep)) or Path(out).is_dir()
    if not folder:
        if len(inputs) > 1:
            raise OptionError(f"-o must be a folder for {len(inputs)} inputs; {out} is not one")
        return [out]
    names = [str(Path(out) / (Path(name).stem + extension)) for name in inputs]
    if STREAM in inputs:
        raise OptionError("-o must be a file name or - for standard input")
    if len(set(names)) < len(names):
        raise OptionError("two inputs would be written to one name; use separate folders")
    return names


def write(name: str, data: bytes, source: str, overwrite: bool) -> None:
    """Write a file atomically; "-" is standard output. The input is never overwritten.

    Args:
        source: the path of the input.
        overwrite: whether an existing file is replaced.
    Raises:
        OutputError: the output is the input, exists and must not be replaced, or cannot be
            written.
    """
    if name == STREAM:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    if source != STREAM and path.exists() and path.samefile(source):
        raise OutputError(f"{name}: the output would overwrite the input; choose another name")
    if path.exists() and not overwrite:
        raise OutputError(f"{name}: exists (--no-overwrite)")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OutputError(f"{name}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(part, 0o666 & ~mask)
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"{name}: {error.strerror}") from None
    finally:
        if os.path.exists(part):
            os.unlink(part)
