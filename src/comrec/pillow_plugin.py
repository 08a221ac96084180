"""Pillow opens marked files in full, and formats that it does not read itself, when asked."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageFile

from comrec import files
from comrec.errors import ComrecError, InputError
from comrec.formats import cmr, detection
from comrec.formats.detection import may_be_ours
from comrec.pillow_io import PLUGIN


def register_pillow() -> None:
    """Let ``Image.open`` give the full picture of files that carry comrec's mark.

    Unmarked files open as before. Of what Pillow does not read, .cmr files open too, and BPG,
    JPEG XL and HEIC files where their extras are installed. To be called once; a second call
    changes nothing.

    A .cmr file that is cut short or damaged raises an OSError; one of a progressive codec opens as
    what is there of it if ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES`` is true.
    """
    if PLUGIN in Image.OPEN:
        return
    Image.init()
    Image.register_open(PLUGIN, _open, may_be_ours)  # type: ignore[arg-type]
    # Pillow asks formats in order: ours must see marked files before the plain decoders do.
    Image.ID.remove(PLUGIN)
    Image.ID.insert(0, PLUGIN)


def _open(file: Any, filename: str | bytes) -> Image.Image:
    start = file.tell()
    data = file.read()
    file.seek(start)
    try:
        opened = files.parse(data)
        if not opened.beyond_pillow:
            raise SyntaxError("a plain file, which Pillow reads itself")
        image = opened.decode(partial=ImageFile.LOAD_TRUNCATED_IMAGES).to_pil()
        if filename:  # Pillow opened the file and leaves it to the image, which needs it no more
            file.close()
        return image
    except ComrecError as error:
        if isinstance(error, InputError) and detection.find(data) == cmr.FORMAT:
            raise OSError(str(error).removeprefix("input: ")) from None
        # Left to the plain decoder, which opens the file as any viewer does.
        raise SyntaxError(str(error)) from None
