"""Comparing two class maps window by window, in bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from geoseg.evaluation.confusion import Confusion, Counts, Ids, pair_counts
from geoseg.evaluation.metrics import summarise
from geoseg.geometry.windows import Window, split
from geoseg.legend import Legend

ReadWindow = Callable[[Window], Ids]
"""Class ids (height, width), uint8, of a window; 255 where there is no class. Called from several threads."""


def evaluate_windows(
    read_prediction: ReadWindow,
    read_truth: ReadWindow,
    shape: tuple[int, int],
    *,
    legend: Legend,
    window: int = 2048,
    threads: int = 2,
) -> dict[str, Any]:
    """Scores of a prediction against a reference on the same grid, as ``metrics.summarise`` gives them.

    Args:
        read_prediction: reads the predicted classes of a window.
        read_truth: reads the reference of a window.
        shape: (height, width) of the grid.
        legend: the classes.
        window: side of the windows, pixels; each thread holds one window of both maps.
        threads: how many windows are read at once.

    Raises:
        LegendError: if a scored pixel holds a value that the legend does not name.
    """
    pairs = count_windows(read_prediction, read_truth, shape, window=window, threads=threads)
    return summarise(Counts.from_pairs(pairs, ids=legend.ids), legend)


def count_windows(
    read_prediction: ReadWindow,
    read_truth: ReadWindow,
    shape: tuple[int, int],
    *,
    window: int = 2048,
    threads: int = 2,
) -> Confusion:
    """The summed ``pair_counts`` of all windows: (256, 256) int64. Arguments as ``evaluate_windows``."""
    source = _Shared(split(shape, size=(window, window)))

    def work() -> Confusion:
        table = np.zeros((256, 256), np.int64)
        for part in source:
            table += pair_counts(read_truth(part), read_prediction(part))
        return table

    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="evaluate") as pool:
        try:
            futures = [pool.submit(work) for _ in range(threads)]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            source.stop()  # a failure or Ctrl-C must not wait for the windows that are left
        return np.asarray(sum(future.result() for future in futures), np.int64)


class _Shared:
    """Windows that several threads take from, each once, in order."""

    def __init__(self, windows: Iterator[Window]) -> None:
        self._windows = windows
        self._lock = threading.Lock()
        self._stopped = False

    def __iter__(self) -> Iterator[Window]:
        while True:
            with self._lock:
                window = None if self._stopped else next(self._windows, None)
            if window is None:
                return
            yield window

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
