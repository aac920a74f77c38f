"""How fast a predictor runs here, and what memory it takes, by patch size and batch."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geoseg.models.probing.result import ProbedSpeed

_ENOUGH_SECONDS = 4.0  # of repeats at one size and batch
_REPEATS = 5


def probe_speed(
    run: Callable[[npt.NDArray[np.generic], npt.NDArray[np.bool_]], object],
    pixels: npt.NDArray[np.generic],
    *,
    size: int,
    batch: int,
    device: str,
    share: Callable[[], float] = lambda: 1.0,
) -> ProbedSpeed:
    """The median of up to five passes after one that warms up and whose memory is watched.

    Args:
        run: a forward pass of (N, C, s, s) stored pixels and (N, s, s) validity; returns when it is done.
        pixels: (C, s, s) to fill the batch with.
        size: s.
        batch: N.
        device: ``cpu`` or a CUDA device.
        share: tells which share of the machine other work leaves at the moment.
    """
    stacked = np.repeat(pixels[None], batch, axis=0)
    valid = np.ones((batch, size, size), np.bool_)
    with peak_memory(device) as peak:
        run(stacked, valid)
    passes: list[tuple[float, float]] = []
    before = share()
    while len(passes) < _REPEATS and sum(seconds for seconds, _ in passes) < _ENOUGH_SECONDS:
        started = time.perf_counter()
        run(stacked, valid)
        seconds = time.perf_counter() - started
        after = share()
        passes.append((seconds, (before + after) / 2))
        before = after
    passes.sort(key=lambda p: p[0] * p[1])  # by what each would have taken on a free machine
    seconds, left = passes[len(passes) // 2]
    took = peak()
    if took is not None and took < 4 * stacked.size:
        took = None  # it fitted into what the process held from before
    return ProbedSpeed(
        size=size,
        batch=batch,
        seconds=round(seconds, 6),
        bytes=took,
        share=round(left, 4),
    )


@contextmanager
def peak_memory(device: str) -> Iterator[Callable[[], int | None]]:
    """Watches a block; what is given tells, afterwards, the most memory it took beyond what was held before.

    On a CPU resident memory is looked at every few milliseconds, so that whatever library takes it is seen; on CUDA
    the allocator tells.
    """
    if device != "cpu":
        import torch

        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield lambda: int(torch.cuda.max_memory_allocated(device)) - before
        return
    if not sys.platform.startswith("linux"):
        yield lambda: None
        return
    watch = _Watch()
    watch.start()
    try:
        yield lambda: watch.peak - watch.before
    finally:
        watch.end()


class _Watch(threading.Thread):
    """Looks at this process's resident memory again and again."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="geoseg-memory")
        self.before = self.peak = _resident_bytes()
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.003):
            self.peak = max(self.peak, _resident_bytes())

    def end(self) -> None:
        """Stops looking."""
        self._ended.set()
        self.join()


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
