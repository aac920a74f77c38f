"""What this machine has: cores, memory, and how fast it multiplies."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
    for path in _memory_limits():
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            found = min(found, int(text))
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return found if soft == resource.RLIM_INFINITY else min(found, soft)


def _memory_limits() -> Iterator[Path]:
    """The files that may hold a limit: this process's cgroup and those above it (SLURM and systemd set lower ones)."""
    roots = {"": Path("/sys/fs/cgroup"), "memory": Path("/sys/fs/cgroup/memory")}
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in ["0::/", "0:memory:/", *lines]:
        _, controllers, place = line.split(":", 2)
        for name, root in roots.items():
            if name in controllers.split(","):
                folder = root / place.strip("/")
                for above in (folder, *folder.parents):
                    if above.is_relative_to(root):
                        yield above / ("memory.limit_in_bytes" if name else "memory.max")


def peak_rss_bytes() -> int:
    """Largest resident memory this process or any child it has waited for ever had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


@cache
def macs_per_second() -> float:
    """Multiply-adds per second of float32 matrix products on all cores, measured once in some 10 ms.

    The best of many products too small for BLAS to share out: on a busy machine its threads wait for each other, and
    a single figure came out sixteen times too low.
    """
    side, repeats = 64, 50
    left = np.ones((side, side), np.float32)
    product = np.empty_like(left)
    best = float("inf")
    for _ in range(40):
        start = time.perf_counter()
        for _ in range(repeats):
            np.matmul(left, left, out=product)
        best = min(best, (time.perf_counter() - start) / repeats)
    return core_count() * side**3 / best


def free_share(seconds: float = 0.1) -> float:
    """Share of this process's cores that other work leaves it at the moment, above 0, at most 1.

    Found by keeping every core busy for a moment and looking how much processor time that got.
    """
    cores = core_count()
    stack = np.ones((8, 64, 64), np.float32)
    until = time.perf_counter() + seconds

    def work() -> float:
        spent = time.thread_time()
        while time.perf_counter() < until:
            np.matmul(stack, stack)  # lets go of Python's lock
        return time.thread_time() - spent

    started = time.perf_counter()
    with ThreadPoolExecutor(cores) as pool:
        spent = sum(done.result() for done in [pool.submit(work) for _ in range(cores)])
    return float(min(1.0, max(0.01, spent / (cores * (time.perf_counter() - started)))))


def describe_machine(device: str = "cpu") -> str:
    """One line for tables of timings: processor and cores, and the GPU where ``device`` is one."""
    name = ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    text = f"{name or platform.machine()}, {core_count()} cores"
    if device == "cpu":
        return text
    import torch

    return f"{text}, {torch.cuda.get_device_name(device) if torch.cuda.is_available() else device}"
