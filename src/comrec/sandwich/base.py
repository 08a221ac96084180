"""What the two families of sandwich codecs have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from comrec import codec
from comrec.codec import Codec, effort_option
from comrec.formats import detection
from comrec.inference import store
from comrec.picture import Picture
from comrec.preparation.header import Header
from comrec.regions import Region
from comrec.sandwich import marked


@dataclass(frozen=True)
class Sandwich(Codec):
    """A standard codec between two networks. Its files are the standard codec's, with a mark.

    Attributes:
        base: the standard codec's id.
        effort: the standard codec's.
        payloads: the standard codec with its options between the networks, by base, where these
            are not its defaults.
    """

    payloads: ClassVar[Mapping[str, str]] = {}

    base: str
    effort: int = effort_option()

    @property
    @abstractmethod
    def family(self) -> str:
        """Of its networks, as `comrec.inference.store.Network` names it."""

    @cached_property
    def plain(self) -> Codec:
        """The standard codec alone."""
        return codec.parse(self.base, {"effort": self.effort})

    @cached_property
    def payload(self) -> Codec:
        """The standard codec with the options that it has between the networks."""
        defaults = {"effort": self.effort, "subsampling": self.sampling}
        return codec.parse(self.payloads.get(self.base, self.base), defaults)

    @property
    def sampling(self) -> str:
        """The chroma subsampling between the networks: that of the files they are trained on."""
        return "4:2:0"

    @property
    def id(self) -> str:
        return f"{self.family}-{self.base}"

    @property
    def extension(self) -> str:
        return self.plain.extension

    @property
    def aliases(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.plain.aliases

    @property
    def container(self) -> str:
        return self.base

    @property
    def extra(self) -> str | None:
        return self.plain.extra

    @property
    def modules(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.plain.modules

    @property
    def packages(self) -> tuple[str, ...]:
        both = (*self.payload.packages, *self.plain.packages, "onnxruntime")
        return tuple(dict.fromkeys(both))

    @property
    def networks(self) -> tuple[str, ...]:
        return tuple(
            network.sha256
            for network in store.networks()
            if network.family == self.family and network.variant in (self.base, "jpeg")
        )

    @property
    def quality_step(self) -> float | None:
        return self.payload.quality_step

    def encode(self, picture: Picture, quality: float) -> bytes:
        return self.encoder(picture)(quality)

    def decode(self, data: bytes, *, partial: bool = False) -> Picture:
        detection.expect(data, self.container)
        mark = marked.mark_of(self.plain, data)
        return marked.decode(self.plain, data, mark, partial=partial)

    def decode_region(self, data: bytes, region: Region, *, partial: bool = False) -> Picture:
        detection.expect(data, self.container)
        mark = marked.mark_of(self.plain, data)
        return marked.decode(self.plain, data, mark, partial=partial, region=region)

    def header(self, data: bytes) -> Header:
        header = self.plain.header(data)
        mark = marked.mark_of(self.plain, data)
        if mark is None or not mark.fits(header.width, header.height):
            return header
        return replace(header, width=mark.width, height=mark.height)
