"""Work done ahead on other threads, its results taken in order; what waits is bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def in_order(pool: Executor, work: Callable[[A], B], items: Iterable[A], *, ahead: int) -> Iterator[B]:
    """``work`` of each item, in their order, with at most ``ahead`` of them in work or waiting.

    When the caller stops, or an item fails, what is not begun yet is not begun any more, and what is in work is waited
    for: what it uses may be taken away afterwards.

    Args:
        pool: whose threads work.
        work: called with each item.
        items: taken one by one, on the caller's thread, as there is room.
        ahead: at least 1; one more than ``pool`` has threads keeps them all busy while the caller uses a result.
    """
    waiting: deque[Future[B]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        wait([future for future in waiting if not future.cancel()])
