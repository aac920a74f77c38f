"""The parts of a plan that are values of their own, and how JSON holds them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from geoseg.inference.passes import Adaptive


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a run is predicted to take; no part of the digest."""

    memory_bytes: int
    """Peak memory of the process that computes: libraries, activations, windows in flight."""
    device_bytes: int = 0
    """Peak memory of the GPU; 0 on a CPU."""
    disk_bytes: int
    """Most disk the run holds at once, staging included, before compression."""
    seconds: float | None
    """Wall time; None where nothing is known of the network's arithmetic."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; the class takes them as they are."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedContext:
    """One context of a run."""

    size: int
    """The patch side that was chosen or asked for, pixels."""
    patch_size: tuple[int, int]
    """What the network gets: the context fitted to each axis, pixels."""
    weight: float
    """In the fusion; they sum to 1."""
    batch_size: int
    """Patches per forward pass."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``from_json`` is the inverse."""
        return {**asdict(self), "patch_size": [*self.patch_size]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PlannedContext:
        """One from what ``to_json`` gave."""
        return cls(**{**data, "patch_size": pair(data["patch_size"])})


def adaptive_to_json(adaptive: Adaptive | None) -> dict[str, Any] | None:
    """How doubtful patches are run again, as plain values."""
    return None if adaptive is None else {**asdict(adaptive), "block": [*adaptive.block]}


def adaptive_from_json(data: dict[str, Any] | None) -> Adaptive | None:
    """The inverse of ``adaptive_to_json``."""
    return None if data is None else Adaptive(**{**data, "block": pair(data["block"])})


def pair(value: list[int]) -> tuple[int, int]:
    """A size from JSON, which has no tuples."""
    return value[0], value[1]
