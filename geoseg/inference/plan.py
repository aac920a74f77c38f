"""The plan of a run: every decision made once, before anything runs, as a frozen value with a digest.

Workers and resumed runs obey it and decide nothing themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from geoseg.choices import PlannedPrecision, PlannedRuntime, Stitch
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.lattice import Axis, Lattice
from geoseg.geometry.tiles import Tile, TileGrid
from geoseg.inference.foretold import Alternative
from geoseg.inference.layers import Layers
from geoseg.inference.passes import Adaptive, ContextPass, Passes
from geoseg.inference.plan_parts import Cost, PlannedContext, adaptive_from_json, adaptive_to_json, pair
from geoseg.inference.tile_mask import TileMask, tiles_touched
from geoseg.legend import Legend
from geoseg.raster.aoi import AreaOfInterest
from geoseg.raster.recipe import Recipe, recipe_from_json

__all__ = ["PLAN_FORMAT", "Cost", "Plan", "PlannedContext"]

PLAN_FORMAT = 4
"""Raised when the same decisions would give other bytes; part of the digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one scene is turned into classes. Sizes are [height, width] in pixels."""

    recipe: Recipe
    """What is read, and where it counts."""
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
    contexts: tuple[PlannedContext, ...]
    """Patch sizes; cores are whole cells of the first."""
    chosen: str
    """Why these contexts; no part of the digest."""
    adaptive: Adaptive | None
    """How doubtful patches are run again; None: every context everywhere."""
    multiple: int
    """What the network's sides are multiples of."""
    halo: int
    """Pixels at a patch's rim that are not trusted."""
    cells: tuple[int, int]
    """Cells (rows, columns) in a tile's core."""
    stitch: Stitch
    device: str
    """``cpu``, ``cuda`` or ``cuda:N``."""
    runtime: PlannedRuntime
    """What runs the network."""
    precision: PlannedPrecision
    """Of the network's products; sums and logits are float32."""
    runtime_chosen: str
    """Why this runtime; no part of the digest."""
    threads: int
    """Threads of the network's arithmetic."""
    slots: int
    """Tiles in work at once: one or two compute, the others read or write."""
    layers: Layers
    zarr_format: int
    chunk: tuple[int, int]
    """Inner chunk of the store."""
    cost: Cost
    timing: str = ""
    """What the predicted seconds rest on; no part of the digest."""
    alternatives: tuple[Alternative, ...] = ()
    """The best ways, the chosen one first; no part of the digest. Empty where there was nothing to choose from."""
    temperature: float = 1.0
    """What logits are divided by before confidence and probabilities are made of them."""
    notes: tuple[str, ...] = ()
    """Choices a user should know of."""

    @property
    def lattice(self) -> Lattice:
        """The patches of the first context."""
        return self._lattice(self.contexts[0])

    @property
    def passes(self) -> Passes:
        """All contexts with their lattices."""
        contexts = tuple(
            ContextPass(size=c.size, lattice=self._lattice(c), weight=c.weight, batch_size=c.batch_size)
            for c in self.contexts
        )
        return Passes(contexts=contexts, stitch=self.stitch, adaptive=self.adaptive)

    def _lattice(self, context: PlannedContext) -> Lattice:
        rows, cols = (
            Axis(length=length, patch=patch, halo=self.halo, multiple=self.multiple)
            for length, patch in zip(self.geobox.shape, context.patch_size, strict=True)
        )
        return Lattice(rows=rows, cols=cols)

    @property
    def grid(self) -> TileGrid:
        """The tiles."""
        return TileGrid(lattice=self.lattice, stitch=self.stitch, cells=self.cells)

    @property
    def tile_count(self) -> int:
        """Number of tiles that the run works on."""
        return self.touched.count

    @property
    def pixel_count(self) -> int:
        """Pixels of those tiles."""
        return self.touched.pixels

    def tiles(self) -> Iterator[Tile]:
        """The tiles that the run works on, row by row; each is worked out when asked for.

        Tiles that the area of interest does not touch are not among them: they stay nodata.
        """
        return self.touched.tiles()

    @property
    def aoi(self) -> AreaOfInterest | None:
        """Where the scene counts; None = everywhere."""
        return self.recipe.aoi

    @property
    def touched(self) -> TileMask:
        """Which tiles the run works on."""
        return tiles_touched(self.grid, self.aoi)

    @property
    def digest(self) -> str:
        """Names the run: SHA-256 of every decision that can change a byte of the store, hexadecimal."""
        text = json.dumps({"format": PLAN_FORMAT, **self.decisions()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def decisions(self) -> dict[str, Any]:
        """What the digest is of. Threads and slots are left out: they change speed, not classes."""
        scene = self.recipe.to_json()
        del scene["aoi"]  # polygons may be long: their digest stands for them
        return {
            "scene": scene,
            "aoi": None if self.aoi is None else self.aoi.digest,
            "stamp": self.stamp,
            "grid": self.geobox.to_json(),
            "dtype": self.dtype,
            "model_digest": self.model_digest,
            "legend": self.legend.to_json(),
            "contexts": [c.to_json() for c in self.contexts],
            "adaptive": adaptive_to_json(self.adaptive),
            "multiple": self.multiple,
            "halo": self.halo,
            "cells": list(self.cells),
            "stitch": self.stitch,
            "device": self.device,
            "runtime": self.runtime,
            "precision": self.precision,
            "layers": asdict(self.layers),
            "temperature": self.temperature,
            "zarr_format": self.zarr_format,
            "chunk": list(self.chunk),
        }

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values, with the figures that follow from it; ``from_json`` is the inverse."""
        lattice, grid, passes, touched = self.lattice, self.grid, self.passes, self.touched
        computed = touched.computed_pixels(passes)
        height, width = self.geobox.shape
        return {
            **self.decisions(),
            "context": self.contexts[0].size,
            "patch_size": list(self.contexts[0].patch_size),
            "batch_size": self.contexts[0].batch_size,
            "chosen": self.chosen,
            "runtime_chosen": self.runtime_chosen,
            "overlap": [p - s for p, s in zip(lattice.patch, lattice.stride, strict=True)],
            "stride": list(lattice.stride),
            "tile": list(grid.core),
            "tiles": touched.count,
            "patches": touched.patches(passes),
            "computed_pixels": computed,
            "scene_pixels": height * width,
            "computed_ratio": round(computed / (height * width), 4),
            "area": None if self.aoi is None else self.aoi.to_json(),
            "area_pixels": height * width if self.aoi is None else self.aoi.pixels(self.geobox.shape),
            "valid_from": self.valid_from,
            "model": self.model,
            "threads": self.threads,
            "slots": self.slots,
            "cost": self.cost.to_json(),
            "timing": self.timing,
            "alternatives": [alternative.to_json() for alternative in self.alternatives],
            "notes": list(self.notes),
            "digest": self.digest,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        """A plan from what ``to_json`` gave."""
        return cls(
            recipe=recipe_from_json({**data["scene"], "aoi": data.get("area")}),
            stamp=data["stamp"],
            geobox=GeoBox.from_json(data["grid"]),
            dtype=data["dtype"],
            valid_from=data["valid_from"],
            model=data["model"],
            model_digest=data["model_digest"],
            legend=Legend.from_json(data["legend"]),
            contexts=tuple(PlannedContext.from_json(c) for c in data["contexts"]),
            chosen=data["chosen"],
            adaptive=adaptive_from_json(data["adaptive"]),
            multiple=data["multiple"],
            halo=data["halo"],
            cells=pair(data["cells"]),
            stitch=data["stitch"],
            device=data["device"],
            runtime=data["runtime"],
            precision=data["precision"],
            runtime_chosen=data["runtime_chosen"],
            threads=data["threads"],
            slots=data["slots"],
            layers=Layers(**data["layers"]),
            zarr_format=data["zarr_format"],
            chunk=pair(data["chunk"]),
            cost=Cost(**data["cost"]),
            timing=data.get("timing", ""),
            alternatives=tuple(Alternative.from_json(a) for a in data.get("alternatives", ())),
            temperature=float(data.get("temperature", 1.0)),
            notes=tuple(data["notes"]),
        )
