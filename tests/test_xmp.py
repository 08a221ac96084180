"""XMP: entries that point to data that is not carried, and the copy of EXIF's orientation."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import sources
from PIL import Image

import comrec
from comrec import codec, files, preparation
from comrec.cli import main
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
