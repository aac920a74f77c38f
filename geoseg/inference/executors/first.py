"""The first tile of a run in this process, begun before Dask is there: importing it leaves all cores but one idle."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from geoseg.inference.executors.outcomes import Failure, guarded_tile
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
        self._found: Future[TileReport | Failure] = self._thread.submit(guarded_tile, work, task, *place)

    def before(self, tiles: Iterator[Place]) -> Iterator[Place]:
        """Tiles, and this one among them once it failed: whoever runs them tries it as often as is allowed."""
        for place in tiles:
            yield from self.again(wait=False)
            yield place

    def again(self, *, wait: bool) -> Iterator[Place]:
        """The tile, once, if it failed in a way that may pass.

        Args:
            wait: until that is known.

        Raises:
            GeosegError, MemoryError, StoppedError: if it failed for good.
        """
        if self._place is not None and (wait or self._found.done()):
            found = self._found.result()
            if isinstance(found, Failure):
                if not found.passing:
                    raise found.error()
                place, self._place = self._place, None
                yield place

    def report(self, *, wait: bool) -> Iterator[TileReport]:
        """Its report, once, if it did not fail.

        Args:
            wait: until that is known.
        """
        if self._place is not None and (wait or self._found.done()):
            found = self._found.result()
            if isinstance(found, TileReport):
                self._place = None
                yield found

    def close(self) -> None:
        """Waits until it is not in work any more, however long that takes: it uses what the caller gives back."""
        self._thread.shutdown()
