"""What a model reached at each context on held-out scenes: the table that `geoseg calibrate` writes into a card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geoseg.contexts.selection import Rated
from geoseg.errors import BundleError


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedContext:
    """One context, measured."""

    size: int
    """The context, pixels."""
    miou: float
    """Mean intersection over union on the summed counts of all scenes."""
    overall_accuracy: float
    """Share of labelled pixels that are right."""
    seconds_per_megapixel: float
    """Computing time per 10^6 scene pixels, on the machine and at the overlap that the table names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A model's contexts, measured by the real inference path.

    Raises:
        BundleError: without a row, or with a size twice.
    """

    rows: tuple[CalibratedContext, ...]
    """By rising size."""
    scenes: tuple[str, ...]
    """Names of the scenes."""
    pixels: int
    """Labelled pixels that were scored."""
    overlap: int
    """Overlap of neighbouring patches, pixels."""
    machine: str = ""
    """What the seconds were taken on."""

    def __post_init__(self) -> None:
        sizes = [row.size for row in self.rows]
        if not sizes or sizes != sorted(set(sizes)) or sizes[0] < 1:
            raise BundleError(f"a calibration needs contexts in rising order, not {sizes}")
        if not all(math.isfinite(row.miou) for row in self.rows):
            raise BundleError("a calibration needs a mean IoU for every context")

    def rated(self) -> tuple[Rated, ...]:
        """The contexts with their mIoU, for :func:`geoseg.contexts.selection.ranked`."""
        return tuple(Rated(size=row.size, value=row.miou) for row in self.rows)

    def seconds(self) -> dict[int, float]:
        """Seconds per megapixel by context."""
        return {row.size: row.seconds_per_megapixel for row in self.rows}

    def to_json(self) -> dict[str, Any]:
        """The table as plain values; ``from_json`` is the inverse."""
        return {
            "scenes": list(self.scenes),
            "pixels": self.pixels,
            "overlap": self.overlap,
            "machine": self.machine,
            "rows": [
                {
                    "size": row.size,
                    "miou": row.miou,
                    "overall_accuracy": row.overall_accuracy,
                    "seconds_per_megapixel": row.seconds_per_megapixel,
                }
                for row in self.rows
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """A table from what ``to_json`` gave.

        Raises:
            BundleError: if an entry is missing or impossible.
        """
        try:
            rows = tuple(
                CalibratedContext(
                    size=int(row["size"]),
                    miou=float(row["miou"]),
                    overall_accuracy=float(row["overall_accuracy"]),
                    seconds_per_megapixel=float(row["seconds_per_megapixel"]),
                )
                for row in data["rows"]
            )
            return cls(
                rows=rows,
                scenes=tuple(str(v) for v in data["scenes"]),
                pixels=int(data["pixels"]),
                overlap=int(data["overlap"]),
                machine=str(data.get("machine", "")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, BundleError):
                raise
            raise BundleError(f"the calibration table is damaged: {type(error).__name__} {error}") from error
