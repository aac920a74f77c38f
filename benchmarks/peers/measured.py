"""A process measured from outside: wall and processor seconds, and the memory of it and all its children."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

PAUSE = 0.1
"""Seconds between two looks at the memory of all processes together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One process that ended."""

    seconds: float
    """Wall time, start-up included."""
    cpu_seconds: float
    """Processor time, user and system, of it and of the children it waited for."""
    peak_bytes: int
    """The larger of the kernel's own maximum for one of them, and the largest sum over all that was seen."""
    error: str | None
    """The last line it said, if it failed or took too long; else None."""


def measure(command: Sequence[str | Path], *, env: Mapping[str, str], log: Path, timeout: float = 1800.0) -> Measured:
    """Runs a command to its end.

    Args:
        command: program and arguments.
        env: its environment, whole.
        log: file that takes what it prints.
        timeout: seconds after which it and its children are killed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], stdout=stream, stderr=subprocess.STDOUT, env=dict(env)
        )
        watch = _Watch(process.pid, timeout=timeout)
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.ended.set()
        watch.join()
    error = f"stopped after {timeout:.0f} s" if watch.late else None
    if error is None and process.returncode:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        error = lines[-1] if lines else f"ended with {process.returncode}"
    return Measured(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=watch.peak,
        error=error,
    )


class _Watch(threading.Thread):
    """Adds up the resident memory of a process and its children until it ends, and ends it if it is late."""

    def __init__(self, pid: int, *, timeout: float) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.peak = 0
        self.late = False
        self._pid = pid
        self._deadline = time.monotonic() + timeout

    def run(self) -> None:
        while not self.ended.wait(PAUSE):
            try:
                root = psutil.Process(self._pid)
                family = [root, *root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self.peak = max(self.peak, sum(_resident(member) for member in family), *map(_highest, family))
            if time.monotonic() > self._deadline and not self.late:
                self.late = True
                for member in reversed(family):
                    member.kill()


def _highest(process: psutil.Process) -> int:
    """The kernel's own maximum since the program began.

    What ``wait4`` tells of a child is no less than what its parent held when it was started, so it is not used.
    """
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
