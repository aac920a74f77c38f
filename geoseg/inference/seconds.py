"""How long a run will take: starting, reading, the network's arithmetic, writing and finishing.

Constants are processor seconds measured on quiet runs (benchmarks/planner.py); the network's arithmetic is a probe's
measurement where there is one, else the card's multiply-adds over the machine's rate. What other work leaves of the
machine at the moment stretches all of it.
"""

from __future__ import annotations

from geoseg.choices import PlannedRuntime
from geoseg.geometry.tiles import TileGrid
from geoseg.inference import machine
from geoseg.inference.capacity import Capacity
from geoseg.inference.known import Known
from geoseg.inference.layers import Layers
from geoseg.inference.passes import Passes
from geoseg.inference.runtime_choice import SPEEDS, starting_seconds
from geoseg.inference.tile_mask import tiles_touched
from geoseg.models.source import ModelSource
from geoseg.raster.scene import SceneInfo

_READING = 6e-9  # per value of the scene's own grid: decoding
_WARPING = 2e-8  # per pixel of the grid that is read, where it is another than the scene's
_WRITING = 7e-9  # per pixel and map: compressing and storing tiles
_FINISHING = 1.7e-8  # per pixel: overviews, the GeoTIFF


def seconds_of(
    passes: Passes,
    grid: TileGrid,
    *,
    model: ModelSource,
    info: SceneInfo,
    layers: Layers,
    capacity: Capacity,
    runtime: PlannedRuntime,
    known: Known,
    share: float = 1.0,
    threads: int | None = None,
) -> float | None:
    """Wall time of a run from its start to its last file; None where nothing is known of the network's arithmetic.

    Args:
        passes: what is computed, with batches.
        grid: its tiles.
        model: the network.
        info: the scene.
        layers: what is written beside the classes.
        capacity: where it runs.
        runtime: what runs the network.
        known: what probes say.
        share: of the machine that other work leaves.
        threads: of the network's arithmetic on a CPU; None: all of the capacity's.
    """
    if not capacity.local:
        return None
    computing = computing_seconds(passes, grid, model=model, info=info, capacity=capacity, runtime=runtime, known=known)
    if computing is None:
        return None
    if capacity.device == "cpu" and threads is not None:  # rates are of all cores
        computing *= capacity.threads / min(threads, capacity.threads)
    touched = tiles_touched(grid, info.recipe.aoi)
    pixels, whole = touched.pixels, grid.lattice.shape[0] * grid.lattice.shape[1]
    maps = 1 + layers.confidence + layers.contexts + len(model.legend) * layers.probabilities
    native = info.native.shape[0] * info.native.shape[1] * pixels / whole
    moving = native * info.recipe.bands * _READING + pixels * maps * _WRITING
    moving += 0.0 if info.recipe.grid is None else pixels * _WARPING
    moving /= capacity.threads
    shapes = len({c.lattice.patch for c in passes.contexts})
    start = starting_seconds(runtime, model, capacity=capacity, shapes=shapes) / _alone(share, capacity.threads)
    if capacity.device != "cpu":  # decoding and computing do not take the same cores
        return start + whole * _FINISHING / share + max(computing, moving / share)
    return start + (computing + moving + whole * _FINISHING) / share


def _alone(share: float, cores: int) -> float:
    """The share of a core that one thread gets where all cores together give ``share``.

    Kernels divide time between sessions and containers, not threads, so what several threads get one may have alone.
    """
    return min(1.0, share * cores)


def computing_seconds(
    passes: Passes,
    grid: TileGrid,
    *,
    model: ModelSource,
    info: SceneInfo,
    capacity: Capacity,
    runtime: PlannedRuntime,
    known: Known,
) -> float | None:
    """Seconds of the network's arithmetic on a free machine; None where nothing is known of it."""
    rates = [known.seconds_per_pixel(c.lattice.patch, c.batch_size) for c in passes.contexts]
    found = [rate for rate in rates if rate is not None]
    if len(found) < len(rates):
        if model.macs_per_pixel is None or capacity.device != "cpu":
            return None
        found = [model.macs_per_pixel / (machine.macs_per_second() * SPEEDS[runtime].efficiency)] * len(rates)
    areas = [c.lattice.count * c.lattice.patch[0] * c.lattice.patch[1] for c in passes.contexts]
    mean = sum(rate * area for rate, area in zip(found, areas, strict=True)) / sum(areas)
    return mean * tiles_touched(grid, info.recipe.aoi).computed_pixels(passes)
