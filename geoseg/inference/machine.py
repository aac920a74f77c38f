"""What this machine has: cores, memory, and how fast it multiplies."""

from __future__ import annotations

import os
import resource
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np


def core_count() -> int:
    """Cores this process may use (affinity and cgroups' CPU sets counted)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Memory this process may use: the machine's, or its cgroup's limit if that is less."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            found = min(found, int(text))
    return found


def peak_rss_bytes() -> int:
    """Largest resident memory this process or any child it has waited for ever had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


@cache
def macs_per_second() -> float:
    """Multiply-adds per second of a float32 matrix product on all cores, measured once (some 30 ms)."""
    side = 768
    left = np.ones((side, side), np.float32)
    best = float("inf")
    left @ left
    for _ in range(5):
        start = time.perf_counter()
        left @ left
        best = min(best, time.perf_counter() - start)
    return side**3 / best
