"""What a store holds and how it is cut: a value, written into the store so that it can be opened by its path alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from geoseg.errors import OutputError
from geoseg.geometry.geobox import GeoBox
from geoseg.legend import Legend


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSpec:
    """What a store holds and how it is cut.

    Raises:
        OutputError: if Zarr 2 is asked for a rotated grid.
        ValueError: if chunks do not divide the core.
    """

    geobox: GeoBox
    core: tuple[int, int]
    """(height, width) in pixels that a tile owns; may be more than the grid has."""
    chunk: tuple[int, int]
    """(height, width) of what is compressed in one piece; divides ``core`` on axes with more than one tile."""
    legend: Legend
    zarr_format: int = 3
    confidence: bool = False
    probabilities: int = 0
    """Number of classes whose probabilities are kept; 0 for none."""
    contexts: tuple[int, ...] = ()
    """Contexts, pixels, of the layer that says which had a say at a pixel; empty for no such layer."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """JSON values for the root's attributes."""

    def __post_init__(self) -> None:
        if self.zarr_format not in (2, 3):
            raise OutputError(f"Zarr format {self.zarr_format} is not known; 3 and 2 are")
        if self.zarr_format == 2 and self.geobox.is_rotated:
            raise OutputError("Zarr 2 cannot carry a rotated grid for GDAL; write Zarr 3 (--zarr-format 3) or a .tif")
        for length, core, chunk in zip(self.geobox.shape, self.core, self.chunk, strict=True):
            if core % chunk and core < length:
                raise ValueError(f"a chunk of {chunk} pixels does not divide a core of {core}")

    @property
    def shard(self) -> tuple[int, int]:
        """(height, width) of a shard: the core, in whole chunks and no larger than the grid needs."""
        sizes = [
            math.ceil(min(core, length) / chunk) * chunk
            for length, core, chunk in zip(self.geobox.shape, self.core, self.chunk, strict=True)
        ]
        return sizes[0], sizes[1]

    def to_json(self) -> dict[str, Any]:
        """All but ``attributes`` as plain values; ``from_json`` is the inverse."""
        return {
            "geobox": self.geobox.to_json(),
            "core": list(self.core),
            "chunk": list(self.chunk),
            "legend": self.legend.to_json(),
            "zarr_format": self.zarr_format,
            "confidence": self.confidence,
            "probabilities": self.probabilities,
            "contexts": list(self.contexts),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, attributes: Mapping[str, Any]) -> StoreSpec:
        """A spec from what ``to_json`` gave, and the attributes it left out."""
        return cls(
            geobox=GeoBox.from_json(data["geobox"]),
            core=(int(data["core"][0]), int(data["core"][1])),
            chunk=(int(data["chunk"][0]), int(data["chunk"][1])),
            legend=Legend.from_json(data["legend"]),
            zarr_format=int(data["zarr_format"]),
            confidence=bool(data["confidence"]),
            probabilities=int(data["probabilities"]),
            contexts=tuple(int(v) for v in data.get("contexts", ())),
            attributes=attributes,
        )
