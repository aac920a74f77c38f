"""The lock of one place, held by one process.

On a local disk the kernel holds it (``flock``) and lets it go when the process dies, however it dies. Where there are
no such locks (object stores, some shared disks) it is a file that is made exclusively and says who holds it; its holder
renews it every half minute. It counts as left behind when its process is gone from this machine, or, on another
machine, when it was not renewed for five minutes.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from geoseg.errors import OutputLockedError
from geoseg.raster.local_folder import LocalFolder
from geoseg.raster.locations import Location
from geoseg.raster.lock_holder import Holder, machine_name

_log = logging.getLogger(__name__)

RENEW_SECONDS = 30.0
"""A held lock is renewed this often."""

_SETTLE_SECONDS = 1.0
"""Pause after an old lock was taken over, in which another that did the same would show."""

_DYING_SECONDS = 5.0
"""How long the kernel may take to close the files of a process that was killed: its threads end one by one."""

_NO_KERNEL_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class Lock:
    """A lock that may be taken, and then is held or lost."""

    def __init__(self, place: Location) -> None:
        self._place = place
        self._home, self._name = place.guard()
        self._mine = Holder.here()
        self._kernel: int | None = None
        self.was_left = False
        """True if the lock was there, left behind by a run that was killed."""
        self._lost = False
        self._renewed = time.time()
        self._writing = threading.Lock()

    def acquire(self) -> None:
        """Takes the lock.

        Raises:
            OutputLockedError: if another process holds it.
            OutputError: if no lock can be put there.
        """
        with self._place.errors():
            if isinstance(self._home, LocalFolder) and self._acquire_from_kernel(self._home.path / self._name):
                return
            self._acquire_by_name()

    def renew(self) -> None:
        """Says that this process is still there."""
        self._renewed = time.time()
        if self._kernel is not None:
            os.utime(self._kernel)
            return
        with self._place.errors(), self._writing:
            self._lost = self._lost or not self._is_mine()
            if not self._lost:
                self._home.write(self._name, replace(self._mine, renewed=time.time()).to_bytes())

    def note(self, run: Mapping[str, Any]) -> None:
        """Writes into the lock what the run goes by; see ``Holder.run``.

        Raises:
            OutputError: if it cannot be written.
        """
        self._mine = replace(self._mine, run=dict(run))
        if self._kernel is None:
            self.renew()
            return
        with self._place.errors():
            self._write(self._kernel)

    def _write(self, handle: int) -> None:
        """Into the file that the kernel holds; killed in between, it is never empty: a lock that was left."""
        data = self._mine.to_bytes()
        os.pwrite(handle, data, 0)
        os.truncate(handle, len(data))

    def check(self) -> None:
        """Before anything is replaced, and now and then: cheap, unless this process slept.

        Raises:
            OutputLockedError: if another run took the lock, as this one was not heard of for minutes.
        """
        if abs(time.time() - self._renewed) > 2 * RENEW_SECONDS:  # not by the thread: the machine was asleep
            with suppress(OSError):
                self.renew()
        if self._lost:
            raise OutputLockedError(f"another run has taken over {self._place} meanwhile; leave it to that one")

    def release(self) -> None:
        """Gives the lock back. If that fails, it is one that was left behind: no error of the run's."""
        try:
            if self._kernel is not None:
                (self._local / self._name).unlink(missing_ok=True)
            elif self._is_mine():
                self._home.delete([self._name])
        except OSError as error:
            _log.warning("the lock of %s stays behind: %s", self._place, error)
        finally:
            if self._kernel is not None:
                os.close(self._kernel)  # after the file is gone: nobody may lock it in between and think it is there

    def _is_mine(self) -> bool:
        found = Holder.parse(self._home.read(self._name))
        return found is not None and found.token == self._mine.token

    @property
    def _local(self) -> Path:
        assert isinstance(self._home, LocalFolder)
        return self._home.path

    def _acquire_from_kernel(self, path: Path) -> bool:
        """By ``flock``; False where there is none."""
        try:
            import fcntl
        except ImportError:  # Windows
            return False
        patience = time.monotonic() + _DYING_SECONDS
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            other = _read(handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                if other is not None and other.is_gone and time.monotonic() < patience:
                    time.sleep(0.02)
                    continue
                raise self._refusal(other) from None
            except OSError as error:
                os.close(handle)
                if error.errno in _NO_KERNEL_LOCKS:
                    return False
                raise
            if other is not None and other.machine != machine_name() and not other.is_gone:
                os.close(handle)  # a disk shared with a machine whose kernel locks are its own
                raise self._refusal(other)
            if _is_same(handle, path):
                break
            os.close(handle)  # its holder deleted it meanwhile
        self.was_left = os.fstat(handle).st_size > 0
        self._take_over(other)
        try:
            self._write(handle)
        except OSError:  # a full disk
            os.close(handle)
            raise
        self._kernel = handle
        return True

    def _acquire_by_name(self) -> None:
        """By a file that is made exclusively, as far as the file system can."""
        for _ in range(5):
            if self._home.create(self._name, self._mine.to_bytes()):
                if self.was_left:
                    time.sleep(_SETTLE_SECONDS)
                if self._is_mine():
                    return
            found = Holder.parse(self._home.read(self._name))
            if found is not None and not found.is_gone:
                raise self._refusal(found)
            self.was_left = True
            self._take_over(found)
            self._home.delete([self._name])
        raise self._refusal(None)

    def _take_over(self, other: Holder | None) -> None:
        """Of a lock that was left, what its run went by stays: a run that ends at once has changed nothing of it."""
        if other is not None:
            self._mine = replace(self._mine, run=other.run)

    def _refusal(self, other: Holder | None) -> OutputLockedError:
        who = "another run" if other is None else f"{other.describe()}"
        return OutputLockedError(f"{self._place} is being written by {who}; wait for it, or stop it and run this again")


def _is_same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _read(handle: int) -> Holder | None:
    """The holder that a lock file names; renewed when the file was touched."""
    state = os.fstat(handle)
    found = Holder.parse(os.pread(handle, state.st_size, 0))
    return None if found is None else replace(found, renewed=state.st_mtime)
