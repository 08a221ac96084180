"""XMP packets (ISO 16684-1): removing properties, without changing the other bytes.

Only properties at the top level are looked at: attributes and children of the nodes (mostly
``rdf:Description``) in ``rdf:RDF``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
NOTE = "http://ns.adobe.com/xmp/note/"
_ORIENTATION = "http://ns.adobe.com/tiff/1.0/", "Orientation"

_GAIN_MAP = "the gain map is not carried; its entries in XMP are removed"
_VIDEO = "the video of the motion photo is not carried; its entries in XMP are removed"
_DEPTH = "the depth map is not carried; its entries in XMP are removed"
_PICTURES = "the file's other pictures are not carried; their entries in XMP are removed"
_SOUND = "the sound is not carried; its entries in XMP are removed"
_EXTENDED = "the extended XMP is not carried; its entry in XMP is removed"

_ALWAYS = {
    "http://ns.adobe.com/hdr-gain-map/1.0/": _GAIN_MAP,
    "http://ns.apple.com/HDRGainMap/1.0/": _GAIN_MAP,
    "http://ns.apple.com/depthData/1.0/": _DEPTH,
    "http://ns.google.com/photos/dd/1.0/": _DEPTH,  # Dynamic Depth: several, each deeper
    "http://ns.google.com/photos/1.0/container/": _PICTURES,
}
"""Namespaces (or what they start with) whose properties describe other parts of the file."""

_NAMED = {
    "http://ns.google.com/photos/1.0/camera/": (("MotionPhoto", "MicroVideo"), _VIDEO),
    "http://ns.oplus.com/photos/1.0/camera/": (
        ("MotionPhoto", "OLivePhoto", "VideoLength"), _VIDEO,
    ),
    "http://ns.xiaomi.com/photos/1.0/camera/": (("XMPMeta",), _DEPTH),
    NOTE: (("HasExtendedXMP",), _EXTENDED),
}  # fmt: skip
"""Namespaces of which only properties with these beginnings do."""

_WITH_DATA = {
    "http://ns.google.com/photos/1.0/depthmap/": _DEPTH,
    "http://ns.google.com/photos/1.0/image/": _PICTURES,
    "http://ns.google.com/photos/1.0/audio/": _SOUND,
}
"""Namespaces whose property ``Data``, mostly in extended XMP, is what the others describe."""

_POINTING = tuple(uri.encode() for uri in (*_ALWAYS, *_NAMED, *_WITH_DATA))

_SEMANTICS = ((b"GainMap", _GAIN_MAP), (b"MotionPhoto", _VIDEO), (b"Depth", _DEPTH))
"""What the items of a directory of the file's parts are."""

_ORIENTATION_AS_TEXT = re.compile(
    rb'\s?tiff:Orientation="\d"|<tiff:Orientation>\d</tiff:Orientation>'
)

_END_OF_PREFIX = re.compile(rb"[\s<>/=\"']")
_LONGEST = 64
"""Namespace prefixes of this length and more stay declared, used or not."""

_TAG = re.compile(rb"<[^\s/>]++((?:\s++[^\s=<>/]++\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'))*+)\s*+(/?)>")
_ATTRIBUTE = re.compile(rb"\s++([^\s=<>/]++)\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+')")


@dataclass(frozen=True)
class Property:
    """A property: where it is in the packet, with the white space before it."""

    uri: str
    name: str
    start: int
    end: int


@dataclass
class Node:
    """A node in ``rdf:RDF``: where it is, and the end of its start tag."""

    start: int
    tag_end: int
    end: int = 0
    properties: list[Property] = field(default_factory=list)


@dataclass
class Packet:
    """A packet that was read.

    Attributes:
        text: UTF-8.
        nodes: the nodes in ``rdf:RDF``.
        scope: namespaces by prefix, as declared outside the nodes.
        declarations: (prefix, namespace, start, end) of the attributes that declare a namespace,
            outside the nodes and in their start tags.
        rdf_end: where the end tag of ``rdf:RDF`` starts; None if there is none.
    """

    text: bytes
    nodes: list[Node] = field(default_factory=list)
    scope: dict[str, str] = field(default_factory=dict)
    declarations: list[tuple[bytes, bytes, int, int]] = field(default_factory=list)
    rdf_end: int | None = None

    @property
    def properties(self) -> Iterator[Property]:
        return (each for node in self.nodes for each in node.properties)

    def without(self, unwanted: Iterable[Property]) -> bytes | None:
        """The packet without these properties and without namespaces that only they used.

        Nodes that had no others go too. None if no property is left.
        """
        gone = set(unwanted)
        if gone.issuperset(self.properties):
            return None
        spans = []
        for node in self.nodes:
            if node.properties and gone.issuperset(node.properties):
                spans.append((node.start, node.end))
            else:
                spans += [(each.start, each.end) for each in node.properties if each in gone]
        left = cut(self.text, spans)
        namespaces = tuple({*_POINTING, *(each.uri.encode() for each in gone)})
        used = {_END_OF_PREFIX.split(part[-_LONGEST:])[-1] for part in left.split(b":")}
        spans += [
            (start, end)
            for prefix, uri, start, end in self.declarations
            if uri.startswith(namespaces) and prefix not in used and len(prefix) < _LONGEST
        ]
        return cut(self.text, spans)


def cut(text: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    """The text without (start, end) spans."""
    parts, at = [], 0
    for start, end in sorted(spans):
        parts.append(text[at:start])
        at = max(at, end)
    return b"".join([*parts, text[at:]])


def read(packet: bytes) -> Packet | None:
    """The structure of a packet; None if it is not well-formed XML, or has a DOCTYPE.

    XMP has no DOCTYPE; without one there are no entities that could expand.
    """
    text = _utf8(packet)
    if text is None:
        return None
    reader = _Reader(text)
    try:
        reader.run()
    except (expat.ExpatError, _RefusedError):
        return None
    return reader.packet if reader.packet.rdf_end is not None else None


def _utf8(packet: bytes) -> bytes | None:
    """The packet in UTF-8; it may be in UTF-16 or UTF-32."""
    codes = {b"<\0\0\0": "utf-32-le", b"\0\0\0<": "utf-32-be", b"\xff\xfe\0\0": "utf-32",
             b"\0\0\xfe\xff": "utf-32", b"<\0": "utf-16-le", b"\0<": "utf-16-be",
             b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # fmt: skip
    code = next((code for head, code in codes.items() if packet.startswith(head)), None)
    if code is None:
        return packet
    try:
        return packet.decode(code).encode()
    except ValueError:
        return None


class _RefusedError(Exception):
    pass


class _Reader:
    def __init__(self, text: bytes) -> None:
        self.packet = Packet(text)
        self._parser = expat.ParserCreate("utf-8", " ")
        self._parser.ordered_attributes = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartNamespaceDeclHandler = self._declare
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._depth = 0
        self._rdf_depth: int | None = None
        self._property: tuple[str, str, int, bool] | None = None
        self._node_is_empty = False
        self._last = 0
        """End of the last tag or property in the node."""

    def run(self) -> None:
        # Some writers pad packets with NUL, or start them with white space.
        text = self.packet.text.rstrip(b"\0")
        self._offset = len(text) - len(text.lstrip())
        self._parser.Parse(text[self._offset :], True)

    @property
    def _at(self) -> int:
        return self._offset + self._parser.CurrentByteIndex

    def _refuse(self, *_: object) -> None:
        raise _RefusedError

    def _declare(self, prefix: str | None, uri: str) -> None:
        if not self.packet.nodes:
            self.packet.scope[prefix or ""] = uri

    def _start(self, name: str, attributes: list[str]) -> None:
        self._depth += 1
        level = None if self._rdf_depth is None else self._depth - self._rdf_depth
        if level is not None and level > 2:
            return
        at = self._at
        if level == 2:
            tag = _TAG.match(self.packet.text, at)
            assert tag is not None  # expat has parsed it
            gap = self.packet.text[self._last : at]
            start = at if gap.strip() else self._last
            uri, _, local = name.rpartition(" ")
            self._property = uri, local, start, bool(tag[2])
            return
        tag = _TAG.match(self.packet.text, at)
        assert tag is not None
        found = list(_ATTRIBUTE.finditer(self.packet.text, *tag.span(1)))
        for each in found:
            if each[1].startswith(b"xmlns:"):
                value = each[0].split(b"=", 1)[1].strip()[1:-1]
                self.packet.declarations.append((each[1][6:], value, *each.span()))
        if level is None:
            if name == f"{RDF} RDF":
                self._rdf_depth = self._depth
            return
        node = Node(at, tag.end())
        self._node_is_empty, self._last = bool(tag[2]), tag.end()
        plain = [
            each for each in found if each[1] != b"xmlns" and not each[1].startswith(b"xmlns:")
        ]
        for full, each in zip(attributes[::2], plain, strict=True):
            uri, _, local = full.rpartition(" ")
            if uri not in (RDF, "", "http://www.w3.org/XML/1998/namespace"):
                node.properties.append(Property(uri, local, *each.span()))
        self.packet.nodes.append(node)

    def _end(self, name: str) -> None:
        level = None if self._rdf_depth is None else self._depth - self._rdf_depth
        self._depth -= 1
        if level is None or level > 2:
            return
        text = self.packet.text
        if level == 2:
            assert self._property is not None
            uri, local, start, empty = self._property
            end = self._at if empty else text.index(b">", self._at) + 1
            self._last = end
            self.packet.nodes[-1].properties.append(Property(uri, local, start, end))
        elif level == 1:
            end = self._at if self._node_is_empty else text.index(b">", self._at) + 1
            self.packet.nodes[-1].end = end
        else:
            self.packet.rdf_end, self._rdf_depth = self._at, None


def without_pointers(packet: bytes) -> tuple[bytes | None, tuple[str, ...]]:
    """The packet without the properties that describe data outside it, which is not carried.

    Those are gain maps, the videos of motion photos, depth maps, other pictures in the same file,
    and extended XMP.

    Returns:
        The packet, None if nothing is left of it; and notes on what was removed. A packet without
        such properties, or one that is not well-formed, is unchanged.
    """
    text = _utf8(packet)
    if text is None or not any(uri in text for uri in _POINTING):
        return packet, ()
    found = read(packet)
    if found is None:
        return packet, ()
    with_data = {each.uri for each in found.properties if each.name == "Data"}
    unwanted = {}
    for each in found.properties:
        note = _note(each, with_data, found.text)
        if note is not None:
            unwanted[each] = note
    if not unwanted:
        return packet, ()
    return found.without(unwanted), tuple(dict.fromkeys(unwanted.values()))


def _note(found: Property, with_data: set[str], text: bytes) -> str | None:
    """What is to be said of a property that points to data outside XMP; None of others."""
    if found.uri in _NAMED:
        beginnings, note = _NAMED[found.uri]
        return note if found.name.startswith(beginnings) else None
    if found.uri in _WITH_DATA:
        return None if found.uri in with_data else _WITH_DATA[found.uri]
    always = next((_ALWAYS[uri] for uri in _ALWAYS if found.uri.startswith(uri)), None)
    if always != _PICTURES:
        return always
    part = text[found.start : found.end]
    return next((note for semantic, note in _SEMANTICS if semantic in part), always)


def without_orientation(packet: bytes) -> bytes | None:
    """The packet without its copy of EXIF's orientation; None if nothing is left of it."""
    found = read(packet)
    if found is None:  # Pillow finds the orientation in text that is not well-formed, too
        return _ORIENTATION_AS_TEXT.sub(b"", packet)
    unwanted = [each for each in found.properties if (each.uri, each.name) == _ORIENTATION]
    return found.without(unwanted) if unwanted else packet
