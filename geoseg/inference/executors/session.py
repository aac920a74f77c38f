"""Sessions: one connection to whatever runs tiles, for any number of scenes one after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

from geoseg.errors import ClusterError
from geoseg.inference.executors.options import ClusterOptions
from geoseg.inference.stopping import request_stop
from geoseg.inference.tasks import SLOTS, TileReport, Tiles, TileTask, Work

if TYPE_CHECKING:
    from distributed import Client

    from geoseg.inference.capacity import Capacity
    from geoseg.inference.executors.retries import Place

_ANSWER_SECONDS = 10.0  # for a scheduler that may be gone


class Session(ABC):
    """What runs tiles. Open one by :func:`open_session`."""

    shared: bool = False
    """True if tiles run in other processes than this."""

    @abstractmethod
    def run(self, task: TileTask, tiles: Tiles, *, work: Work | None = None) -> Iterator[TileReport]:
        """Runs tiles and yields their reports as they are done, in any order.

        The first tile that fails for good ends the run with its error. Whatever ends it early, tiles in work give up
        between two batches; those that are done stay done.

        Args:
            task: what every tile needs.
            tiles: which; taken from as there is room for them.
            work: what is done with a tile; None: ``work_tile``. Tests put fakes here.

        Raises:
            ClusterError: if the scheduler, or all workers, or one tile again and again, are lost.
            GeosegError: the error of a tile.
        """

    def preflight(self, task: TileTask) -> None:  # noqa: B027 - nothing to ask in one process
        """Asks every worker whether it can do a run.

        Raises:
            ClusterError: naming the workers that cannot, and why.
        """

    def capacity(self, device: str = "auto") -> Capacity:
        """What the smallest worker has to give to a plan.

        Raises:
            PlanError, ClusterError: if workers lack the device.
        """
        from geoseg.inference.capacity import capacity_here

        return capacity_here(device)

    @property
    def worker_count(self) -> int:
        """Workers there are now."""
        return 1

    @property
    def is_lost(self) -> bool:
        """True if nothing can be run any more: the scheduler does not answer, or has no workers."""
        return False


class LoopSession(Session):
    """One tile after the other, for debugging."""

    def run(self, task: TileTask, tiles: Tiles, *, work: Work | None = None) -> Iterator[TileReport]:
        """See :class:`Session`; nothing is tried again."""
        work = work or _work_tile()
        return (work(task, row, col) for row, col in tiles)


class DaskSession(Session):
    """Tiles as tasks of a Dask client.

    Args:
        options: where they run.
        slots: tiles in work at once per worker.
        device: what the workers of a cluster of our own are started for.
    """

    def __init__(self, options: ClusterOptions, *, slots: int, device: str) -> None:
        self.shared = not options.in_process
        self._options, self._slots, self._device = options, slots, device
        self._opened = ExitStack()
        self._client_or_none: Client | None = None

    def run(self, task: TileTask, tiles: Tiles, *, work: Work | None = None) -> Iterator[TileReport]:
        """See :class:`Session`."""
        waiting = iter(tiles)
        begins = None if self.shared or self._client_or_none is not None else next(waiting, None)
        if begins is None:
            yield from self._fly(task, waiting, work=work)
            return
        from geoseg.inference.executors.first import FirstTile

        first = FirstTile(task, begins, work or _work_tile())
        try:
            for report in self._fly(task, first.before(waiting), work=work):
                yield report
                yield from first.report(wait=False)
            yield from first.report(wait=True)
            yield from self._fly(task, first.again(wait=True), work=work)
        except BaseException:
            request_stop(task.run)
            raise
        finally:
            first.close()

    def _fly(self, task: TileTask, tiles: Iterator[Place], *, work: Work | None) -> Iterator[TileReport]:
        """Runs tiles as tasks of Dask, which is started for the first of them."""
        place = next(tiles, None)
        if place is None:
            return
        from geoseg.inference.executors.flight import Flight

        options = self._options
        flight = Flight(self._client, slots=self._slots, retries=options.retries, patience=options.patience)
        try:
            yield from flight.run(task, chain([place], tiles), work=work)
        except BaseException:
            request_stop(task.run)  # before the cluster is closed, which waits for its threads
            raise
        finally:
            flight.close(wait=not self.shared)

    def preflight(self, task: TileTask) -> None:
        """See :class:`Session`."""
        if self.shared:
            from geoseg.inference.executors.asking import demand_fit

            demand_fit(self._client, task)

    def capacity(self, device: str = "auto") -> Capacity:
        """See :class:`Session`."""
        if not self.shared:
            return super().capacity(device)
        from geoseg.inference.capacity import smallest
        from geoseg.inference.executors.asking import facts

        return smallest(facts(self._client, device=device))

    @property
    def worker_count(self) -> int:
        """Workers there are now."""
        return len(self._client.nthreads()) if self.shared else 1

    @property
    def is_lost(self) -> bool:
        """See :class:`Session`."""
        client: Any = self._client_or_none
        if not self.shared or client is None:
            return False
        if client.status != "running":
            return True
        try:
            return not client.sync(client.scheduler.ncores, callback_timeout=_ANSWER_SECONDS)
        except (OSError, TimeoutError):
            return True

    def close(self) -> None:
        """Closes the connection, and a cluster of our own with it."""
        self._client_or_none = None
        self._opened.close()

    @property
    def _client(self) -> Any:
        """The client; made when it is first asked for."""
        if self._client_or_none is None:
            from geoseg.inference.executors.clusters import connect

            opening = connect(self._options, slots=self._slots, device=self._device)
            self._client_or_none = self._opened.enter_context(opening)
        return self._client_or_none


def _work_tile() -> Work:
    """What is done with a tile; imported late, and looked up anew, for whoever only asks what a session is."""
    from geoseg.inference import tilework

    return tilework.work_tile


@contextmanager
def open_session(options: ClusterOptions, *, device: str = "cpu", slots: int = SLOTS) -> Iterator[Session]:
    """A session with what runs tiles, closed at the end of the block.

    A cluster of other processes is reached before the block begins; Dask in this process starts with the second tile.

    Args:
        options: where tiles run.
        device: what local worker processes are started for: with ``cuda``, each gets a GPU of its own.
        slots: tiles in work at once per worker.

    Raises:
        ClusterError: if the scheduler cannot be reached, or has no workers within ``options.patience`` seconds.
    """
    if options.scheduler == "sync":
        yield LoopSession()
        return
    session = DaskSession(options, slots=slots, device=device)
    try:
        if session.shared and session.worker_count == 0:
            raise ClusterError("the cluster has no workers")
        yield session
    finally:
        session.close()
