"""One run per output: the locks of all that it writes, which a killed run does not leave shut."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from geoseg.errors import OutputLockedError
from geoseg.raster.local_folder import LocalFolder
from geoseg.raster.locations import Location
from geoseg.raster.lock import RENEW_SECONDS, Lock
from geoseg.raster.lock_holder import Holder

__all__ = ["Locks", "hold", "holder_of", "refuse_held"]


class Locks(list[Lock]):
    """The locks of one run."""

    @property
    def were_left(self) -> bool:
        """True if a run that was killed left one of them."""
        return any(lock.was_left for lock in self)

    def note(self, run: Mapping[str, Any]) -> None:
        """Writes into the locks what the run goes by; see ``Holder.run``.

        Raises:
            OutputError: if a lock cannot be written.
        """
        for lock in self:
            lock.note(run)

    def check(self) -> None:
        """Before anything is replaced.

        Raises:
            OutputLockedError: if another run took one of them.
        """
        for lock in self:
            lock.check()


@contextmanager
def hold(places: Sequence[Location]) -> Iterator[Locks]:
    """Holds the locks of several places while the block runs.

    Raises:
        OutputLockedError: if another process holds one of them.
        OutputError: if a lock cannot be put beside a place: the first thing a run writes.
    """
    held = Locks()
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(held, ended), name="geoseg-locks", daemon=True)
    try:
        for place in places:
            lock = Lock(place)
            lock.acquire()
            held.append(lock)
        renewing.start()
        yield held
    finally:
        ended.set()
        if renewing.is_alive():
            renewing.join()
        for lock in reversed(held):
            lock.release()


def holder_of(place: Location) -> Holder | None:
    """Who holds the lock of a place, or left it there; None if there is no lock. Changes nothing."""
    home, name = place.guard()
    with place.errors():
        found = Holder.parse(home.read(name))
    if found is not None and isinstance(home, LocalFolder):
        with suppress(FileNotFoundError):
            return replace(found, renewed=max(found.renewed, (home.path / name).stat().st_mtime))
    return found


def refuse_held(place: Location) -> None:
    """Stops before any work for a place that another process holds.

    Raises:
        OutputLockedError: naming the process.
    """
    other = holder_of(place)
    if other is not None and not other.is_gone:
        raise OutputLockedError(
            f"{place} is being written by {other.describe()}; wait for it, or stop it and run this again"
        )


def _renew(held: Sequence[Lock], ended: threading.Event) -> None:
    while not ended.wait(RENEW_SECONDS):
        for lock in held:
            with suppress(OSError):  # a network that is away for a while: the next time, or the run's own error
                lock.renew()
