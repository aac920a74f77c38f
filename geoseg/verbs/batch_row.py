"""What a batch knows of one scene, and how a table holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

State = Literal["waiting", "running", "done", "failed", "skipped"]
"""``skipped``: its outputs were there already and are another run's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is known of one scene."""

    scene: str
    place: int | None
    """Its place in the manifest, from 1; None for a scene that is not in it any more."""
    state: State = "waiting"
    attempts: int = 0
    """How often it was begun."""
    error: str | None = None
    reference: str | None = None
    outputs: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None
    """Options and model that decide what the outputs hold."""
    plan_digest: str | None = None
    pixels: int | None = None
    """Of the scene's grid that is written."""
    predicted_pixels: int | None = None
    """Of those, what the last attempt predicted; earlier ones had the rest."""
    seconds: float | None = None
    """Wall time of the last attempt."""
    miou: float | None = None
    confusion: tuple[tuple[int, ...], ...] | None = None
    """Pixels (K, K): rows the reference, columns the prediction; sums over scenes are exact."""
    started: str | None = None
    """Of the last attempt, UTC."""
    ended: str | None = None
    version: str | None = None
    """Of geoseg."""

    @property
    def rate(self) -> float | None:
        """Pixels per second of the last attempt."""
        return self.predicted_pixels / self.seconds if self.predicted_pixels and self.seconds else None

    def to_json(self) -> dict[str, Any]:
        """The row as plain values."""
        return asdict(self)


NAMES = tuple(f.name for f in fields(Row))
TYPES = {
    "place": "INTEGER", "attempts": "INTEGER NOT NULL", "pixels": "INTEGER", "predicted_pixels": "INTEGER",
    "seconds": "REAL", "miou": "REAL", "scene": "TEXT PRIMARY KEY", "state": "TEXT NOT NULL",
}  # fmt: skip
JSON_COLUMNS = ("outputs", "settings", "confusion")
