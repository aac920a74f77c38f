"""The tiles in flight: a few per slot, however many there are; lost ones are sent again, a bounded number of times.

Neither the client nor the scheduler ever holds more than these, so that a million tiles take no more memory than ten.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count, islice
from typing import Any

from geoseg.errors import ClusterError
from geoseg.inference.executors.outcomes import LOST, Bundle, Failure, Outcome, failure_of, guarded
from geoseg.inference.executors.retries import CONTINUES, Place, Retries
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

_ENDING_SECONDS = 60.0
"""Most seconds in which tiles in work are waited for at the end."""


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
        self._retries = Retries(limit=retries)
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
                    self._retries.again(place, why=found.message, wait=found.kind != LOST)
                else:
                    raise found.error()

    def close(self, *, wait: bool) -> None:
        """Lets go of all tiles in flight: the cluster drops those that wait, and those in work give up.

        Args:
            wait: until none is in work; in one process they hold what the caller is about to give back.
        """
        if wait:  # not by Dask's own `wait`, which knows default clients only
            deadline = time.monotonic() + _ENDING_SECONDS
            while not all(future.done() for _, future in self._flying.values()) and time.monotonic() < deadline:
                time.sleep(0.01)
        self._flying.clear()
        self._caller.shutdown(wait=False, cancel_futures=True)

    def _send(self, task: TileTask, waiting: Iterator[Place], work: Work | None) -> None:
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

    def _news(self) -> list[tuple[Place, TileReport | Failure]]:
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
        news: list[tuple[Place, TileReport | Failure]] = []
        for future in ours:
            places = self._flying.pop(future.key)[0].places
            outcome = results.get(future.key)
            if outcome is None:
                news += [(place, failure_of(future)) for place in places]
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

    def _exclude(self, address: str, reason: str, place: Place) -> None:
        """Gives a worker no more tiles, and its tile to another; that one is not to blame."""
        self._unfit[address] = reason
        self._threads.pop(address, None)
        if not self._threads:
            raise ClusterError(f"no worker can do this run: {'; '.join(list(self._unfit.values())[:5])}; {CONTINUES}")
        self._retries.blameless(place)

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
                f"the scheduler {self._client.scheduler.address} had no workers for {self._patience:g} s; {CONTINUES}"
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
            raise ClusterError(f"lost the scheduler {address}; {CONTINUES}")
