"""What comes home from a worker: a report, or an error as a value."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from geoseg import errors
from geoseg.errors import ClusterError, GeosegError, OutputError, SceneReadError, StoppedError
from geoseg.inference.stopping import unless
from geoseg.inference.tasks import TileReport, TileTask, UnfitError, Work

_log = logging.getLogger(__name__)

SHORT = "MemoryError"
"""Kind of the failure of a tile that memory did not take; not of its forward pass, which says so itself."""

LOST = "lost"
"""Kind of the failure of a tile whose report never came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error of geoseg's on its way home: Dask pickles exceptions with their causes, and GDAL's do not survive it."""

    kind: str
    message: str
    passing: bool
    """True if it may work another time."""
    unfit: str | None = None
    """Address of the worker, if the worker is to blame and not the tile."""

    def error(self) -> Exception:
        """The error again."""
        if self.kind == SHORT:
            return MemoryError(self.message)  # whoever knows the plan says more
        found: GeosegError = getattr(errors, self.kind, ClusterError)(self.message)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Tiles that travel as one task of Dask: one, or several that are too quick to be worth a task each."""

    places: tuple[tuple[int, int], ...]
    """(row, column) of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a bundle."""

    found: tuple[TileReport | Failure, ...]
    """Of each of its tiles."""
    seconds: float
    """Wall time of all."""


def guarded(bundle: Bundle, *, task: TileTask, work: Work | None = None) -> Outcome:
    """The work of a bundle of tiles; what fails on purpose comes back as a value. Runs on a worker."""
    if work is None:
        from geoseg.inference import tilework

        work = tilework.work_tile
    started = time.perf_counter()
    with unless(_unwanted()):
        found = tuple(guarded_tile(work, task, row, col) for row, col in bundle.places)
    return Outcome(found=found, seconds=time.perf_counter() - started)


def guarded_tile(work: Work, task: TileTask, row: int, col: int) -> TileReport | Failure:
    """The work of one tile; what fails on purpose comes back as a value."""
    try:
        return work(task, row, col)
    except StoppedError:
        raise
    except UnfitError as error:
        return Failure(kind="ClusterError", message=f"{name_here()}: {error}", passing=True, unfit=address_here())
    except GeosegError as error:
        _log.debug("tile %d.%d failed", row, col, exc_info=True)
        return Failure(kind=type(error).__name__, message=str(error), passing=_may_pass(error))
    except MemoryError as error:
        told = " ".join(str(error).split())
        return Failure(kind=SHORT, message=f"tile {row}.{col}{f': {told}' if told else ''}", passing=False)
    except (ConnectionError, TimeoutError) as error:
        message = f"tile {row}.{col}: {error or type(error).__name__}"
        return Failure(kind="ClusterError", message=message, passing=True)


def _may_pass(error: GeosegError) -> bool:
    """True for what a network may do otherwise the next time: reading and writing at a URL."""
    return isinstance(error, SceneReadError | OutputError) and "://" in str(error)


def failure_of(future: Any) -> Failure:
    """What became of a task that has no result.

    Raises:
        Exception: what no worker was meant to raise, as it is.
    """
    if future.status == "error":
        from distributed import KilledWorker

        error = future.exception()
        if isinstance(error, KilledWorker):
            worker = getattr(error.last_worker, "address", "?")
            return Failure(kind=LOST, message=f"its worker {worker} died (out of memory?)", passing=True)
        if isinstance(error, StoppedError):  # Dask let go of the task and took it up again: nobody stopped the run
            return Failure(kind=LOST, message="the cluster let go of it", passing=True)
        if not isinstance(error, OSError):
            raise error
        return Failure(kind="ClusterError", message=str(error), passing=True)
    return Failure(kind=LOST, message="its worker or the scheduler was lost", passing=True)


def _unwanted() -> Callable[[], bool]:
    """Whether the cluster still waits for the task of this thread; it does not once its client has gone."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def unwanted() -> bool:
        state = worker.state.tasks.get(key)
        return state is None or state.state == "cancelled"

    return unwanted


def address_here() -> str:
    """The address of the worker this runs on."""
    from distributed import get_worker

    return str(get_worker().address)


def name_here() -> str:
    """Address and host of the worker this runs on."""
    import socket

    return f"{address_here()} ({socket.gethostname()})"
