"""Comparing two class maps window by window, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.evaluation.boundaries import BoundaryCounts, count_boundaries, halo_of, no_boundaries
from geoseg.evaluation.confidence import ReliabilityCounts, count_reliability, no_reliability
from geoseg.evaluation.confusion import Confusion, Counts, Ids, pair_counts
from geoseg.evaluation.discs import near_another, reach
from geoseg.evaluation.metrics import summarise
from geoseg.geometry.windows import SharedWindows, Window, split
from geoseg.legend import IGNORE, Legend

ReadWindow = Callable[[Window], Ids]
"""Class ids (height, width), uint8, of a window; 255 where there is no class. Called from several threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is counted beside the pairs of classes."""

    erode: float = 0.0
    """Pixels within this distance of a boundary of the reference are not scored (pixels; 0: all are).

    The rule of the ISPRS benchmarks, whose references are eroded by a disc of 3 pixels: what lies between two objects
    is nobody's fault."""
    boundary: float = 0.0
    """Tolerance of the boundaries' scores (pixels, >= 1; 0: none)."""
    block: int = 0
    """Side of the blocks that are counted each for itself (pixels; 0: none)."""

    @property
    def halo(self) -> int:
        """Pixels around a window that are looked at."""
        return max(reach(self.erode), halo_of(self.boundary) if self.boundary else 0)


@dataclass(slots=True, kw_only=True, eq=False)
class Comparison:
    """What was counted; of parts of a map they add up."""

    pairs: Confusion = field(default_factory=lambda: np.zeros((256, 256), np.int64))
    """As ``pair_counts`` gives them; eroded pixels count as 255 in the reference."""
    eroded: int = 0
    """Labelled pixels that are not scored for their nearness to a boundary."""
    boundaries: BoundaryCounts = field(default_factory=no_boundaries)
    reliability: ReliabilityCounts = field(default_factory=no_reliability)
    """As ``count_reliability`` gives them, where confidence was read."""
    blocks: dict[tuple[int, int], tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = field(default_factory=dict)
    """(row, column) of a block -> the pairs that occur (row * 256 + column of ``pairs``), and how often."""

    def merge(self, other: Comparison) -> None:
        """Adds the counts of another part; no block may be in both."""
        self.pairs += other.pairs
        self.eroded += other.eroded
        self.boundaries += other.boundaries
        self.reliability += other.reliability
        self.blocks |= other.blocks

    def pairs_of(self, block: tuple[int, int]) -> Confusion:
        """The pairs of a block: (256, 256) int64."""
        table = np.zeros(256 * 256, np.int64)
        codes, counts = self.blocks[block]
        table[codes] = counts
        return table.reshape(256, 256)


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
    return compare_windows(read_prediction, read_truth, shape, rules=Rules(), window=window, threads=threads).pairs


def compare_windows(
    read_prediction: ReadWindow,
    read_truth: ReadWindow,
    shape: tuple[int, int],
    *,
    rules: Rules,
    read_confidence: ReadWindow | None = None,
    window: int = 2048,
    threads: int = 2,
) -> Comparison:
    """Counts whatever the rules ask for; windows and threads change no count.

    Args:
        read_prediction: reads the predicted classes of a window.
        read_truth: reads the reference of a window.
        shape: (height, width) of the grid.
        rules: what is counted. Blocks larger than a window are read whole.
        read_confidence: reads the confidence of a window in percent, 255 = none; None: reliability is not counted.
        window: side of the windows, pixels.
        threads: how many windows are read at once.
    """
    side = max(window // rules.block, 1) * rules.block if rules.block else window
    source = SharedWindows(split(shape, size=(side, side)))

    def work() -> Comparison:
        found = Comparison()
        for part in source:
            truth, prediction = (_grown(read, part, shape, rules.halo) for read in (read_truth, read_prediction))
            percent = None if read_confidence is None else read_confidence(part)
            offset = part.row_off, part.col_off
            found.merge(compare(truth, prediction, rules=rules, percent=percent, offset=offset))
        return found

    total = Comparison()
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="evaluate") as pool:
        try:
            futures = [pool.submit(work) for _ in range(threads)]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            source.stop()  # a failure or Ctrl-C must not wait for the windows that are left
        for future in futures:
            total.merge(future.result())
    return total


def compare(
    truth: Ids, prediction: Ids, *, rules: Rules, percent: Ids | None = None, offset: tuple[int, int] = (0, 0)
) -> Comparison:
    """Counts a window.

    Args:
        truth: (h + 2 halo, w + 2 halo) uint8, halo as ``rules.halo``; 255 beyond the scene.
        prediction: alike.
        rules: what is counted.
        percent: (h, w) confidence, 255 = none; None: reliability is not counted.
        offset: row and column of the window in the map; whole blocks.
    """
    t, p = _cut(truth, rules.halo), _cut(prediction, rules.halo)
    found = Comparison()
    if rules.boundary:
        slack = rules.halo - halo_of(rules.boundary)
        found.boundaries = count_boundaries(_cut(truth, slack), _cut(prediction, slack), rules.boundary)
    if rules.erode:
        near = near_another(_cut(truth, rules.halo - reach(rules.erode)), rules.erode) & (t != IGNORE)
        found.eroded = int(np.count_nonzero(near))
        t = np.where(near, np.uint8(IGNORE), t)
    if percent is not None:
        found.reliability = count_reliability(t, p, percent)
    if not rules.block:
        found.pairs = pair_counts(t, p)
        return found
    for part in split((t.shape[0], t.shape[1]), size=(rules.block, rules.block)):
        where = part.within(Window.whole((t.shape[0], t.shape[1])))
        table = pair_counts(t[where], p[where])
        found.pairs += table
        codes = np.flatnonzero(table)
        block = (offset[0] + part.row_off) // rules.block, (offset[1] + part.col_off) // rules.block
        found.blocks[block] = codes, table.ravel()[codes]
    return found


def _cut(ids: Ids, rim: int) -> Ids:
    return ids[rim : ids.shape[0] - rim, rim : ids.shape[1] - rim]


def _grown(read: ReadWindow, part: Window, shape: tuple[int, int], halo: int) -> Ids:
    """A window and its halo; 255 beyond the map, whatever the reader would give there."""
    if not halo:
        return read(part)
    wanted = Window(
        row_off=part.row_off - halo,
        col_off=part.col_off - halo,
        height=part.height + 2 * halo,
        width=part.width + 2 * halo,
    )
    there = wanted.intersect(Window.whole(shape))
    out = np.full(wanted.shape, IGNORE, np.uint8)
    out[there.within(wanted)] = read(there)
    return out
