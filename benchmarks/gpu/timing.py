"""Seconds on a device: CUDA events where there is a GPU, the clock elsewhere; and how long a device was busy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable

import torch

LEAST_SECONDS = 0.3
"""How long the calls of one figure take together, unless there are twenty times the usual number of them."""


def seconds(run: Callable[[], object], *, device: torch.device) -> float:
    """Median seconds of a call, warm.

    On a GPU between two events of its stream, so what the host does meanwhile does not count.

    Args:
        run: one call; on a GPU it may return before its work is done.
        device: where it runs.
    """
    warm, calls = (3, 10) if device.type == "cuda" else (1, 3)
    for _ in range(warm):
        run()
    synchronise(device)
    found: list[float] = []
    while len(found) < calls or (sum(found) < LEAST_SECONDS and len(found) < 20 * calls):
        found.append(_once(run, device=device))
    return statistics.median(found)


def _once(run: Callable[[], object], *, device: torch.device) -> float:
    if device.type != "cuda":
        started = time.perf_counter()
        run()
        return time.perf_counter() - started
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    run()
    last.record()
    last.synchronize()
    return float(first.elapsed_time(last)) / 1e3


def synchronise(device: torch.device) -> None:
    """Waits for a GPU's work; does nothing elsewhere."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def busy(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of (start, end) spans, in their unit: work that overlaps counts once."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
