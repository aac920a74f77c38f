"""Runs that can be told to stop, and tiles that nobody waits for any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from geoseg.errors import StoppedError

_stops: dict[str, threading.Event] = {}
"""Runs of this process that can be told to stop."""


def start_run(name: str) -> None:
    """Makes run ``name`` one that can be stopped."""
    _stops[name] = threading.Event()


def request_stop(name: str) -> None:
    """Lets the tiles of run ``name`` in this process give up between two batches."""
    if name in _stops:
        _stops[name].set()


def end_run(name: str) -> None:
    """Forgets a run that ended. A stopped run stays known: a thread may still ask."""
    if name in _stops and not _stops[name].is_set():
        del _stops[name]


class _Unwanted(threading.local):
    """What a cluster says of the tile that this thread works on."""

    check: Callable[[], bool] | None = None


_unwanted = _Unwanted()


@contextmanager
def unless(unwanted: Callable[[], bool]) -> Iterator[None]:
    """Within, the tile of this thread gives up between two batches once ``unwanted()`` is True."""
    _unwanted.check = unwanted
    try:
        yield
    finally:
        _unwanted.check = None


def stop_check(run: str) -> Callable[[], None]:
    """What raises StoppedError once nobody wants the tile of this thread any more; callable on any thread."""
    unwanted = _unwanted.check

    def check() -> None:
        stop = _stops.get(run)
        if (stop is not None and stop.is_set()) or (unwanted is not None and unwanted()):
            raise StoppedError("stopped", signum=2)

    return check
