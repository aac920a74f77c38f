"""Whose turn it is: slots for the tiles of a process, and a device that serves one run at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TICK = 0.5
"""Seconds after which who waits asks whether the run was stopped."""


@contextmanager
def taken(slots: threading.Semaphore, check_stop: Callable[[], None]) -> Iterator[None]:
    """One of the slots; waits until there is one, or until ``check_stop`` raises."""
    while not slots.acquire(timeout=_TICK):
        check_stop()
    try:
        yield
    finally:
        slots.release()


class Turnstile:
    """Lets tiles at a device in the order in which they came: several of one run, never those of two.

    So one network at a time is in memory, which is what a plan counts, and no run waits for another to end.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._run = ""
        self._inside = 0

    @contextmanager
    def pass_through(self, run: str, *, most: int, check_stop: Callable[[], None]) -> Iterator[None]:
        """Waits for its turn, or until ``check_stop`` raises.

        Args:
            run: whose tile it is.
            most: tiles of that run that may be inside at once.
            check_stop: asked while waiting.
        """
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                while self._waiting[0] is not ticket or not self._open_to(run, most):
                    if not self._changed.wait(_TICK):
                        check_stop()
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
            self._run = run
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def _open_to(self, run: str, most: int) -> bool:
        return self._inside == 0 or (self._run == run and self._inside < most)
