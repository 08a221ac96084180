"""The parsers and decoders of ours that read untrusted bytes: what `fuzz_coverage` runs.

Each target takes any bytes. It raises nothing: typed errors are caught here, and any other
exception is a fault.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fuzz import GOLDEN, seeds
from mutations import mend_checksums
from PIL import ImageCms

import comrec
from comrec import files, pillow_io, preparation
from comrec.batch.places import LocalPlace
from comrec.batch.record import Entry, Record
from comrec.errors import ComrecError
from comrec.formats import (
    aperture,
    boxes,
    brob,
    cicp,
    cmr,
    coding,
    excerpt,
    extended_xmp,
    items,
    jp2,
    jxl,
    lenient,
    resolution,
    sizes,
    tiff,
    unsupported,
    xmp,
)
from comrec.formats.mark import Mark, unpack
from comrec.jpegtuning import tableset
from comrec.learned import progressive
from comrec.picture import Metadata
from comrec.preparation import colour, orientation, profiles
from comrec.sandwich import conditions
from comrec.standard.bpg import container
from comrec.train import recipe

Call = Callable[[], object]

_LARGE = 1 << 30
"""Bytes that a file is said to have, so that an excerpt of it is made."""
_SIDES = 17, 9
"""Pixels of the pictures whose coded values are made up."""


class Target(NamedTuple):
    """What is run, and what to begin with.

    Attributes:
        run: on any bytes.
        seeds: bytes that lead far.
        words: that the format is made of.
        weight: of its share of the time.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()
    weight: float = 1.0


def _all(*calls: Call) -> None:
    """All of them, whichever raises a typed error."""
    for call in calls:
        with suppress(ComrecError):
            call()


def _whole(data: bytes) -> list[Call]:
    """What is done with files of every format."""

    return [
        lambda: lenient.mended(data),
        lambda: list(lenient.completions(data)),
        lambda: unsupported.reason(data, "said"),
        lambda: excerpt.of(io.BytesIO(data), _LARGE),
        lambda: files.parse(data).check_density(plain=False),
        lambda: comrec.info(data),
    ]


def _decoding(data: bytes, call: Call) -> Call:
    """As it is called: where Pillow's errors, and those of `struct`, become typed."""

    def run() -> None:
        with pillow_io.decoding(data, "input"):
            call()

    return run


def _mark(data: bytes) -> None:
    valid = bytearray(data)
    mend_checksums(valid)
    _all(lambda: unpack(data), lambda: unpack(bytes(valid)))


def _cmr(data: bytes) -> None:
    valid = bytearray(data)
    mend_checksums(valid)
    for each in (data, bytes(valid)):
        _all(
            partial(cmr.parse, each),
            partial(cmr.parse, each, partial=True),
            partial(cmr.cut, each, len(each) // 2),
            partial(cmr.ends, each),
            partial(excerpt.of, io.BytesIO(each), _LARGE),
            partial(progressive.share, each, len(each)),
            partial(comrec.info, each),
        )


def _bpg(data: bytes) -> None:
    _all(
        lambda: container.streams(container.parse(data)),
        lambda: container.with_extension(data, container.XMP, b"<x/>"),
        lambda: coding.of("bpg", data),
        *_whole(data),
    )


def _jpeg(data: bytes) -> None:
    _all(lambda: conditions.from_file("jpeg", data, 50.0), *_whole(data))


def _png(data: bytes) -> None:
    valid = bytearray(data)
    mend_checksums(valid)
    for each in (data, bytes(valid)):
        _all(_decoding(each, partial(cicp.of_png, each)), *_whole(each))


def _webp(data: bytes) -> None:
    _all(lambda: coding.of("webp", data), *_whole(data))


def _boxes(data: bytes) -> None:
    _all(
        *(partial(sizes.check, name, data) for name in ("avif", "heic", "jpeg2000")),
        *(partial(coding.of, name, data) for name in ("avif", "heic", "jpeg2000")),
        lambda: items.check_size(data),
        _decoding(data, lambda: cicp.of_items(data)),
        _decoding(data, lambda: cicp.of_jp2(data)),
        _decoding(data, lambda: aperture.window(data, 53, 37)),
        _decoding(data, lambda: jp2.metadata_of(data)),
        _decoding(data, lambda: jp2.bits_of(data)),
        lambda: brob.limited(data),
        lambda: list(boxes.walk(jxl.without_tail(data), complete=True)),
        lambda: jxl.is_animated(data),
        *_whole(data),
    )


def _tiff(data: bytes) -> None:
    _all(
        lambda: tiff.pages(data),
        lambda: tiff.directory(data).alone(),
        lambda: resolution.of(Metadata(exif=data)),
        lambda: orientation.orientation_of(data),
        lambda: unsupported.reason(data),
        lambda: unsupported.reason(data, "said"),
        lambda: preparation.header_of(data),
    )


def _icc(data: bytes) -> None:
    _all(lambda: cicp.of_icc(data), lambda: colour.means_srgb(data))


def _xmp(data: bytes) -> None:
    first, *others = data.split(b"\xff\xff\xff")
    _all(
        lambda: xmp.read(data),
        lambda: xmp.without_pointers(data),
        lambda: xmp.without_orientation(data),
        lambda: extended_xmp.split(data, len(data) // 2),
        lambda: extended_xmp.merged(first, others),
    )


def _coded(name: str) -> Callable[[bytes], None]:
    """A decoder of coded values: the first byte says how they are wrapped."""
    head = cmr.parse((GOLDEN / name).read_bytes()).header
    head = replace(head, width=_SIDES[0], height=_SIDES[1])

    def run(data: bytes) -> None:
        how, payload = data[:1], data[1:]
        parts = [payload] if how < b"\x80" else progressive.payloads(payload)
        file = cmr.write(head, Metadata(), None, parts)
        with suppress(ComrecError):
            assert files.decode(file, partial=True).pixels.shape[:2] == _SIDES[::-1], "wrong size"

    return run


def _coded_seeds(codec: str, **options: Any) -> list[bytes]:
    ramp = np.add.outer(np.arange(_SIDES[1]), np.arange(_SIDES[0])) * 5 % 256
    colours = np.dstack([ramp, ramp[::-1], ramp[:, ::-1]]).astype(np.uint8)
    found = []
    for quality in (0, 30, 100):
        file = cmr.parse(comrec.encode(colours, codec, quality, **options))
        whole = b"".join(file.payloads)
        found += [b"\0" + whole, b"\x80" + whole[4:]]
    return found


def _tables(data: bytes) -> None:
    with suppress(ValueError):  # which is what it says of texts that are none
        tableset.loads(data)


_FOLDER = Path(tempfile.mkdtemp(prefix="comrec-fuzz-"))


def _recipe(data: bytes) -> None:
    path = _FOLDER / "some.toml"
    path.write_bytes(data)
    _all(lambda: recipe.load(str(path)))


def _record(data: bytes) -> None:
    path = _FOLDER / "record.jsonl"
    path.write_bytes(data)
    _all(lambda: Record(LocalPlace(_FOLDER), path).close())


def _files(*parts: str) -> Callable[[], list[bytes]]:
    """The golden files, and those made here, with one of these in their names."""

    def found() -> list[bytes]:
        return [data for name, data in seeds().items() if any(part in name for part in parts)]

    return found


_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_SPACES = {
    "xmpNote": xmp.NOTE,
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "GImage": "http://ns.google.com/photos/1.0/image/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
}


_XMP = tuple(
    token.encode()
    for token in (
        *_SPACES.values(), _RDF, 'xmlns:a="', "<a:b/>", "xmpNote:HasExtendedXMP", "<![CDATA[",
        "<!--", "<?a?>", "&amp;", "<!DOCTYPE", "xml:lang", "rdf:li",
        extended_xmp.HEAD.decode("ascii"),
    )
)  # fmt: skip


def _xmp_seeds() -> list[bytes]:
    declared = "".join(f' xmlns:{name}="{uri}"' for name, uri in _SPACES.items())

    def packet(attributes: str, inside: str) -> bytes:
        body = (
            f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
            f'<rdf:Description rdf:about=""{declared} {attributes}>{inside}</rdf:Description>'
            "</rdf:RDF></x:xmpmeta>"
        )
        return body.encode()

    large = packet("", f"<GImage:Data>{'A' * 600}</GImage:Data>")
    name = hashlib.md5(large).hexdigest()
    main = packet(f'xmpNote:HasExtendedXMP="{name}"', "<tiff:Orientation>6</tiff:Orientation>")
    part = extended_xmp.HEAD + name.encode() + struct.pack(">II", len(large), 0) + large
    plain = packet('hdrgm:Version="1" GCamera:MotionPhoto="1" tiff:Orientation="6"', "<tiff:A/> t")
    return [plain, large, main + b"\xff\xff\xff" + part, plain.decode().encode("utf-16")]


def _icc_seeds() -> list[bytes]:
    made_by_cms = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made_here = profiles.icc(cicp.of_codes(12, 13), gray=False)
    return [made_by_cms, made_here or b""]


def _record_seeds() -> list[bytes]:
    entry = Entry("a/b.png", 3, "1.5", "00", "11", "a/b.jpg", 2, "22", False)
    lines = [json.dumps(asdict(each)) for each in (entry, replace(entry, written=True))]
    return ["\n".join(lines).encode()]


def _cmr_seeds() -> list[bytes]:
    return _files(".cmr")()


def _mark_seeds() -> list[bytes]:
    return [Mark(scale, 50.0, 53, 37, "ab" * 10).pack() for scale in (1, 2)]


def _tables_seeds() -> list[bytes]:
    return [tableset.load("imagenet").to_json().encode()]


def _recipe_seeds() -> list[bytes]:
    return [(recipe.FOLDER / f"{name}.toml").read_bytes() for name in recipe.shipped()]


_BOXES = tuple(
    b"ftyp meta iprp ipco ipma iinf infe iloc iref pitm ispe hvcC av1C clap colr nclx pixi irot "
    b"imir jp2h ihdr jp2c res resc brob jxlc jxlp JXL uuid lsel a1op auxC grid prem mdat".split()
)

TARGETS: Mapping[str, Target] = {
    "mark": Target(_mark, _mark_seeds, weight=0.25),
    "cmr": Target(_cmr, _cmr_seeds, (b"HEAD", b"exif", b"icc ", b"xmp ", b"ALPH", b"DATA")),
    "bpg": Target(_bpg, _files("bpg"), (b"BPG\xfb", b"\0\0\1")),
    "jpeg": Target(_jpeg, _files("jpeg", ".jpg"), (b"JFIF\0", b"Adobe\0", b"Exif\0\0", b"comrec")),
    "png": Target(_png, _files("png"), (b"cICP", b"cHRM", b"gAMA", b"iTXt", b"zTXt", b"iCCP")),
    "webp": Target(_webp, _files("webp"), (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"EXIF", b"XMP ")),
    "boxes": Target(
        _boxes, _files("avif", "heic", "jp2", "jxl", "jpeg2000", "jpegxl"), _BOXES, 1.5
    ),
    "tiff": Target(_tiff, _files("tiff"), (b"8BPS\0\1",)),
    "icc": Target(_icc, _icc_seeds, (b"cicp", b"rTRC", b"curv", b"para", b"desc", b"mluc"), 0.5),
    "xmp": Target(_xmp, _xmp_seeds, _XMP),
    "liu2018": Target(_coded("v1-liu2018-mse.cmr"), lambda: _coded_seeds("liu2018"), (), 1.5),
    "rippel2017": Target(_coded("v1-rippel2017.cmr"), lambda: _coded_seeds("rippel2017"), (), 1.5),
    "toderici2017": Target(
        _coded("v1-toderici2017.cmr"), lambda: _coded_seeds("toderici2017"), (), 2.0
    ),
    "tables": Target(_tables, _tables_seeds, (b'"format"', b"1e400", b"NaN", b"[["), 0.5),
    "recipe": Target(
        _recipe, _recipe_seeds, (b"[[a]]", b"inf", b"nan", b"0x", b'"""', b"a.b"), 0.5
    ),
    "record": Target(
        _record, _record_seeds, (b'"source"', b"1e400", b"NaN", b"true", b"null"), 0.5
    ),
}
