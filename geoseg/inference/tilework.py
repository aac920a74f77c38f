"""What a worker does with one tile: read, segment, write, mark. A task is some words and two numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from geoseg.errors import OutOfMemoryError, PlanError
from geoseg.geometry.tiles import Tile
from geoseg.geometry.windows import Window
from geoseg.inference.arrays import Array
from geoseg.inference.capacity import memory_there
from geoseg.inference.decide import TileResult
from geoseg.inference.devices import on_device, slot
from geoseg.inference.plan import Plan
from geoseg.inference.sameness import PLAN_ATTRIBUTE
from geoseg.inference.segment import Engine, TilePixels, run_pass, segment_tile
from geoseg.inference.stopping import stop_check
from geoseg.inference.tasks import TileReport, TileTask
from geoseg.models.source import ModelRecipe
from geoseg.raster.locations import PLAN_DIGEST, root_attributes
from geoseg.raster.reading import read_window
from geoseg.raster.zarr_store import ResultStore, open_store


def forget_runs() -> None:
    """Lets go of the stores that are open."""
    _open.cache_clear()


def open_run(task: TileTask) -> tuple[ResultStore, Plan]:
    """The store of a task and the plan inside, opened once per process.

    Raises:
        SceneReadError: if there is no store.
        PlanError: if the store holds another plan, or none.
    """
    return _open(task.store, task.digest)


def work_tile(task: TileTask, row: int, col: int) -> TileReport:
    """Reads, segments and writes the tile at (row, col) of the plan's grid, then marks it done.

    Raises:
        SceneReadError: if the read window cannot be read; the message names it.
        OutputError: if the store cannot be written.
        PlanError: if the store is gone or another run's by now.
        StoppedError: if the run was told to stop meanwhile.
    """
    if task.shared:
        from geoseg.inference.readiness import check_once

        check_once(task)
    store, plan = open_run(task)
    tile = plan.grid.tile(row, col)
    check_stop = stop_check(task.run)
    with slot(plan.slots, check_stop):
        if task.shared and store.is_done(tile.key):
            return _report(tile, TileTimes())
        result, times = segment(plan, task.model, tile, check_stop=check_stop)
        check_stop()
        if task.shared:
            _demand_own(task, store)
        writing = time.perf_counter()
        _write(store, tile.core, result)
        store.mark_done(tile.key)  # a marked tile is whole
        return _report(tile, times, computed_pixels=result.computed_pixels, write=time.perf_counter() - writing)


@dataclass(frozen=True, slots=True, kw_only=True)
class TileTimes:
    """Seconds of a tile."""

    read: float = 0.0
    compute: float = 0.0
    notes: tuple[str, ...] = ()
    """What the predictor has to say of how it ran."""


def segment(
    plan: Plan, model: ModelRecipe, tile: Tile, *, check_stop: Callable[[], None] = lambda: None
) -> tuple[TileResult, TileTimes]:
    """Reads and segments a tile; nothing is written. Safe on any thread.

    Raises:
        SceneReadError: if the read window cannot be read.
    """
    check_stop()
    started = time.perf_counter()
    source = _read(plan, tile)
    read = time.perf_counter() - started

    def compute(engine: Engine) -> TileResult:
        return segment_tile(
            source,
            tile.core,
            passes=plan.passes,
            engine=engine,
            layers=plan.layers,
            ids=plan.legend.ids,
            temperature=plan.temperature,
        )

    try:
        result, seconds, notes = on_device(plan, model, compute, check_stop=check_stop)
    except OutOfMemoryError as error:
        raise OutOfMemoryError(f"{error} ({_memory_told(plan)})") from error
    return result, TileTimes(read=read, compute=seconds, notes=notes)


def show_logits(
    plan: Plan, model: ModelRecipe, tile: Tile, *, sink: Callable[[Array, slice, slice], None]
) -> npt.NDArray[np.bool_]:
    """Reads a tile and hands its finished logits on, as the first context gives them.

    Args:
        plan: of the run.
        model: what runs.
        tile: of the plan's grid.
        sink: takes logits (K, h, w), and the rows and columns of the core that they are of.

    Returns:
        (h, w) of the core, True = data: where it is not, logits mean nothing, or there are none.

    Raises:
        SceneReadError: if the read window cannot be read.
    """
    source = _read(plan, tile)

    def compute(engine: Engine) -> None:
        run_pass(0, source, tile.core, passes=plan.passes, engine=engine, sink=sink)

    on_device(plan, model, compute)
    return source.valid_in(tile.core)


def _read(plan: Plan, tile: Tile) -> TilePixels:
    window = plan.passes.read(tile.core)
    pixels, valid = read_window(plan.recipe, window)
    return TilePixels(pixels=pixels, valid=valid, window=window)


def _memory_told(plan: Plan) -> str:
    """What the plan thought a run takes, and what there is."""
    planned = plan.cost.memory_bytes if plan.device == "cpu" else plan.cost.device_bytes
    there = memory_there(plan.device)
    return f"the plan estimated {planned / 1e9:.1f} GB, {plan.device} has {there / 1e9:.1f} GB that others use too"


def _report(tile: Tile, times: TileTimes, *, computed_pixels: int = 0, write: float = 0.0) -> TileReport:
    return TileReport(
        key=tile.key,
        pixels=tile.core.pixels,
        computed_pixels=computed_pixels,
        read_seconds=times.read,
        compute_seconds=times.compute,
        write_seconds=write,
        notes=times.notes,
    )


def _write(store: ResultStore, core: Window, result: TileResult) -> None:
    """The layers of a tile."""
    store.write_classes(core, result.classes)
    if result.confidence is not None:
        store.write_confidence(core, result.confidence)
    if result.probabilities is not None:
        store.write_probabilities(core, result.probabilities)
    if result.contexts is not None:
        store.write_context(core, result.contexts)


def _demand_own(task: TileTask, store: ResultStore) -> None:
    """Before a tile is written: its run may have ended without this worker's hearing of it, and another have begun.

    Raises:
        PlanError: if the store is gone, or holds another plan by now.
    """
    if root_attributes(store.place).get(PLAN_DIGEST) != task.digest:
        raise PlanError(f"{task.store} is not this run's any more: another run has replaced or finished it")


@lru_cache(maxsize=4)  # a worker may serve many runs
def _open(location: str, digest: str) -> tuple[ResultStore, Plan]:
    store = open_store(location)
    found = store.attributes.get(PLAN_ATTRIBUTE)
    if found is None or found.get("digest") != digest:
        raise PlanError(f"{location} holds another run's plan, or none")
    return store, Plan.from_json(found)
