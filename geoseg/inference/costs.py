"""What a run will take: memory, disk, time; and what the machine has to give."""

from __future__ import annotations

import numpy as np

from geoseg.geometry.tiles import TileGrid
from geoseg.inference import machine
from geoseg.inference.layers import Layers
from geoseg.inference.passes import Passes
from geoseg.inference.plan import Cost
from geoseg.models.source import ModelSource
from geoseg.raster.datasets import DEFAULT_CACHE_MB
from geoseg.raster.scene import SceneInfo

SLOTS = 3
"""Tiles in work at once: one computes while another is read and a third is written."""

ACTIVATION_BYTES_PER_PIXEL = 1000.0
"""A guess for networks without a card."""

_LIBRARIES_BYTES = 1_200_000_000  # torch, smp, GDAL and dask at work, without activations: measured
_MEMORY_SHARE = 0.7  # of the machine's memory that a plan may use
_EFFICIENCY = 0.68  # of that rate which the card's networks reach in eager PyTorch, measured
_START_SECONDS = 4.0


def memory_to_give() -> int:
    """Bytes that a plan may use on the smallest machine that works on it."""
    return int(machine.memory_bytes() * _MEMORY_SHARE)


def memory_bytes(
    passes: Passes, grid: TileGrid, *, model: ModelSource, info: SceneInfo, layers: Layers, device: str
) -> int:
    """Peak bytes: libraries, activations of a batch, windows in flight, sums of blending tiles and of fusion."""
    classes = len(model.legend)
    per_pixel = model.activation_bytes_per_pixel or ACTIVATION_BYTES_PER_PIXEL
    activations = max(per_pixel * _area(c.lattice.patch) * c.batch_size for c in passes.contexts)
    height, width = (min(core, n) for core, n in zip(grid.core, grid.lattice.shape, strict=True))
    stored = len(info.recipe.bidx) * np.dtype(info.dtype).itemsize + 1
    kept = 2 + classes * layers.probabilities + layers.contexts
    rolling = 0
    if passes.stitch != "crop":  # a copy while it moves down
        rolling = max(2 * 4 * classes * c.lattice.patch[0] * width for c in passes.contexts)
    fused = 4 * (classes + 2) * height * width if len(passes.contexts) > 1 else 0
    on_host = activations + rolling + fused if device == "cpu" else 0
    return int(_LIBRARIES_BYTES + DEFAULT_CACHE_MB * 2**20 + on_host + height * width * SLOTS * (stored + kept))


def cost_of(
    passes: Passes, grid: TileGrid, *, model: ModelSource, info: SceneInfo, layers: Layers, device: str
) -> Cost:
    """What the run is predicted to take."""
    pixels = grid.lattice.shape[0] * grid.lattice.shape[1]
    maps = 1 + layers.confidence + layers.contexts + len(model.legend) * layers.probabilities
    seconds = None
    if model.macs_per_pixel is not None and device == "cpu":
        rate = machine.macs_per_second() * _EFFICIENCY
        computing = passes.computed_pixels(grid) * model.macs_per_pixel / rate
        seconds = round(_START_SECONDS + computing + pixels * 4e-8, 1)
    return Cost(
        memory_bytes=memory_bytes(passes, grid, model=model, info=info, layers=layers, device=device),
        disk_bytes=int(pixels * (maps + 2) * 4 / 3),
        seconds=seconds,
    )


def _area(patch: tuple[int, int]) -> int:
    return patch[0] * patch[1]
