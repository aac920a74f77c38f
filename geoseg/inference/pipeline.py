"""The tile flow of a run: every tile that its unfinished store does not hold yet, and its timings."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from geoseg.choices import Scheduler
from geoseg.inference.executors import run_tiles
from geoseg.inference.plan import Plan
from geoseg.inference.tilework import TileReport, TileTask, end_run, start_run
from geoseg.models.source import ModelSource
from geoseg.raster.zarr_store import ResultStore


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a run is; handed to the callback after every tile and at every new stage."""

    tiles: int
    tiles_done: int = 0
    pixels: int = 0
    """Pixels of the scene."""
    pixels_done: int = 0
    computed_pixels: int = 0
    """Pixels of all network inputs so far, of this run's own tiles."""
    resumed_tiles: int = 0
    """Tiles an earlier run had finished."""
    resumed_pixels: int = 0
    """Pixels of those tiles."""
    seconds: dict[str, float] = field(default_factory=lambda: {"read": 0.0, "compute": 0.0, "write": 0.0})
    """Busy seconds, which overlap."""
    stage: str = "predicting"
    """What is being done; after the tiles ``scoring``, ``overviews``, ``COG``, ``preview``."""

    def add(self, report: TileReport) -> None:
        """Counts a tile."""
        self.tiles_done += 1
        self.pixels_done += report.pixels
        self.computed_pixels += report.computed_pixels
        self.seconds["read"] += report.read_seconds
        self.seconds["compute"] += report.compute_seconds
        self.seconds["write"] += report.write_seconds


def run_plan(
    plan: Plan,
    model: ModelSource,
    store: ResultStore,
    *,
    scheduler: Scheduler = "threads",
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Segments every tile of a plan that the store does not hold yet.

    Args:
        plan: what to do.
        model: where workers get the network.
        store: what ``open_part`` of ``resume.py`` gave.
        scheduler: ``threads`` or ``sync``.
        on_progress: called once before the first tile and after each.

    Raises:
        GeosegError: the first tile's error; finished tiles stay in the store.
    """
    done = store.done()
    progress = Progress(tiles=plan.tile_count, pixels=plan.geobox.shape[0] * plan.geobox.shape[1])
    waiting = []
    for tile in plan.tiles():
        if tile.key in done:
            progress.tiles_done += 1
            progress.resumed_tiles += 1
            progress.pixels_done += tile.core.pixels
            progress.resumed_pixels += tile.core.pixels
        else:
            waiting.append((tile.row, tile.col))
    if on_progress is not None:
        on_progress(progress)
    run = uuid.uuid4().hex
    start_run(run)
    task = TileTask(plan=plan, model=model, store=store.location, run=run)
    try:
        for report in run_tiles(task, waiting, scheduler=scheduler):
            progress.add(report)
            if on_progress is not None:
                on_progress(progress)
    finally:
        end_run(run)
    return progress
