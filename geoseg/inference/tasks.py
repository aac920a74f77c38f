"""What travels: the task of a tile, and its report. Light, for Dask's scheduler unpickles both and needs no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from geoseg.errors import GeosegError
from geoseg.models.source import ModelRecipe

SLOTS = 3
"""Tiles in work at once: one computes, or is begun while one ends; another is read, or a third is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileTask:
    """Everything a worker needs for any tile of a run; small, picklable, without handles, weights or the plan.

    The plan is in the store, where workers that join late find it too.
    """

    store: str
    """Where the unfinished store is."""
    digest: str
    """Of the plan."""
    model: ModelRecipe
    run: str
    """Name of the run, for stopping it."""
    version: str
    """Of the geoseg that planned."""
    shared: bool = False
    """True if workers are other processes: each looks once whether it can do this run, and at a tile's marker before
    it works, for a tile may have been finished by a worker that died before it could say so."""


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
    notes: tuple[str, ...] = ()
    """What a user should know of how it was computed."""


class UnfitError(GeosegError, RuntimeError):
    """A worker that cannot do a run others may be able to do; the message says why."""


Work = Callable[[TileTask, int, int], TileReport]
"""What is done with the tile at (row, column) of the plan's grid."""

Tiles = Iterable[tuple[int, int]]
"""(row, column) of each tile in the plan's grid; may be longer than memory."""
