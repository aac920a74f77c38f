"""What a worker does with one tile: read, segment, write, mark. A task carries this recipe and two numbers."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

from geoseg.errors import StoppedError
from geoseg.geometry.windows import Window
from geoseg.inference.decide import TileResult
from geoseg.inference.plan import Plan
from geoseg.inference.segment import Engine, TilePixels, segment_tile
from geoseg.models.source import ModelSource
from geoseg.raster.reading import read_window
from geoseg.raster.zarr_store import ResultStore, open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class TileTask:
    """Everything a worker needs for any tile of a run; picklable, without handles or weights."""

    plan: Plan
    model: ModelSource
    store: str
    run: str
    """Name of the run in this process, for stopping it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileReport:
    """What became of a tile."""

    key: str
    pixels: int
    """Pixels of its core."""
    computed_pixels: int
    """Pixels of all network inputs that it took."""
    read_seconds: float
    compute_seconds: float
    write_seconds: float


_stops: dict[str, threading.Event] = {}
"""Runs of this process that can be told to stop."""


def start_run(name: str) -> None:
    """Makes run ``name`` one that can be stopped."""
    _stops[name] = threading.Event()


def request_stop(name: str) -> None:
    """Lets the tiles of run ``name`` in this process give up between two batches."""
    if name in _stops:
        _stops[name].set()


def end_run(name: str) -> None:
    """Forgets a run that ended, and its store's handle. A stopped run stays known: a thread may still ask."""
    if name in _stops and not _stops[name].is_set():
        del _stops[name]
    _store.cache_clear()


def work_tile(task: TileTask, row: int, col: int) -> TileReport:
    """Reads, segments and writes the tile at (row, col) of the plan's grid, then marks it done.

    Raises:
        SceneReadError: if the read window cannot be read; the message names it.
        OutputError: if the store cannot be written.
        StoppedError: if the run was told to stop meanwhile.
    """
    tile = task.plan.grid.tile(row, col)
    _raise_if_stopped(task.run)
    started = time.perf_counter()
    passes = task.plan.passes
    window = passes.read(tile.core)
    pixels, valid = read_window(task.plan.recipe, window)
    source = TilePixels(pixels=pixels, valid=valid, window=window)
    read = time.perf_counter()

    def compute() -> tuple[TileResult, float]:
        begun = time.perf_counter()
        engine = Engine(
            predictor=task.model.predictor(task.plan.device), check_stop=lambda: _raise_if_stopped(task.run)
        )
        result = segment_tile(
            source, tile.core, passes=passes, engine=engine, layers=task.plan.layers, ids=task.plan.legend.ids
        )
        return result, time.perf_counter() - begun

    result, computing = _device_thread(task.plan.device, task.plan.threads).submit(compute).result()
    writing = time.perf_counter()
    _write(_store(task.store), tile.core, result)
    _store(task.store).mark_done(tile.key)  # a marked tile is whole
    return TileReport(
        key=tile.key,
        pixels=tile.core.pixels,
        computed_pixels=result.computed_pixels,
        read_seconds=read - started,
        compute_seconds=computing,
        write_seconds=time.perf_counter() - writing,
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


def _raise_if_stopped(run: str) -> None:
    stop = _stops.get(run)
    if stop is not None and stop.is_set():
        raise StoppedError("stopped", signum=2)


@cache
def _device_thread(device: str, threads: int) -> ThreadPoolExecutor:
    """The one thread that computes on a device: it is the device's lock, and keeps one set of OpenMP threads."""
    import torch

    return ThreadPoolExecutor(
        max_workers=1, thread_name_prefix=f"geoseg-{device}", initializer=torch.set_num_threads, initargs=(threads,)
    )


@cache
def _store(location: str) -> ResultStore:
    return open_store(location)
