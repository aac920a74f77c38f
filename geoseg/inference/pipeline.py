"""The tile flow of a run: an unfinished store beside the target, every tile that is not done yet, and its timings."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geoseg.choices import Scheduler
from geoseg.errors import PlanError, SceneReadError
from geoseg.inference.executors import run_tiles
from geoseg.inference.plan import Plan
from geoseg.inference.tilework import TileReport, TileTask, end_run, start_run
from geoseg.models.source import ModelSource
from geoseg.raster.zarr_store import ResultStore, StoreSpec, create_store, open_store, was_created

PLAN_ATTRIBUTE = "geoseg_plan"
"""Root attribute of a store that holds its plan."""


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


def open_part(plan: Plan, path: Path, *, restart: bool = False, attributes: dict[str, Any]) -> ResultStore:
    """The unfinished store of a plan: the one at ``path`` if an earlier run of the same plan left it, else a new one.

    Raises:
        PlanError: if another plan's unfinished store is there; the message names the difference.
        OutputError: if the store cannot be written.
    """
    if not restart and was_created(path):
        try:
            store = open_store(path)
        except SceneReadError as error:
            raise PlanError(f"the unfinished run in {path} cannot be opened; --restart drops it") from error
        found = store.attributes.get(PLAN_ATTRIBUTE, {})
        if found.get("digest") == plan.digest:
            return store
        raise PlanError(
            f"an unfinished run with other settings is in {path} ({plan.difference(found)}):"
            " give its settings again to continue it, or --restart to drop it"
        )
    spec = StoreSpec(
        geobox=plan.geobox,
        core=plan.grid.core,
        chunk=plan.chunk,
        legend=plan.legend,
        zarr_format=plan.zarr_format,
        confidence=plan.layers.confidence,
        probabilities=len(plan.legend) if plan.layers.probabilities else 0,
        contexts=tuple(c.size for c in plan.contexts) if plan.layers.contexts else (),
        attributes={**attributes, PLAN_ATTRIBUTE: plan.to_json()},
    )
    return create_store(path, spec)


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
        store: what :func:`open_part` gave.
        scheduler: ``threads`` or ``sync``.
        on_progress: called once before the first tile and after each.

    Raises:
        GeosegError: the first tile's error; finished tiles stay in the store.
    """
    grid = plan.grid
    done = store.done()
    progress = Progress(tiles=grid.count, pixels=plan.geobox.shape[0] * plan.geobox.shape[1])
    waiting = []
    for tile in grid:
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
    task = TileTask(plan=plan, model=model, store=store.path, run=run)
    try:
        for report in run_tiles(task, waiting, scheduler=scheduler):
            progress.add(report)
            if on_progress is not None:
                on_progress(progress)
    finally:
        end_run(run)
    return progress
