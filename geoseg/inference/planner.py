"""Makes the plan: every ``auto`` is decided here, once, from the scene, the model and the machine."""

from __future__ import annotations

from dataclasses import dataclass, replace

from geoseg.choices import Stitch
from geoseg.errors import PlanError
from geoseg.geometry.lattice import Lattice, make_lattice, round_up
from geoseg.geometry.tiles import TileGrid, chunk_side, make_tiles
from geoseg.inference import machine
from geoseg.inference.layers import Layers
from geoseg.inference.plan import Cost, Plan
from geoseg.models.device import pick_device
from geoseg.models.source import ModelSource
from geoseg.raster.datasets import DEFAULT_CACHE_MB
from geoseg.raster.scene import SceneInfo

CROP_TILE, BLEND_TILE = 2048, 6144
"""Default core side, pixels. Blending recomputes a tile's rim, so its tiles are larger."""

SLOTS = 3
"""Tiles in work at once: one computes while another is read and a third is written."""

_BATCH_PIXELS = {"cpu": 1_200_000, "cuda": 8_000_000}
"""Input pixels of a batch by device: enough to fill the machine, small enough for its memory."""

_LIBRARIES_BYTES = 1_200_000_000  # torch, smp, GDAL and dask at work, without activations: measured
_ACTIVATION_BYTES_PER_PIXEL = 1000.0  # a guess for networks without a card
_MEMORY_SHARE = 0.7  # of the machine's memory that a plan may use
_EFFICIENCY = 0.68  # of that rate which the card's networks reach in eager PyTorch, measured
_START_SECONDS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What a user may ask for; None means ``auto``."""

    stitch: Stitch = "crop"
    patch_size: int | None = None
    """Context, pixels; fitted to the scene unless ``exact``."""
    exact: bool = False
    overlap: int | None = None
    """Overlap of neighbouring patches, pixels; rounded up to twice the network's multiple."""
    tile: int | None = None
    """Side of a tile's core, pixels; rounded to whole cells."""
    batch_size: int | None = None
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    threads: int | None = None
    """Threads of the network's arithmetic."""
    confidence: bool = False
    """Write the winning class's probability, percent, to the Zarr store."""
    probabilities: bool = False
    """Write every class's probability, percent, to the Zarr store."""
    zarr_format: int = 3

    @property
    def layers(self) -> Layers:
        """What is wanted beside the classes."""
        return Layers(confidence=self.confidence, probabilities=self.probabilities)


def make_plan(info: SceneInfo, model: ModelSource, options: PlanOptions) -> Plan:
    """The plan of one scene.

    Raises:
        PlanError: if the options cannot be met together or within the machine's memory.
    """
    _check(options)
    options = replace(options, device=pick_device(options.device))
    notes = [*info.notes, *_dtype_notes(info, model)]
    halo = _halo(model, options, notes)
    context, lattice = _fit(info, model, options, halo=halo, notes=notes)
    grid = make_tiles(lattice, stitch=options.stitch, tile=_tile_side(options))
    if options.tile is not None and grid.core != (options.tile, options.tile) and grid.count > 1:
        notes.append(f"tiles of {options.tile} px rounded to whole cells: {grid.core[0]} x {grid.core[1]} px")
    batch = _batch_size(lattice, model, options, info=info)
    return Plan(
        recipe=info.recipe,
        stamp=info.stamp,
        geobox=info.geobox,
        dtype=info.dtype,
        valid_from=info.valid_from,
        model=model.name,
        model_digest=model.digest,
        legend=model.legend,
        context=context,
        multiple=model.multiple,
        halo=halo,
        patch_size=lattice.patch,
        cells=grid.cells,
        stitch=options.stitch,
        batch_size=batch,
        device=options.device,
        runtime="eager",
        threads=options.threads or machine.core_count(),
        slots=SLOTS,
        layers=options.layers,
        zarr_format=options.zarr_format,
        chunk=(chunk_side(lattice.stride[0]), chunk_side(lattice.stride[1])),
        cost=_cost(grid, model, options, info=info, batch=batch),
        notes=tuple(notes),
    )


def _check(options: PlanOptions) -> None:
    """Numbers that make no sense whatever the scene."""
    least = {"patch size": 1, "overlap": 0, "tile": 1, "batch size": 1, "threads": 1}
    found = (options.patch_size, options.overlap, options.tile, options.batch_size, options.threads)
    for (name, low), value in zip(least.items(), found, strict=True):
        if value is not None and value < low:
            raise PlanError(f"{name} {value}: use {low} or more")


def _dtype_notes(info: SceneInfo, model: ModelSource) -> list[str]:
    if model.dtype is None or model.dtype == info.dtype:
        return []
    note = (
        f"the scene is {info.dtype}, the model was trained on {model.dtype}: expect poor classes unless the values"
        f" have the same range (rescale the scene first, or train on {info.dtype})"
    )
    return [note]


def _halo(model: ModelSource, options: PlanOptions, notes: list[str]) -> int:
    if options.overlap is None:
        return round_up(model.halo, model.multiple)
    halo = round_up(-(-options.overlap // 2), model.multiple)
    if 2 * halo != options.overlap:
        notes.append(
            f"overlap of {options.overlap} px rounded up to {2 * halo}: twice the network's multiple of"
            f" {model.multiple}"
        )
    return halo


def _fit(
    info: SceneInfo, model: ModelSource, options: PlanOptions, *, halo: int, notes: list[str]
) -> tuple[int, Lattice]:
    """The context and its lattice; a default context that memory does not take is halved until it does."""
    wanted = options.patch_size or model.context
    context = wanted
    while True:
        lattice = make_lattice(
            info.geobox.shape, context=context, halo=halo, multiple=model.multiple, exact=options.exact
        )
        need, have = _memory(lattice, model, options, info=info, batch=1), _budget()
        if options.device != "cpu" or need <= have:
            break
        smaller = round_up(context // 2, model.multiple)
        if options.patch_size is not None or smaller <= 2 * halo or smaller >= context:
            raise PlanError(
                f"patches of {lattice.patch[0]} x {lattice.patch[1]} px need about {need / 1e9:.1f} GB, this machine"
                f" has {have / 1e9:.1f} GB to give; use a smaller --patch-size"
            )
        context = smaller
    if context != wanted:
        notes.append(f"context {context} instead of {wanted}: what this machine's memory takes")
    return context, lattice


def _tile_side(options: PlanOptions) -> int:
    return options.tile or (CROP_TILE if options.stitch == "crop" else BLEND_TILE)


def _batch_size(lattice: Lattice, model: ModelSource, options: PlanOptions, *, info: SceneInfo) -> int:
    """Patches that together make a batch worth its while, within memory; 1 for large patches on a CPU.

    Raises:
        PlanError: if the batch that was asked for needs more memory than there is.
    """
    on_cpu = options.device == "cpu"
    if options.batch_size is not None:
        need = _memory(lattice, model, options, info=info, batch=options.batch_size)
        if on_cpu and need > _budget():
            raise PlanError(
                f"batches of {options.batch_size} patches need about {need / 1e9:.1f} GB, this machine has"
                f" {_budget() / 1e9:.1f} GB to give; use a smaller --batch-size"
            )
        return options.batch_size
    pixels = lattice.patch[0] * lattice.patch[1]
    batch = max(1, min(16 if on_cpu else 64, _BATCH_PIXELS[options.device.split(":")[0]] // pixels))
    while on_cpu and batch > 1 and _memory(lattice, model, options, info=info, batch=batch) > _budget():
        batch //= 2
    return batch


def _memory(lattice: Lattice, model: ModelSource, options: PlanOptions, *, info: SceneInfo, batch: int) -> int:
    """Peak bytes: libraries, activations of a batch, windows in flight, the rolling sums of a blending tile."""
    grid = make_tiles(lattice, stitch=options.stitch, tile=_tile_side(options))
    patch = lattice.patch[0] * lattice.patch[1]
    core = min(grid.core[0], lattice.shape[0]) * min(grid.core[1], lattice.shape[1])
    activations = (model.activation_bytes_per_pixel or _ACTIVATION_BYTES_PER_PIXEL) * patch * batch
    stored = len(info.recipe.bidx) * _itemsize(info.dtype) + 1
    rolling = 4 * len(model.legend) * lattice.patch[0] * min(grid.core[1], lattice.shape[1])
    summed = 2 * rolling if options.stitch != "crop" else 0  # a copy while it moves down
    kept = 2 + len(model.legend) * options.layers.probabilities
    on_host = activations if options.device == "cpu" else 0
    return int(_LIBRARIES_BYTES + DEFAULT_CACHE_MB * 2**20 + on_host + core * SLOTS * (stored + kept) + summed)


def _budget() -> int:
    return int(machine.memory_bytes() * _MEMORY_SHARE)


def _cost(grid: TileGrid, model: ModelSource, options: PlanOptions, *, info: SceneInfo, batch: int) -> Cost:
    pixels = grid.lattice.shape[0] * grid.lattice.shape[1]
    layers = 1 + options.layers.confidence + len(model.legend) * options.layers.probabilities
    seconds = None
    if model.macs_per_pixel is not None and options.device == "cpu":
        rate = machine.macs_per_second() * _EFFICIENCY
        seconds = round(_START_SECONDS + grid.computed_pixels * model.macs_per_pixel / rate + pixels * 4e-8, 1)
    return Cost(
        memory_bytes=_memory(grid.lattice, model, options, info=info, batch=batch),
        disk_bytes=int(pixels * (layers + 2) * 4 / 3),
        seconds=seconds,
    )


def _itemsize(dtype: str) -> int:
    import numpy as np

    return np.dtype(dtype).itemsize
