"""How fast a predictor runs here, and what memory it takes, by patch size and batch."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geoseg.errors import PlanError
from geoseg.models.probing.result import ProbedSpeed

_ROUNDS = 3
_BUSY = 0.9  # of all cores' time that a pass takes on a free machine: not all of it can be shared out

Run = Callable[[npt.NDArray[np.generic], npt.NDArray[np.bool_]], object]
"""A forward pass of (N, C, s, s) stored pixels and (N, s, s) validity; returns when it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A batch to be timed."""

    size: int
    """Side of the patches, pixels."""
    batch: int
    pixels: npt.NDArray[np.generic]
    """(C, s, s) to fill the batch with."""

    @property
    def inputs(self) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
        """(N, C, s, s) pixels and (N, s, s) validity."""
        return np.repeat(self.pixels[None], self.batch, axis=0), np.ones((self.batch, self.size, self.size), np.bool_)


def probe_speeds(
    run: Run,
    jobs: Sequence[Job],
    *,
    device: str,
    cores: int | None = None,
    callers: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[ProbedSpeed, ...]:
    """Times batches: each is run once to warm up and watch its memory, then in rounds, so that moods hit all alike.

    Of each, the pass counts that would have been the quickest on a free machine.

    Args:
        run: a forward pass.
        jobs: what to run.
        device: ``cpu`` or a CUDA device.
        cores: that a pass keeps busy on a free machine: the processor time that it got tells what other work left of
            them. None: nothing is to be told from that.
        callers: that ``run`` serves at once, as it will in a run: a pass is one batch of each, and what it takes is
            shared out among them.
        progress: told what is being done, and which batches are left out because they cannot be run.

    Raises:
        PlanError: if none can be run.
    """
    memory: dict[int, int | None] = {}
    refused: PlanError | None = None
    for k, job in enumerate(jobs):
        progress(f"memory, {job.batch} x {job.size} px")
        try:
            memory[k] = _warm(run, job, device=device, callers=callers)
        except PlanError as error:
            refused = error
            progress(f"left out: {error}")
    if not memory and refused is not None:
        raise refused
    passes: dict[int, list[tuple[float, float]]] = {k: [] for k in memory}
    for number in range(1, _ROUNDS + 1):
        progress(f"speed, round {number} of {_ROUNDS}")
        for k, found in passes.items():
            inputs = jobs[k].inputs
            spent, started = time.process_time(), time.perf_counter()
            _pass(run, inputs, callers=callers)
            seconds, spent = time.perf_counter() - started, time.process_time() - spent
            share = 1.0 if cores is None else min(1.0, spent / (seconds * cores * _BUSY))
            found.append((seconds / callers, share))
    return tuple(_speed(jobs[k], found, taken=memory[k]) for k, found in passes.items())


def _warm(run: Run, job: Job, *, device: str, callers: int) -> int | None:
    """Bytes that a batch takes; None where they fitted into what the process held, or cannot be told."""
    inputs = job.inputs
    with peak_memory(device) as peak:
        _pass(run, inputs, callers=callers)
    taken = peak()
    return None if taken is None or taken < 4 * inputs[0].size * callers else taken // callers


def _pass(run: Run, inputs: tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]], *, callers: int) -> None:
    """One batch of each caller, at once."""
    if callers == 1:  # PyTorch's threads are this thread's own
        run(*inputs)
        return
    with ThreadPoolExecutor(callers, "geoseg-probe") as pool:
        for done in [pool.submit(run, *inputs) for _ in range(callers)]:
            done.result()


def _speed(job: Job, passes: list[tuple[float, float]], *, taken: int | None) -> ProbedSpeed:
    seconds, left = min(passes, key=lambda p: p[0] * p[1])
    return ProbedSpeed(size=job.size, batch=job.batch, seconds=round(seconds, 6), bytes=taken, share=round(left, 4))


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
