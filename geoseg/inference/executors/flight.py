"""The tiles in flight: a few per slot, however many there are; lost ones are sent again, a bounded number of times.

Neither the client nor the scheduler ever holds more than these, so that a million tiles take no more memory than ten.
"""

from __future__ import annotations

import heapq
import queue
import time
from collections.abc import Iterator
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

from geoseg.errors import ClusterError
from geoseg.inference.executors.outcomes import Bundle, Failure, Outcome, guarded
from geoseg.inference.tasks import TileReport, Tiles, TileTask, Work

PER_SLOT = 8
"""Tasks in flight for each that can be in work, at most; half as many at least. A worker never waits for the scheduler,
memory stays bounded, and a message to the scheduler, which costs it more than a task does, carries several tasks."""

_WORTH = 0.25
"""Seconds of work that are worth a task, which costs Dask some milliseconds: quicker tiles travel together."""

_MOST = 16
"""Most tiles in a task."""

_COLLECT = 0.02
"""Seconds in which tiles that came home are collected; there are others in flight meanwhile."""

_TICK = 0.5
"""Seconds without news after which the cluster is looked at."""

_LOOK_EVERY = 2.0
"""Seconds between looks at who works."""

_CONTINUES = "finished tiles are kept, the same command again continues"

_LOST = "lost"

_Place = tuple[int, int]


@dataclass(slots=True, kw_only=True)
class _Retries:
    """How often tiles came home undone; only those that did are remembered."""

    limit: int
    counts: dict[_Place, int] = field(default_factory=dict)
    later: list[tuple[float, _Place]] = field(default_factory=list)
    """Heap of (when, tile)."""

    def again(self, place: _Place, *, why: str, wait: bool) -> None:
        """Puts a tile back.

        Raises:
            ClusterError: if it came home too often.
        """
        losses = self.counts[place] = self.counts.get(place, 0) + 1
        if losses > self.limit:
            raise ClusterError(
                f"tile {place[0]}.{place[1]} failed {losses} times, last: {why}; {_CONTINUES} (--retries allows more)"
            )
        heapq.heappush(self.later, (time.monotonic() + (2.0 ** (losses - 1) if wait else 0.0), place))

    def due(self) -> Iterator[_Place]:
        """The tiles whose time has come."""
        while self.later and self.later[0][0] <= time.monotonic():
            yield heapq.heappop(self.later)[1]


class Flight:
    """One run on one client.

    Args:
        client: of Dask.
        slots: tiles in work at once per worker.
        retries: how often a tile may come home undone.
        patience: seconds to wait for workers or for the scheduler.
    """

    def __init__(self, client: Any, *, slots: int, retries: int, patience: float) -> None:
        self._client, self._slots, self._patience = client, slots, patience
        self._retries = _Retries(limit=retries)
        self._flying: dict[Any, tuple[Bundle, Any]] = {}
        self._pace: float | None = None
        self._landed: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads: dict[str, int] = {}
        self._unfit: dict[str, str] = {}
        self._looked = float("-inf")
        self._seen = time.monotonic()
        self._numbers = count()
        self._caller = ThreadPoolExecutor(1, thread_name_prefix="geoseg-gather")

    def run(self, task: TileTask, tiles: Tiles, *, work: Work | None) -> Iterator[TileReport]:
        """Yields the reports of tiles as they are done; see ``Session.run``."""
        waiting = iter(tiles)
        while True:
            self._look()
            self._send(task, waiting, work)
            if not self._flying and not self._retries.later:
                return
            for place, found in self._news():
                if isinstance(found, TileReport):
                    self._retries.counts.pop(place, None)
                    yield found
                elif found.unfit is not None:
                    self._exclude(found.unfit, found.message, place)
                elif found.passing:
                    self._retries.again(place, why=found.message, wait=found.kind != _LOST)
                else:
                    raise found.error()

    def close(self, *, wait: bool) -> None:
        """Lets go of all tiles in flight: the cluster drops those that wait, and those in work give up.

        Args:
            wait: until none is in work; in one process they hold what the caller is about to give back.
        """
        if wait and self._flying:
            from distributed import wait as wait_for

            with suppress(Exception):
                wait_for([future for _, future in self._flying.values()], timeout=60)  # type: ignore[no-untyped-call]
        self._flying.clear()
        self._caller.shutdown(wait=False, cancel_futures=True)

    def _send(self, task: TileTask, waiting: Iterator[_Place], work: Work | None) -> None:
        """Fills up what is in flight: tiles that came home first."""
        slots = sum(min(n, self._slots) for n in self._threads.values())
        room = PER_SLOT * slots - len(self._flying)
        if len(self._flying) > PER_SLOT // 2 * slots:
            return
        bundles = [Bundle(places=(place,)) for place in islice(self._retries.due(), room)]
        size = 1 if self._pace is None else max(1, min(_MOST, int(_WORTH / max(self._pace, 1e-9))))
        while len(bundles) < room and (places := tuple(islice(waiting, size))):
            bundles.append(Bundle(places=places))
        if not bundles:
            return
        keys = [(f"geoseg-{task.run}", *bundle.places[0], next(self._numbers)) for bundle in bundles]
        call: dict[str, Any] = {"task": task} if work is None else {"task": task, "work": work}
        good: dict[str, Any] = {"workers": list(self._threads), "allow_other_workers": True} if self._unfit else {}
        futures = self._client.map(guarded, bundles, key=keys, pure=False, **call, **good)
        for bundle, future in zip(bundles, futures, strict=True):
            self._flying[future.key] = (bundle, future)
            future.add_done_callback(self._landed.put)

    def _news(self) -> list[tuple[_Place, TileReport | Failure]]:
        """What came home, after a short wait for the first."""
        try:
            done = [self._landed.get(timeout=_TICK)]
        except queue.Empty:
            return []
        until = time.monotonic() + _COLLECT
        with suppress(queue.Empty):
            while len(done) < len(self._flying) // 2:
                done.append(self._landed.get(timeout=max(0.0, until - time.monotonic())))
        ours = [f for f in done if f.key in self._flying]
        results = self._gather([f for f in ours if f.status == "finished"])
        news: list[tuple[_Place, TileReport | Failure]] = []
        for future in ours:
            places = self._flying.pop(future.key)[0].places
            outcome = results.get(future.key)
            if outcome is None:
                news += [(place, _failure(future)) for place in places]
            else:
                news += zip(places, outcome.found, strict=True)
                seconds = outcome.seconds / len(places)
                self._pace = seconds if self._pace is None else 0.9 * self._pace + 0.1 * seconds
        return news

    def _gather(self, futures: list[Any]) -> dict[Any, Outcome]:
        """The results of finished tasks, by key; those that were lost on the way are left out."""
        if not futures:
            return {}
        asked: ThreadFuture[dict[Any, Any]] = self._caller.submit(
            self._client.gather, {f.key: f for f in futures}, errors="skip"
        )
        while True:
            try:
                found = asked.result(_TICK)
            except TimeoutError:
                if asked.done():
                    return {}
                self._look()
            except OSError:
                return {}
            else:
                return {key: value for key, value in found.items() if value is not None}

    def _exclude(self, address: str, reason: str, place: _Place) -> None:
        """Gives a worker no more tiles, and its tile to another; that one is not to blame."""
        self._unfit[address] = reason
        self._threads.pop(address, None)
        if not self._threads:
            raise ClusterError(f"no worker can do this run: {'; '.join(list(self._unfit.values())[:5])}; {_CONTINUES}")
        heapq.heappush(self._retries.later, (0.0, place))

    def _look(self) -> None:
        """Looks who works, now and then.

        Raises:
            ClusterError: if the scheduler is lost, or no worker came back in time.
        """
        now = time.monotonic()
        if self._client.status != "running":
            self._await_scheduler()
        elif now - self._looked < _LOOK_EVERY:
            return
        try:
            found = self._client.sync(self._client.scheduler.ncores, callback_timeout=self._patience)
        except (OSError, TimeoutError):
            self._await_scheduler(silent=True)
            return
        self._looked = time.monotonic()
        self._threads = {a: n for a, n in found.items() if a not in self._unfit}
        if self._threads:
            self._seen = self._looked
        elif self._looked - self._seen > self._patience:
            raise ClusterError(
                f"the scheduler {self._client.scheduler.address} had no workers for {self._patience:g} s; {_CONTINUES}"
            )

    def _await_scheduler(self, *, silent: bool = False) -> None:
        """Waits while Dask tries to reach a lost scheduler again.

        Raises:
            ClusterError: if it gave up, or the scheduler is connected but did not answer.
        """
        deadline = time.monotonic() + self._patience
        while self._client.status == "connecting" and time.monotonic() < deadline:
            time.sleep(0.1)
        if self._client.status != "running" or silent:
            address = getattr(self._client.scheduler, "address", "")
            raise ClusterError(f"lost the scheduler {address}; {_CONTINUES}")


def _failure(future: Any) -> Failure:
    """What became of a task that has no result.

    Raises:
        Exception: what no worker was meant to raise, as it is.
    """
    if future.status == "error":
        from distributed import KilledWorker

        error = future.exception()
        if isinstance(error, KilledWorker):
            worker = getattr(error.last_worker, "address", "?")
            return Failure(kind=_LOST, message=f"its worker {worker} died (out of memory?)", passing=True)
        if not isinstance(error, OSError):
            raise error
        return Failure(kind="ClusterError", message=str(error), passing=True)
    return Failure(kind=_LOST, message="its worker or the scheduler was lost", passing=True)
