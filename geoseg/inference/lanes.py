"""Where the patches of one tile go through a network that serves several callers at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import TypeVar

from geoseg.ahead import in_order

A = TypeVar("A")
B = TypeVar("B")


class Lanes:
    """One tile's use of a device's threads.

    Args:
        pool: the device's; other tiles use it too.
        count: of its threads.
    """

    def __init__(self, pool: Executor, count: int) -> None:
        self._pool, self._count = pool, count
        self._spent: list[float] = []

    @property
    def seconds(self) -> float:
        """What the device was busy with this tile: a lane is that much of it."""
        return sum(self._spent) / self._count

    def run(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        """What work made of each item, in order; no lane waits for whoever takes the results."""

        def timed(item: A) -> B:
            begun = time.perf_counter()
            try:
                return work(item)
            finally:
                self._spent.append(time.perf_counter() - begun)

        return in_order(self._pool, timed, items, ahead=self._count + 1)
