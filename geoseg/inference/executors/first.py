"""The first tile of a run in this process, begun before Dask is there: importing it takes one core half a second."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from geoseg.errors import StoppedError
from geoseg.inference.executors.retries import Place
from geoseg.inference.tasks import TileReport, TileTask, Work


class FirstTile:
    """One tile in work on a thread of its own.

    Args:
        task: what it needs.
        place: which tile.
        work: what is done with it.
    """

    def __init__(self, task: TileTask, place: Place, work: Work) -> None:
        self._place: Place | None = place
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="geoseg-first")
        self._found: Future[TileReport] = self._thread.submit(work, task, *place)

    def before(self, tiles: Iterator[Place]) -> Iterator[Place]:
        """Tiles, and this one among them once it failed: whoever runs them knows what to make of that."""
        for place in tiles:
            yield from self.again(wait=False)
            yield place

    def again(self, *, wait: bool) -> Iterator[Place]:
        """The tile, once, if it failed.

        Args:
            wait: until that is known.
        """
        if self._place is not None and (wait or self._found.done()) and self._failed():
            place, self._place = self._place, None
            yield place

    def report(self, *, wait: bool) -> Iterator[TileReport]:
        """Its report, once, if it did not fail.

        Args:
            wait: until that is known.
        """
        if self._place is not None and (wait or self._found.done()) and not self._failed():
            self._place = None
            yield self._found.result()

    def close(self) -> None:
        """Waits until it is not in work any more."""
        self._thread.shutdown()

    def _failed(self) -> bool:
        """Waits for it.

        Raises:
            StoppedError: if the run was stopped.
        """
        error = self._found.exception()
        if error is not None and (isinstance(error, StoppedError) or not isinstance(error, Exception)):
            raise error
        return error is not None
