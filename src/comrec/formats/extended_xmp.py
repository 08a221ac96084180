"""Extended XMP: XMP of more than 64 kB in JPEG files (XMP specification part 3, section 1.1.3.1).

The main packet names the MD5 of a second one, which is divided among segments.
"""

from __future__ import annotations

import bisect
import hashlib
import re
import struct
from collections.abc import Iterable

from comrec.formats import limits, xmp
from comrec.formats.xmp import NOTE, RDF, Node, Packet, Property

HEAD = b"http://ns.adobe.com/xmp/extension/\x00"
_PART = 65_400
"""Bytes of the packet in one segment."""

_FIELDS = struct.Struct(">32sII")
"""MD5 in hexadecimal digits, size of the packet, offset of the part."""

_POINTER = NOTE, "HasExtendedXMP"
_TAG_NAME = re.compile(rb"<[^\s/>]+")
_DIGITS = re.compile(rb"[0-9A-Fa-f]{32}")


def merged(packet: bytes, segments: Iterable[bytes]) -> bytes:
    """The main packet with the properties of the extended one, each node after its own.

    Unchanged if there is no extended packet, or it is damaged or not complete.

    Args:
        segments: the bodies of the file's APP1 segments.
    """
    parts = [body[len(HEAD) :] for body in segments if body.startswith(HEAD)]
    main = xmp.read(packet) if parts else None
    if main is None:
        return packet
    digits = [_DIGITS.search(main.text, each.start, each.end) for each in _pointers(main)]
    names = {found[0].upper() for found in digits if found}
    extended = _assembled(names.pop(), parts) if len(names) == 1 else None
    extra = None if extended is None else xmp.read(extended)
    if extra is None or not extra.nodes:
        return packet
    nodes = _nodes(extra, main.scope)
    if nodes is None:
        return packet
    at = main.nodes[-1].end
    whole = xmp.read(main.text[:at] + nodes + main.text[at:])
    count = len(list(main.properties)) + len(list(extra.properties))
    if whole is None or len(list(whole.properties)) != count:
        return packet
    return whole.without(_pointers(whole)) or packet


def _pointers(packet: Packet) -> list[Property]:
    return [each for each in packet.properties if (each.uri, each.name) == _POINTER]


def _assembled(name: bytes, parts: list[bytes]) -> bytes | None:
    """The packet with an MD5; None if it is not complete."""
    found: dict[int, bytes] = {}
    sizes = set()
    for part in parts:
        if len(part) >= _FIELDS.size:
            digits, size, at = _FIELDS.unpack_from(part)
            if digits.upper() == name:
                sizes.add(size)
                found[at] = part[_FIELDS.size :]
    packet = b"".join(body for _, body in sorted(found.items()))
    if sizes != {len(packet)} or len(packet) > limits.METADATA:
        return None
    return packet if _md5(packet) == name else None


def _md5(packet: bytes) -> bytes:
    return hashlib.md5(packet, usedforsecurity=False).hexdigest().upper().encode()


def _nodes(extra: Packet, scope: dict[str, str]) -> bytes | None:
    """The nodes of a packet, for one in which other namespaces are declared; None if too large."""
    start, end = extra.nodes[0].start, extra.nodes[-1].end
    missing = {
        name.encode(): _declaration(name.encode(), uri.encode())
        for name, uri in extra.scope.items()
        if scope.get(name) != uri
    }
    if not missing:
        return extra.text[start:end]
    if sum(map(len, missing.values())) * len(extra.nodes) > limits.METADATA:
        return None
    own: dict[int, set[bytes]] = {node.start: set() for node in extra.nodes}
    starts = list(own)
    for name, _, at, _ in extra.declarations:
        if at > starts[0]:
            own[starts[bisect.bisect(starts, at) - 1]].add(name)
    parts = []
    for node in extra.nodes:
        tag_name = _TAG_NAME.match(extra.text, node.start)
        assert tag_name is not None  # it has been parsed
        parts.append(tag_name[0])
        parts += [text for name, text in missing.items() if name not in own[node.start]]
        parts.append(extra.text[tag_name.end() : node.end])
    return b"".join(parts)


def _declaration(name: bytes, uri: bytes) -> bytes:
    quoted = uri.replace(b"&", b"&amp;").replace(b'"', b"&quot;").replace(b"<", b"&lt;")
    return b" xmlns" + (b":" + name if name else b"") + b'="' + quoted + b'"'


def split(packet: bytes, room: int) -> tuple[bytes, list[bytes]]:
    """A packet of at most ``room`` bytes, and the bodies of the segments with the rest.

    Whole nodes are moved from the end; of the first that is too large, the largest properties.
    Unchanged if it fits, or it is not well-formed, or has too large a rest.
    """
    found = xmp.read(packet) if len(packet) > room else None
    if found is None:
        return packet, []
    need = len(found.text) - room + len(_note(bytes(32)))
    moved: list[bytes] = []
    spans: list[tuple[int, int]] = []
    starts = [0, *(node.end for node in found.nodes)]
    for node, before in reversed(list(zip(found.nodes, starts, strict=False))):
        if need <= 0:
            break
        start = node.start if found.text[before : node.start].strip() else before
        size = node.end - start
        if node is not found.nodes[0]:
            spans.append((start, node.end))
            moved.append(found.text[start : node.end])
            need -= size
            continue
        taken = []
        for each in sorted(node.properties, key=lambda each: each.start - each.end):
            if need <= 0:
                break
            taken.append(each)
            need -= each.end - each.start
        spans += [(each.start, each.end) for each in taken]
        moved.append(_with(found, node, taken))
    if need > 0:
        return packet, []
    extended = _packet(found.scope, b"".join(reversed(moved)))
    name = _md5(extended)
    main = xmp.cut(found.text, spans)
    again = xmp.read(main)
    if again is None:
        return packet, []
    at = again.nodes[-1].end
    segments = [
        HEAD + _FIELDS.pack(name, len(extended), start) + extended[start : start + _PART]
        for start in range(0, len(extended), _PART)
    ]
    return main[:at] + _note(name) + main[at:], segments


def _note(name: bytes) -> bytes:
    return (
        f'<rdf:Description xmlns:rdf="{RDF}" rdf:about="" xmlns:xmpNote="{NOTE}" '
        f'xmpNote:HasExtendedXMP="{name.decode()}"/>'
    ).encode()


def _with(packet: Packet, node: Node, properties: list[Property]) -> bytes:
    """A node like another, with some of its properties."""
    others = set(node.properties) - set(properties)
    cut = xmp.cut(packet.text[: node.end], ((each.start, each.end) for each in others))
    return cut[node.start :]


def _packet(scope: dict[str, str], nodes: bytes) -> bytes:
    declared = b"".join(_declaration(name.encode(), uri.encode()) for name, uri in scope.items())
    prefix = next(name for name, uri in scope.items() if uri == RDF).encode()
    tag = prefix + b":RDF" if prefix else b"RDF"
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><' + tag + declared + b">" + nodes
        + b"</" + tag + b"></x:xmpmeta>"
    )  # fmt: skip
