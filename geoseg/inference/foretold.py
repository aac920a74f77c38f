"""What a plan foretells of the ways a scene could be run: values for people, no part of what is decided."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One way to run the scene, for comparison; no part of the digest. Sizes are [height, width] in pixels."""

    size: int
    """The context."""
    patch_size: tuple[int, int]
    halo: int
    batch_size: int
    tile: tuple[int, int]
    seconds: float | None
    """Predicted wall time; None where nothing is known of the network's arithmetic."""
    why: str
    """What speaks for it or against it."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``from_json`` is the inverse."""
        return {**asdict(self), "patch_size": [*self.patch_size], "tile": [*self.tile]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Alternative:
        """One from what ``to_json`` gave."""
        return cls(**{**data, "patch_size": (*data["patch_size"],), "tile": (*data["tile"],)})
