"""The threads on which a tile's batches go through a network that serves several callers at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from geoseg.ahead import in_order

A = TypeVar("A")
B = TypeVar("B")


class Lanes:
    """So many threads, shared by all tiles of a process: they are the device's lock.

    Args:
        count: of batches in the network at once.
        name: of the device, for the threads' names.
    """

    def __init__(self, count: int, *, name: str) -> None:
        self._count = count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=f"geoseg-{name}")

    def run(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        """What work made of each item, in order; no lane waits for whoever takes the results."""
        return in_order(self._pool, work, items, ahead=self._count + 1)
