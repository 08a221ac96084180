"""The families of networks around standard codecs: what training needs to know of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from comrec.inference.store import Size
from comrec.train import networks


class Family(ABC):
    """A ComCNN and a RecCNN around a standard codec.

    Attributes:
        name: as in recipes and in the codecs' ids.
        conditioned: whether the networks are told the quality.
    """

    name: ClassVar[str]
    conditioned: ClassVar[bool]

    @abstractmethod
    def com(self, scale: int) -> nn.Module:
        """ComCNN, freshly initialised; it makes sides ``scale`` times smaller."""

    @abstractmethod
    def rec(self, scale: int, size: Size) -> nn.Module:
        """RecCNN, freshly initialised; it makes sides ``scale`` times larger."""

    @abstractmethod
    def reconstruct(self, rec: nn.Module, coded: Tensor, condition: Tensor) -> Tensor:
        """(N, C, h, w) decoded pictures through RecCNN.

        Args:
            condition: (N, 2): quality and full chroma, in 0..1 (`comrec.sandwich.conditions`).
        """

    @abstractmethod
    def network_name(self, run: str, role: str, scale: int) -> str:
        """What an exported network is called."""


class Jiang2017(Family):
    """The networks of Jiang et al. 2017, for luma at half the size."""

    name = "jiang2017"
    conditioned = False

    def com(self, scale: int) -> nn.Module:
        return networks.Jiang2017Com()

    def rec(self, scale: int, size: Size) -> nn.Module:
        return networks.Jiang2017Rec()

    def reconstruct(self, rec: nn.Module, coded: Tensor, condition: Tensor) -> Tensor:
        reconstruction: Tensor = rec(coded)
        return reconstruction

    def network_name(self, run: str, role: str, scale: int) -> str:
        return f"{run}-{role}"


class Comrec(Family):
    """Our networks, for RGB, at full or half the size."""

    name = "comrec"
    conditioned = True

    def com(self, scale: int) -> nn.Module:
        return networks.ComrecCom1() if scale == 1 else networks.ComrecCom2()

    def rec(self, scale: int, size: Size) -> nn.Module:
        return networks.ComrecRec1(size) if scale == 1 else networks.ComrecRec2()

    def reconstruct(self, rec: nn.Module, coded: Tensor, condition: Tensor) -> Tensor:
        count: int = rec.conditions  # type: ignore[assignment]
        told = condition.unbind(1)[:count]
        reconstruction: Tensor = rec(coded, *told)
        return reconstruction

    def network_name(self, run: str, role: str, scale: int) -> str:
        return f"{run.rsplit('-', 1)[0]}-{role}{scale}"


FAMILIES: dict[str, Family] = {family.name: family for family in (Jiang2017(), Comrec())}
