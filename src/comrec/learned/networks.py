"""Networks that were trained together, one of which a file names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

from comrec.errors import DamagedFileError, WeightsError
from comrec.inference import store
from comrec.inference.store import Network


class Together(ABC):
    """Networks that were trained together.

    Attributes:
        role: of the one that files name, and whose metadata names the others.
        up, down: its scale (`store.find`).
        not_one: what a message says of a network of another role.
    """

    role: ClassVar[str]
    up: ClassVar[int] = 1
    down: ClassVar[int] = 1
    not_one: ClassVar[str]

    @classmethod
    def trained_for(cls, family: str, metric: str, *, refined: bool = True) -> Self:
        """The current ones.

        Args:
            refined: whether latents will be refined (`store.find`).
        Raises:
            WeightsError: none are in the package.
        """
        named = store.find(family, metric, cls.role, up=cls.up, down=cls.down, refined=refined)
        if named is None:
            raise WeightsError(f"{family}: this version ships no networks for {metric}")
        return cls._around(named)

    @classmethod
    def named(cls, family: str, network_id: str) -> Self:
        """Those that a file names.

        Raises:
            WeightsError: they are not in this version.
            DamagedFileError: the file names something else.
        """
        named = store.by_id(network_id)
        if (named.family, named.role) != (family, cls.role):
            raise DamagedFileError(f"input: damaged: it names {named.name}, which {cls.not_one}")
        return cls._around(named)

    @classmethod
    @abstractmethod
    def _around(cls, named: Network) -> Self:
        """The networks that a network's metadata names, and it."""
