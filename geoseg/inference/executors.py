"""Where tiles run: an in-process Dask cluster, or one after the other. The only room that knows Dask.

One task per tile, a bounded number in flight, nothing listening outside loopback.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from geoseg import errors
from geoseg.choices import Scheduler
from geoseg.errors import GeosegError, StoppedError
from geoseg.inference.tilework import TileReport, TileTask, request_stop, work_tile

_log = logging.getLogger(__name__)

Work = Callable[[TileTask, int, int], TileReport]

_IN_FLIGHT_PER_SLOT = 2  # one running, one ready: a worker never waits for the scheduler, and memory stays bounded


def run_tiles(
    task: TileTask, tiles: Iterable[tuple[int, int]], *, scheduler: Scheduler = "threads", work: Work = work_tile
) -> Iterator[TileReport]:
    """Runs tiles and yields their reports as they are done, in any order.

    The first tile that fails ends the run with its error. Whatever ends it early, a signal included, tiles in work
    give up between two batches; those that are done stay done.

    Args:
        task: what every tile needs.
        tiles: (row, column) of each tile in the plan's grid.
        scheduler: ``threads`` is Dask's distributed scheduler in this process, ``sync`` is a plain loop (debugging).
        work: what is done with a tile; tests put counting fakes here.
    """
    if scheduler == "sync":
        for row, col in tiles:
            yield work(task, row, col)
        return
    from distributed import as_completed

    slots = task.plan.slots
    with _local_client(slots) as client:
        waiting = iter(tiles)

        def submit(count: int) -> list[Any]:
            return [client.submit(_guarded, work, task, r, c, pure=False) for r, c in islice(waiting, count)]

        try:
            running = as_completed(  # type: ignore[no-untyped-call]
                submit(_IN_FLIGHT_PER_SLOT * slots), loop=client.loop
            )
            for future in running:
                report = _report_of(future.result())
                future.release()
                for more in submit(1):
                    running.add(more)  # type: ignore[no-untyped-call]
                yield report
        except BaseException:
            request_stop(task.run)  # before the cluster is closed, which waits for its threads
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """An error of geoseg's on its way home: Dask pickles exceptions with their causes, and GDAL's do not survive it."""

    kind: str
    message: str

    def error(self) -> GeosegError:
        found: GeosegError = getattr(errors, self.kind)(self.message)
        return found


def _guarded(work: Work, task: TileTask, row: int, col: int) -> TileReport | _Failure:
    """The work of a tile; what fails on purpose comes back as a value."""
    try:
        return work(task, row, col)
    except StoppedError:
        raise
    except GeosegError as error:
        _log.debug("tile %d.%d failed", row, col, exc_info=True)
        return _Failure(kind=type(error).__name__, message=str(error))


def _report_of(found: TileReport | _Failure) -> TileReport:
    if isinstance(found, _Failure):
        raise found.error()
    return found


@contextmanager
def _local_client(slots: int) -> Iterator[Any]:
    """A Dask cluster in this process: one worker, ``slots`` threads, messages in memory.

    By default distributed listens on 0.0.0.0:8787 even without a dashboard; loopback and any port is as little as it
    can be given.
    """
    import dask
    from distributed import Client, LocalCluster

    with _quiet("distributed", "tornado", "asyncio"), dask.config.set(_CONFIG):
        cluster = LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=1,
            threads_per_worker=slots,
            processes=False,
            protocol="inproc://",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        )
        try:
            with Client(cluster, set_as_default=False) as client:  # type: ignore[no-untyped-call]
                yield client
        finally:
            cluster.close(timeout=60)


_CONFIG = {
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.admin.tick.limit": "10m",  # a long forward pass holds the interpreter: not worth a warning
    "distributed.worker.daemon": False,
}


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Keeps other people's loggers, and those below them, from the user's screen while a run lasts."""
    known = [name for name in logging.root.manager.loggerDict if name.split(".")[0] in names]
    loggers = [logging.getLogger(name) for name in {*names, *known}]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
