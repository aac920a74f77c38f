"""What the benchmarks share: children that are timed and weighed, tables, and the machine's description."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

GEOSEG = [sys.executable, "-c", "from geoseg.cli import main; main()"]
WORK = Path(__file__).resolve().parent.parent / "runs" / "benchmarks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One process that ended."""

    seconds: float
    """Wall time, start-up included."""
    peak_rss_bytes: int
    stdout: str
    cpu_seconds: float = 0.0
    """User and system time, of all threads; on a machine that others use too it says more than wall time."""


def run_child(command: Sequence[str]) -> Child:
    """Runs a command to its end; raises if it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    stdout = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Child(
        seconds=seconds,
        peak_rss_bytes=usage.ru_maxrss * 1024,
        stdout=stdout,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
    )


def synthetic_scene(side: int, *, seed: int = 1) -> Path:
    """A synthetic scene of side x side pixels, written once."""
    path = WORK / f"synth_{side}_{seed}.tif"
    if not path.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        run_child([*GEOSEG, "synth", str(path), "--size", f"{side}x{side}", "--seed", str(seed), "-q"])
    return path


def machine() -> str:
    """One line: date, processor, cores, memory, Python and torch."""
    import torch

    from geoseg.inference.machine import core_count, memory_bytes

    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    return (
        f"{dt.datetime.now(dt.UTC).date()}, {names[0] if names else platform.machine()},"
        f" {core_count()} cores, {memory_bytes() / 2**30:.0f} GiB, Python {platform.python_version()},"
        f" torch {torch.__version__}"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
