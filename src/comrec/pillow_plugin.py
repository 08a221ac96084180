"""Pillow opens marked files in full, when asked."""

from __future__ import annotations

from typing import Any

from PIL import Image

from comrec.errors import ComrecError
from comrec.picture import PLUGIN, SIGNATURES
from comrec.wrapped import files


def register_pillow() -> None:
    """Let ``Image.open`` give the full picture of files that carry comrec's mark.

    Unmarked files open as before. To be called once; a second call changes nothing.
    """
    if PLUGIN in Image.OPEN:
        return
    Image.init()
    Image.register_open(PLUGIN, _open, _accept)  # type: ignore[arg-type]
    # Pillow asks formats in order: ours must see marked files before the plain decoders do.
    Image.ID.remove(PLUGIN)
    Image.ID.insert(0, PLUGIN)


def _accept(prefix: bytes) -> bool:
    return any(prefix[at : at + len(magic)] == magic for at, magic in SIGNATURES.values())


def _open(file: Any, filename: str | bytes) -> Image.Image:
    start = file.tell()
    data = file.read()
    file.seek(start)
    try:
        if files.mark_of(data) is None:
            raise SyntaxError("no comrec mark")
        image = files.decode(data).to_pil()
        if filename:  # Pillow opened the file and leaves it to the image, which needs it no more
            file.close()
        return image
    except ComrecError as error:
        # Left to the plain decoder, which opens the file as any viewer does.
        raise SyntaxError(str(error)) from None
