"""Lists of unequal length in flat arrays: item i is ``values[offsets[i]:offsets[i + 1]]``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def offsets_of(lengths: npt.NDArray[np.integer]) -> Ints:
    """Offsets (n + 1) of items of those lengths (n)."""
    found = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=found[1:])
    return found


def take(offsets: Ints, items: npt.NDArray[np.integer]) -> tuple[Ints, Ints]:
    """Which values the chosen ``items`` hold, in their order, and the offsets of the choice."""
    starts = offsets[items]
    chosen = offsets_of(offsets[np.asarray(items) + 1] - starts)
    return np.arange(chosen[-1]) + np.repeat(starts - chosen[:-1], np.diff(chosen)), chosen


def concatenate(parts: list[Ints]) -> Ints:
    """Offsets of several flat arrays that are put one behind the other."""
    return offsets_of(np.concatenate([np.diff(part) for part in parts]) if parts else np.zeros(0, np.int64))


def sums(values: npt.NDArray[np.generic], offsets: Ints) -> npt.NDArray[np.float64]:
    """The sum of each item's values; 0 for an empty one."""
    totals = np.concatenate([[0], np.cumsum(values)])
    return np.asarray(totals[offsets[1:]] - totals[offsets[:-1]])
