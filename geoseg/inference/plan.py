"""The plan of a run: every decision made once, before anything runs, as a frozen value with a digest.

Workers and resumed runs obey it and decide nothing themselves.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from geoseg.choices import Stitch
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.lattice import Axis, Lattice
from geoseg.geometry.tiles import TileGrid
from geoseg.inference.layers import Layers
from geoseg.legend import Legend
from geoseg.raster.recipe import SceneRecipe

PLAN_FORMAT = 1
"""Raised when the same decisions would give other bytes; part of the digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a run is predicted to take; no part of the digest."""

    memory_bytes: int
    """Peak memory of the process that computes: libraries, activations, windows in flight."""
    disk_bytes: int
    """Most disk the run holds at once, staging included, before compression."""
    seconds: float | None
    """Wall time; None where nothing is known of the network's arithmetic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one scene is turned into classes. Sizes are [height, width] in pixels."""

    recipe: SceneRecipe
    """What is read."""
    stamp: str
    """Of the scene's files: other ones are another plan."""
    geobox: GeoBox
    """The grid that is read and written."""
    dtype: str
    """Stored data type of the scene."""
    valid_from: str
    """What tells data from nodata."""
    model: str
    """Name of the model."""
    model_digest: str
    """SHA-256 of the bundle, or of a module's weights."""
    legend: Legend
    context: int
    """The patch side that was asked for."""
    multiple: int
    """What the network's sides are multiples of."""
    halo: int
    """Pixels at a patch's rim that are not trusted."""
    patch_size: tuple[int, int]
    """What the network gets: the context fitted to each axis."""
    cells: tuple[int, int]
    """Cells (rows, columns) in a tile's core."""
    stitch: Stitch
    batch_size: int
    """Patches per forward pass."""
    device: str
    """``cpu``, ``cuda`` or ``cuda:N``."""
    runtime: str
    """What runs the network."""
    threads: int
    """Threads of the network's arithmetic."""
    slots: int
    """Tiles in work at once: one computes, the others read or write."""
    layers: Layers
    zarr_format: int
    chunk: tuple[int, int]
    """Inner chunk of the store."""
    cost: Cost
    notes: tuple[str, ...] = ()
    """Choices a user should know of."""

    @property
    def lattice(self) -> Lattice:
        """The patches."""
        rows, cols = (
            Axis(length=length, patch=patch, halo=self.halo, multiple=self.multiple)
            for length, patch in zip(self.geobox.shape, self.patch_size, strict=True)
        )
        return Lattice(rows=rows, cols=cols)

    @property
    def grid(self) -> TileGrid:
        """The tiles."""
        return TileGrid(lattice=self.lattice, stitch=self.stitch, cells=self.cells)

    @property
    def digest(self) -> str:
        """Names the run: SHA-256 of every decision that can change a byte of the store, hexadecimal."""
        text = json.dumps({"format": PLAN_FORMAT, **self.decisions()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def decisions(self) -> dict[str, Any]:
        """What the digest is of. Threads and slots are left out: they change speed, not classes."""
        return {
            "scene": self.recipe.to_json(),
            "stamp": self.stamp,
            "grid": self.geobox.to_json(),
            "dtype": self.dtype,
            "model_digest": self.model_digest,
            "legend": self.legend.to_json(),
            "context": self.context,
            "multiple": self.multiple,
            "halo": self.halo,
            "patch_size": list(self.patch_size),
            "cells": list(self.cells),
            "stitch": self.stitch,
            "batch_size": self.batch_size,
            "device": self.device,
            "runtime": self.runtime,
            "layers": {"confidence": self.layers.confidence, "probabilities": self.layers.probabilities},
            "zarr_format": self.zarr_format,
            "chunk": list(self.chunk),
        }

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values, with the figures that follow from it; ``from_json`` is the inverse."""
        lattice, grid = self.lattice, self.grid
        height, width = self.geobox.shape
        return {
            **self.decisions(),
            "overlap": [p - s for p, s in zip(lattice.patch, lattice.stride, strict=True)],
            "stride": list(lattice.stride),
            "tile": list(grid.core),
            "tiles": grid.count,
            "patches": grid.patches,
            "computed_pixels": grid.computed_pixels,
            "scene_pixels": height * width,
            "computed_ratio": round(grid.computed_pixels / (height * width), 4),
            "valid_from": self.valid_from,
            "model": self.model,
            "threads": self.threads,
            "slots": self.slots,
            "cost": {
                "memory_bytes": self.cost.memory_bytes,
                "disk_bytes": self.cost.disk_bytes,
                "seconds": self.cost.seconds,
            },
            "notes": list(self.notes),
            "digest": self.digest,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        """A plan from what ``to_json`` gave."""
        return cls(
            recipe=SceneRecipe.from_json(data["scene"]),
            stamp=data["stamp"],
            geobox=GeoBox.from_json(data["grid"]),
            dtype=data["dtype"],
            valid_from=data["valid_from"],
            model=data["model"],
            model_digest=data["model_digest"],
            legend=Legend.from_json(data["legend"]),
            context=data["context"],
            multiple=data["multiple"],
            halo=data["halo"],
            patch_size=_pair(data["patch_size"]),
            cells=_pair(data["cells"]),
            stitch=data["stitch"],
            batch_size=data["batch_size"],
            device=data["device"],
            runtime=data["runtime"],
            threads=data["threads"],
            slots=data["slots"],
            layers=Layers(**data["layers"]),
            zarr_format=data["zarr_format"],
            chunk=_pair(data["chunk"]),
            cost=Cost(**data["cost"]),
            notes=tuple(data["notes"]),
        )

    def difference(self, other: dict[str, Any]) -> str:
        """Names the decisions in which this plan and another's ``to_json`` differ, with both values where short."""
        found = []
        for name, value in json.loads(json.dumps(self.decisions())).items():
            if value != other.get(name):
                pair = f" {other.get(name)} -> {value}"
                found.append(name + (pair if len(pair) < 60 else ""))
        return ", ".join(found) or "another version of geoseg"


def _pair(value: list[int]) -> tuple[int, int]:
    return value[0], value[1]
