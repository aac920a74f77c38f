"""The tile flow of a run: every tile that its unfinished store does not hold yet, and its timings."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from geoseg.geometry.tiles import TileGrid
from geoseg.geometry.windows import split
from geoseg.inference.executors import Session
from geoseg.inference.plan import Plan
from geoseg.inference.shortage import memory_told
from geoseg.inference.stopping import end_run, start_run
from geoseg.inference.tasks import TileReport, TileTask
from geoseg.inference.tilework import forget_runs
from geoseg.legend import IGNORE
from geoseg.models.runtimes.halving import with_notes
from geoseg.models.source import ModelSource
from geoseg.raster.zarr_store import ResultStore
from geoseg.version import __version__

NOTES_ATTRIBUTE = "geoseg_notes"
"""Root attribute of a store with what a user should know of how its tiles were computed."""


EMPTY = "not one valid pixel: the map is all nodata"
"""Note on a scene without data."""

_SMALLER = "use a smaller --tile, --patch-size or --batch-size"


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a run is; handed to the callback after every tile and at every new stage."""

    tiles: int
    tiles_done: int = 0
    pixels: int = 0
    """Pixels of the tiles."""
    pixels_done: int = 0
    computed_pixels: int = 0
    """Pixels of all network inputs so far, of this run's own tiles."""
    resumed_tiles: int = 0
    """Tiles an earlier run had finished."""
    resumed_pixels: int = 0
    """Pixels of those tiles."""
    seconds: dict[str, float] = field(default_factory=lambda: {"read": 0.0, "compute": 0.0, "write": 0.0})
    """Busy seconds, which overlap."""
    notes: list[str] = field(default_factory=list)
    """What a user should know of how tiles were computed, each once."""
    stage: str = "predicting"
    """What is being done; after the tiles ``scoring``, ``overviews``, ``COG``, ``preview`` and others."""

    def add(self, report: TileReport) -> None:
        """Counts a tile."""
        self.tiles_done += 1
        self.pixels_done += report.pixels
        self.computed_pixels += report.computed_pixels
        self.seconds["read"] += report.read_seconds
        self.seconds["compute"] += report.compute_seconds
        self.seconds["write"] += report.write_seconds
        self.notes = with_notes(self.notes, report.notes)


def run_plan(
    plan: Plan,
    model: ModelSource,
    store: ResultStore,
    *,
    session: Session,
    check: Callable[[], None] = lambda: None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Segments every tile of a plan that the store does not hold yet.

    Args:
        plan: what to do.
        model: where workers get the network.
        store: what ``open_part`` of ``resume.py`` gave.
        session: what runs the tiles.
        check: raises if the store is another run's by now; called after each tile.
        on_progress: called once before the first tile and after each.

    Raises:
        ClusterError: if workers cannot do it; found before any tile.
        GeosegError: the first tile's error; finished tiles stay in the store.
    """
    run = uuid.uuid4().hex
    task = TileTask(
        store=store.location,
        digest=plan.digest,
        model=model.recipe,
        run=run,
        version=__version__,
        shared=session.shared,
    )
    done = done_mask(plan.grid, store.done_keys())
    progress = Progress(tiles=plan.tile_count, pixels=plan.pixel_count)
    progress.notes += store.attributes.get(NOTES_ATTRIBUTE, [])  # of an earlier run's tiles
    progress.tiles_done = progress.resumed_tiles = int(done.sum())
    progress.pixels_done = progress.resumed_pixels = _pixels(plan.grid, done)
    if progress.tiles_done < progress.tiles:
        session.preflight(task)
    if on_progress is not None:
        on_progress(progress)
    start_run(run)
    waiting = ((tile.row, tile.col) for tile in plan.tiles() if not done[tile.row, tile.col])
    try:
        if progress.tiles_done < progress.tiles:  # else the pyramid may be whole
            here = not session.shared
            with (
                memory_told(plan, doing="tiles were worked on", way=_SMALLER, here=here),
                store.early_overviews(done) as written,
            ):
                for report in session.run(task, waiting):
                    check()
                    written(*_place(report.key))
                    told = progress.notes
                    progress.add(report)
                    if progress.notes != told:  # at once: a run that is stopped later has said it
                        store.update_attributes({NOTES_ATTRIBUTE: progress.notes})
                    if on_progress is not None:
                        on_progress(progress)
    finally:
        end_run(run)
        forget_runs()
    if progress.computed_pixels == 0 and _is_empty(store):
        progress.notes = with_notes(progress.notes, (EMPTY,))
        store.update_attributes({NOTES_ATTRIBUTE: progress.notes})
    return progress


def _is_empty(store: ResultStore) -> bool:
    """True if no pixel has a class; looks until it finds one."""
    windows = split(store.shape, size=(2048, 2048))
    return all(bool((store.read_classes(window) == IGNORE).all()) for window in windows)


def done_mask(grid: TileGrid, keys: Iterable[str]) -> npt.NDArray[np.bool_]:
    """(rows, columns) of tiles, True for those among the keys; a byte a tile, however many there are."""
    mask = np.zeros(grid.shape, np.bool_)
    for key in keys:
        mask[_place(key)] = True
    return mask


def _place(key: str) -> tuple[int, int]:
    """Row and column of a tile by its key."""
    row, _, col = key.partition(".")
    return int(row), int(col)


def _pixels(grid: TileGrid, chosen: npt.NDArray[np.bool_]) -> int:
    """Pixels in the cores of some tiles."""
    if not chosen.any():
        return 0
    rows, cols = grid.shape
    heights = np.array([grid.tile(row, 0).core.height for row in range(rows)], np.int64)
    widths = np.array([grid.tile(0, col).core.width for col in range(cols)], np.int64)
    return int((chosen * heights[:, None] * widths).sum())
