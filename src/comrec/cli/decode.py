"""comrec decode: decode files to lossless pictures."""

from __future__ import annotations

import argparse
import io
import time
from dataclasses import replace
from typing import Any

from PIL import ExifTags, Image

from comrec import api, codec, regions
from comrec.cli import jobs, paths, preparing, targeting, terminal, writing
from comrec.cli.paths import Job
from comrec.cli.typed import as_typed
from comrec.cli.writing import Taken
from comrec.errors import OptionError
from comrec.formats import resolution
from comrec.inference import store
from comrec.picture import Metadata
from comrec.pillow_io import DECODER_ERRORS, from_pil, without_storage
from comrec.sandwich.enhancement import enhancing

_FORMATS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP", ".ppm": "PPM"}

_PNG_EFFORT = 4  # zlib's default level; higher ones are slow for small gains


def add(verbs: Any) -> None:
    """Declare the command."""
    verb = verbs.add_parser("decode", help="decode files", description=__doc__)
    verb.add_argument("inputs", nargs="+", metavar="IN", help="files; - for standard input")
    verb.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="output file, folder, or - for PNG on standard output",
    )
    how = verb.add_mutually_exclusive_group()
    how.add_argument(
        "--enhance", action="store_true", help="also remove artefacts from plain files"
    )
    verb.add_argument(
        "--strength",
        type=float,
        metavar="S",
        help="of --enhance: 0 (leave it as it is) to 1 (the default)",
    )
    verb.add_argument(
        "--network",
        choices=store.SIZES,
        help="of --enhance: for JPEG also a small one, or one that is slow and better",
    )
    how.add_argument(
        "--plain", action="store_true", help="decode as other viewers do, without a network"
    )
    verb.add_argument(
        "--allow-partial",
        action="store_true",
        help="decode as much as there is of a file that is cut short",
    )
    verb.add_argument(
        "--iterations",
        type=int,
        metavar="N",
        help="decode the first N iterations of a toderici2017 file: faster, coarser",
    )
    verb.add_argument(
        "--region",
        type=targeting.value(regions.parse),
        metavar="X,Y,WxH",
        help="decode the rectangle of WxH pixels whose first is at X,Y: networks run on it alone",
    )
    verb.add_argument(
        "--allow-large",
        action="store_true",
        help="decode pictures too large for so small a file too, such as huge blank scans",
    )
    preparing.add_metadata(verb)
    jobs.add_untrusted(verb)
    jobs.add_arguments(verb, quiet="no progress bar, no warnings")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    plan = paths.plan(options.inputs, options.output, ".png")
    suffix = paths.suffix(options.output)
    if suffix is None:
        suffix = ".png"
    elif suffix not in _FORMATS:
        hint = "" if suffix else paths.hint(options.output)
        raise OptionError(
            f"{options.output}: decode writes lossless formats: {', '.join(_FORMATS)}{hint}"
        )
    preparing.check_metadata(options)
    with as_typed():
        enhancing(enhance=options.enhance, strength=options.strength, network=options.network)
    taken = Taken(options.inputs)

    def decode(job: Job) -> dict[str, Any]:
        return _decode_one(job.source, job.output, suffix, taken, options)

    def show(report: dict[str, Any]) -> None:
        if options.json:
            terminal.report(report, aside=writing.is_stdout(report["output"]))

    return jobs.run(plan, decode, show, "decode", options.quiet)


def _file(image: Image.Image, target: str, suffix: str) -> bytes:
    picture = from_pil(image)
    if suffix == ".png":
        return codec.get("png", effort=_PNG_EFFORT).encode(picture, 100)
    if _FORMATS[suffix] != "TIFF":
        if picture.alpha is not None:
            raise OptionError(f"{target}: {suffix} files cannot store transparency; use .png")
        if replace(picture.metadata, resolution=None) != Metadata():
            raise OptionError(
                f"{target}: {suffix} files cannot store metadata; use .png, or --metadata none"
            )
    buffer = io.BytesIO()
    try:
        options = _options(_FORMATS[suffix], picture.metadata)
        picture.bare.to_pil().save(buffer, _FORMATS[suffix], **options)
    except DECODER_ERRORS as error:
        raise OptionError(
            f"{target}: damaged EXIF ({error}); --metadata icc,xmp leaves it out"
        ) from None
    return buffer.getvalue()


def _options(kind: str, metadata: Metadata) -> dict[str, Any]:
    """Of Pillow, for what a format can hold of the metadata."""
    if kind == "TIFF":
        return _tiff_options(metadata)
    found = resolution.of(metadata)
    return {"dpi": found} if kind == "BMP" and found is not None else {}


def _tiff_options(metadata: Metadata) -> dict[str, Any]:
    found = Image.Exif()
    found.load(metadata.exif or b"")
    exif = without_storage(found)
    if metadata.xmp is not None:
        exif[ExifTags.Base.XMLPacket] = metadata.xmp
    if (stated := resolution.of(metadata)) is not None:
        exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = stated
        exif[ExifTags.Base.ResolutionUnit] = 2  # inch
    icc = {} if metadata.icc is None else {"icc_profile": metadata.icc}
    return {"exif": exif.tobytes(), **icc}


def _decode_one(
    source: str, target: str, suffix: str, taken: Taken, options: argparse.Namespace
) -> dict[str, Any]:
    writing.check(target, taken, not options.no_overwrite)
    times = writing.times(source) if options.preserve else None
    data = paths.read(source)
    started = time.perf_counter()
    image = api.decode(
        data,
        enhance=options.enhance,
        strength=options.strength,
        network=options.network,
        plain=options.plain,
        allow_partial=options.allow_partial,
        iterations=options.iterations,
        allow_large=options.allow_large,
        region=options.region,
        metadata=options.metadata,
        untrusted=options.untrusted,
        name=paths.label(source),
    )
    seconds = time.perf_counter() - started
    if not options.quiet:
        terminal.noted(paths.label(source), image.info.get("notes", ()))
    written = _file(image, target, suffix)
    writing.write(target, written, taken, overwrite=not options.no_overwrite, keep=times)
    return {
        "input": source,
        "output": target,
        "width": image.width,
        "height": image.height,
        "bytes": len(data),
        "bpp": round(8 * len(data) / (image.width * image.height), 4),
        "decode_s": round(seconds, 3),
    }
