"""XMP: entries that point to data that is not carried, and the copy of EXIF's orientation."""

from __future__ import annotations

import hashlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import sources
from PIL import Image

import comrec
from comrec import codec, files, preparation
from comrec.cli import main
from comrec.errors import UnsupportedPictureError
from comrec.formats import xmp
from comrec.picture import Metadata, Picture
from comrec.preparation import Preparation

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
NAMESPACES = {
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "HDRGainMap": "http://ns.apple.com/HDRGainMap/1.0/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "Item": "http://ns.google.com/photos/1.0/container/item/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "GDepth": "http://ns.google.com/photos/1.0/depthmap/",
    "GImage": "http://ns.google.com/photos/1.0/image/",
    "Device": "http://ns.google.com/photos/dd/1.0/device/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
}
CREATOR = "<dc:title>a <b>cat</b> &amp; more</dc:title>"


def packet(attributes: str = "", elements: str = "", wrapped: bool = True) -> bytes:
    """A packet with one node, which declares the namespaces that it mentions."""
    used = {name: uri for name, uri in NAMESPACES.items() if f"{name}:" in attributes + elements}
    declared = "".join(f' xmlns:{name}="{uri}"' for name, uri in used.items())
    space = " " if attributes else ""
    body = (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">\n'
        f'  <rdf:Description rdf:about=""{declared}{space}{attributes}>\n    {elements}\n'
        "  </rdf:Description>\n</rdf:RDF></x:xmpmeta>"
    )
    if wrapped:
        body = f'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>\n{body}   \n<?xpacket end="w"?>'
    return body.encode()


def directory(semantic: str) -> str:
    return (
        '<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource">'
        f'<Container:Item Item:Semantic="{semantic}" Item:Length="50"/>'
        "</rdf:li></rdf:Seq></Container:Directory>"
    )


POINTERS = [
    ("hdrgm:Version=\"1.0\" hdrgm:GainMapMax='2 > 1'", "", "gain map"),
    ("", "<HDRGainMap:HDRGainMapVersion >65536</HDRGainMap:HDRGainMapVersion >", "gain map"),
    ("", directory("GainMap"), "gain map"),
    ('GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"', "", "motion photo"),
    ('GCamera:MicroVideo="1"', "<GCamera:MicroVideoOffset>9</GCamera:MicroVideoOffset>", "motion"),
    ("", directory("MotionPhoto"), "motion photo"),
    ("", directory("Other"), "other pictures"),
    ('GDepth:Near="1"', "<GDepth:Far/>", "depth map"),
    ('GImage:Mime="image/jpeg"', "", "other pictures"),
    ("", '<Device:Cameras rdf:parseType="Resource"/>', "depth map"),
    ('xmpNote:HasExtendedXMP="0123"', "", "extended XMP"),
]


@pytest.mark.parametrize(("attributes", "elements", "words"), POINTERS)
def test_entries_of_what_is_not_carried_go_with_a_note(
    attributes: str, elements: str, words: str
) -> None:
    rest = packet('dc:source="x &gt; y"', CREATOR)
    source = packet(f'dc:source="x &gt; y" {attributes}'.strip(), CREATOR + elements)
    picture = Picture(sources.smooth(3), None, Metadata(xmp=source))
    data = codec.get("png").encode(picture, 100)
    read = files.read(data, "input")
    (note,) = read.notes
    assert words in note
    assert "not carried" in note
    assert read.metadata.xmp is not None
    assert read.metadata.xmp.split() == rest.split()  # white space aside
    decoded = comrec.decode(data)
    assert decoded.info["notes"] == (note,)
    assert decoded.info["xmp"] == read.metadata.xmp
    alone = Picture(picture.pixels, None, Metadata(xmp=packet(attributes, elements)))
    assert preparation.finish(alone, Preparation()).metadata.xmp is None
    without = preparation.finish(picture, Preparation(metadata="exif"))
    assert (without.metadata.xmp, without.notes) == (None, ())


@pytest.mark.parametrize("code", ["utf-16-le", "utf-16", "utf-32-be"])
def test_packets_in_other_encodings_are_edited_too(code: str) -> None:
    text = packet('hdrgm:Version="1.0"', CREATOR, wrapped=False).decode().encode(code)
    left, notes = xmp.without_pointers(text)
    assert left is not None
    assert left.split() == packet("", CREATOR, wrapped=False).split()
    assert len(notes) == 1


UNCHANGED = {
    "no pointers": packet('tiff:Make="a"', CREATOR),
    "data in XMP": packet('GDepth:Data="AAAA" GDepth:Near="1"', CREATOR),
    "another property of the camera": packet('GCamera:SpecialTypeID="x"', CREATOR),
    "deeper, not the picture's own": packet(
        "", '<dc:source rdf:parseType="Resource"><hdrgm:Version>1</hdrgm:Version></dc:source>'
    ),
    "not well-formed": packet('hdrgm:Version="1.0"', "<dc:title>"),
    "a DOCTYPE": b'<!DOCTYPE x [<!ENTITY a "b">]>'
    + packet('hdrgm:Version="1.0"', "&a;", wrapped=False),
    "no RDF": b'<x xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1"/>',
    "no XML": b"\xff\xfeXMP of http://ns.adobe.com/hdr-gain-map/1.0/",
    "padding": packet("", CREATOR) + bytes(40),
}


@pytest.mark.parametrize("kind", UNCHANGED)
def test_other_packets_are_carried_byte_for_byte(kind: str) -> None:
    picture = Picture(sources.smooth(3), None, Metadata(xmp=UNCHANGED[kind]))
    finished = preparation.finish(picture, Preparation())
    assert finished.metadata.xmp == UNCHANGED[kind]
    assert finished.notes == ()


@pytest.mark.parametrize(
    "text", ['a="b"', '>a="b"', 'a="b" c', '>a="b"c="d"> <e/>', 'x > y="1"', "/a='b'", ">a='b'>"]
)
def test_text_that_looks_like_attributes_is_none(text: str) -> None:
    """After a tag that ends with white space."""
    kept = packet("", CREATOR).replace(b' rdf:about=""', b' rdf:about="" ')
    begin, end = kept.split(b">\n    <dc")
    before = b'<GCamera:MotionPhoto xmlns:GCamera="%b" >%b</GCamera:MotionPhoto>' % (
        NAMESPACES["GCamera"].encode(), text.encode()
    )  # fmt: skip
    found, notes = xmp.without_pointers(begin + b" >" + text.encode() + before + b"<dc" + end)
    assert found == begin + b" >" + text.encode() + b"<dc" + end
    assert len(notes) == 1


def test_a_namespace_that_others_use_stays_declared() -> None:
    source = packet(
        'GCamera:MotionPhoto="1" GCamera:SpecialTypeID="x"', "<dc:source>hdrgm:kept</dc:source>"
    )
    left, _ = xmp.without_pointers(source)
    assert left is not None
    assert b"MotionPhoto" not in left
    assert b'xmlns:GCamera="' in left
    again = xmp.read(left)
    assert again is not None
    assert [each.name for each in again.properties] == ["SpecialTypeID", "source"]


ORIENTATIONS = [
    ('tiff:Orientation="6"', ""),
    ("tiff:Orientation = '6'", ""),
    ("", "<tiff:Orientation>6</tiff:Orientation>"),
    ("", "<tiff:Orientation\n> 6 </tiff:Orientation >"),
]


@pytest.mark.parametrize(("attribute", "element"), ORIENTATIONS)
def test_without_exif_xmp_has_no_orientation(attribute: str, element: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    source = packet(f'{attribute} dc:source="x"'.strip(), CREATOR + element)
    picture = Picture(sources.smooth(3), None, Metadata(exif.tobytes(), xmp=source))
    upright = preparation.finish(picture, Preparation(metadata="xmp"))
    assert upright.metadata.xmp is not None
    assert upright.metadata.xmp.split() == packet('dc:source="x"', CREATOR).split()
    assert np.array_equal(upright.pixels, np.rot90(picture.pixels, -1))
    assert preparation.finish(picture, Preparation()).metadata.xmp == source


def test_white_space_costs_no_more_than_other_text() -> None:
    # Quadratic work on 4 MB would take hours.
    for text in (b"<x>" + b" " * 4_000_000 + b"</x>", b" " * 4_000_000 + b"tiff:Orientation"):
        assert xmp.without_orientation(text) == text
    wide = packet('hdrgm:Version="1"', CREATOR + " " * 4_000_000)
    left, _ = xmp.without_pointers(wide)
    assert left is not None
    assert b"hdrgm" not in left
    many = packet('hdrgm:Version="1"', "<dc:a> </dc:a> \n" * 20_000, wrapped=False)
    left, _ = xmp.without_pointers(many)
    assert left is not None
    assert left.count(b"<dc:a>") == 20_000


def test_the_command_line_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "hdr.jpg"
    buffer = io.BytesIO()
    xmp_of_hdr = packet('hdrgm:Version="1.0"', CREATOR)
    Image.fromarray(sources.smooth(3)).save(buffer, "JPEG", xmp=xmp_of_hdr)
    source.write_bytes(buffer.getvalue())
    for arguments in (["encode", "-c", "webp", "-o"], ["decode", "-o"]):
        verb, *rest = arguments
        out = tmp_path / f"{verb}.{'webp' if verb == 'encode' else 'png'}"
        assert main([verb, str(source), *rest, str(out)]) == 0
        assert "the gain map is not carried; its entries in XMP are removed" in (
            capsys.readouterr().err
        )
        assert b"hdrgm" not in out.read_bytes()


# Extended XMP


def of_jpeg(*segments: bytes) -> bytes:
    """A JPEG file with the bodies of APP1 segments."""
    data = sources.saved(Image.fromarray(sources.smooth(3)), "JPEG")
    packed = (b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body for body in segments)
    return data[:20] + b"".join(packed) + data[20:]


def extension(text: bytes, part: int = 30_000) -> tuple[str, list[bytes]]:
    """The name of an extended packet, and its segments."""
    name = hashlib.md5(text).hexdigest().upper()
    return name, [
        b"http://ns.adobe.com/xmp/extension/\0"
        + name.encode()
        + struct.pack(">II", len(text), at)
        + text[at : at + part]
        for at in range(0, len(text), part)
    ]


LONG = packet(
    'GDepth:Data="' + "QUJD" * 20_000 + '"', "<dc:source>from afar</dc:source>", wrapped=False
)
HEAD = b"http://ns.adobe.com/xap/1.0/\0"


def main_packet(name: str, elements: str = CREATOR) -> bytes:
    return HEAD + packet(f'GDepth:Near="1" xmpNote:HasExtendedXMP="{name}"', elements)


def properties(text: bytes | None) -> dict[str, bytes]:
    found = xmp.read(text or b"")
    assert found is not None
    return {each.name: found.text[each.start : each.end].strip() for each in found.properties}


@pytest.mark.parametrize("order", [1, -1])
def test_extended_xmp_is_assembled(order: int) -> None:
    name, parts = extension(LONG)
    other = extension(packet("", "<dc:title>another</dc:title>", wrapped=False))[1]
    data = of_jpeg(main_packet(name), *parts[::order], *other)
    found = files.read(data, "input")
    assert found.notes == ()
    expected = properties(LONG) | properties(packet('GDepth:Near="1"', CREATOR))
    assert properties(found.metadata.xmp) == expected
    assert b"HasExtendedXMP" not in (found.metadata.xmp or b"")
    assert comrec.decode(data).info["xmp"] == found.metadata.xmp


def test_namespaces_of_extended_xmp_are_declared() -> None:
    outside = LONG.replace(
        b' xmlns:rdf="', f' xmlns:dc="{NAMESPACES["dc"]}" xmlns:a="b&amp;c" xmlns:rdf="'.encode(), 1
    )
    node = f' xmlns:dc="{NAMESPACES["dc"]}"'.encode()
    at = outside.index(b"<rdf:Description")
    outside = outside[:at] + outside[at:].replace(node, b"", 1)
    name, parts = extension(outside)
    found = files.read(of_jpeg(main_packet(name, ""), *parts), "input")
    assert found.notes == ()
    assert properties(found.metadata.xmp)["source"] == b"<dc:source>from afar</dc:source>"


def damaged(kind: str) -> list[bytes]:
    name, parts = extension(LONG)
    main = main_packet(name)
    if kind == "incomplete":
        return [main, *parts[1:]]
    if kind == "absent":
        return [main]
    if kind == "of another name":
        return [main_packet("0" * 32), *parts]
    if kind == "changed":
        return [main, parts[0][:-1] + b"X", *parts[1:]]
    if kind == "cut short":
        return [main, *(part[:60] for part in parts)]
    wrong_name, wrong = extension(LONG[:-20])
    return [main_packet(wrong_name), *wrong]


@pytest.mark.parametrize(
    "kind", ["incomplete", "absent", "of another name", "changed", "cut short", "not well-formed"]
)
def test_damaged_extended_xmp_is_left_out_with_a_note(kind: str) -> None:
    found = files.read(of_jpeg(*damaged(kind)), "input")
    # What only describes its data goes with it.
    assert found.notes == (
        "the depth map is not carried; its entries in XMP are removed",
        "the extended XMP is not carried; its entry in XMP is removed",
    )
    assert (found.metadata.xmp or b"").split() == packet("", CREATOR).split()


@pytest.mark.parametrize("codec_id", ["jpeg", "jpeg-tuned", "deepn-jpeg", "jpegli", "comrec-jpeg"])
def test_jpeg_has_long_xmp_as_extended_xmp(codec_id: str) -> None:
    long = packet(
        'tiff:Make="a"' + f' dc:source="{"x" * 90_000}"',
        f"{CREATOR}<dc:rights>{'y' * 70_000}</dc:rights>",
    )
    picture = Picture(sources.smooth(3), None, Metadata(xmp=long))
    data = comrec.encode(picture, codec_id, 60)
    first = comrec.decode(data).info["xmp"]
    assert properties(first) == properties(long)
    with Image.open(io.BytesIO(data)) as image:  # others see the rest
        seen = image.info["xmp"]
    assert len(seen) < 65_503
    assert {"Make", "title", "HasExtendedXMP"} <= set(properties(seen))
    again = comrec.encode(data, codec_id, 60)
    assert comrec.decode(again).info["xmp"] == first


@pytest.mark.parametrize("text", [bytes(70_000), b"<x/>" * 30_000])
def test_long_xmp_that_is_not_well_formed_is_refused_by_jpeg(text: bytes) -> None:
    picture = Picture(sources.smooth(3), None, Metadata(xmp=text))
    with pytest.raises(UnsupportedPictureError, match="XMP of at most 65,504 bytes"):
        comrec.encode(picture, "jpeg", 60)
