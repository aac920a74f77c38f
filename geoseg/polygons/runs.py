"""Regions of a tile: pixels of one class that touch along an edge, found through runs of pixels in rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.legend import IGNORE

Ids = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runs:
    """A tile as runs of equal pixels in its rows, and the regions (4-connected) that they form."""

    shape: tuple[int, int]
    """(height, width) of the tile."""
    run: npt.NDArray[np.int32]
    """(height, width): number of the run that a pixel is in, row by row."""
    starts: Ints
    """First pixel of each run, counted row by row; ascending."""
    region: Ints
    """Region of each run, -1 where there is no class."""
    count: int
    """Number of regions; they are numbered by their first pixels."""

    @property
    def lengths(self) -> Ints:
        """Pixels of each run."""
        return np.diff(self.starts, append=self.shape[0] * self.shape[1])

    @property
    def first(self) -> Ints:
        """First pixel of each region, counted row by row."""
        there = np.flatnonzero(self.region >= 0)
        _, index = np.unique(self.region[there], return_index=True)
        return np.asarray(self.starts[there[index]])

    def at(self, pixels: npt.NDArray[np.integer]) -> Ints:
        """Regions of pixels that are counted row by row; -1 where there is no class."""
        return np.asarray(self.region[self.run.ravel()[pixels]])

    def sums(self, of_runs: npt.NDArray[np.generic]) -> Ints:
        """Sums over regions of whole numbers that belong to runs."""
        there = self.region >= 0
        return np.bincount(self.region[there], weights=of_runs[there], minlength=self.count).astype(np.int64)

    def totals(self, values: npt.NDArray[np.integer]) -> Ints:
        """Sums over regions of values (height, width) of pixels."""
        if not self.starts.size:
            return np.zeros(0, np.int64)
        return self.sums(np.add.reduceat(values.ravel(), self.starts, dtype=np.int64))

    def sides(self) -> dict[str, Ints]:
        """Regions of the pixels along ``top``, ``bottom``, ``left`` and ``right``."""
        run = self.run
        rims = {"top": run[0], "bottom": run[-1], "left": run[:, 0], "right": run[:, -1]}
        return {side: self.region[rim] for side, rim in rims.items()}


def find_runs(classes: Ids) -> Runs:
    """Runs and regions of class ids (height, width), neither 0; 255 is in no region."""
    height, width = classes.shape
    begins = np.ones((height, width), np.bool_)
    np.not_equal(classes[:, 1:], classes[:, :-1], out=begins[:, 1:])
    run = np.cumsum(begins.ravel(), dtype=np.int32).reshape(height, width) - np.int32(1)
    starts = np.flatnonzero(begins)
    of_run = classes.ravel()[starts]
    # one look per pair of runs that lie above each other: where either of the two begins
    meets = (begins[1:] | begins[:-1]) & (classes[1:] == classes[:-1]) & (classes[1:] != IGNORE)
    pairs = np.flatnonzero(meets)
    root = components(len(starts), run[:-1].ravel()[pairs], run[1:].ravel()[pairs])
    named = (root == np.arange(len(root))) & (of_run != IGNORE)
    number = np.cumsum(named) - 1
    region = np.where(of_run == IGNORE, -1, number[root])
    return Runs(shape=(height, width), run=run, starts=starts, region=region, count=int(named.sum()))


def components(count: int, one: npt.NDArray[np.integer], other: npt.NDArray[np.integer]) -> Ints:
    """The smallest member of each item's component, in the graph of ``count`` items with edges (one, other)."""
    parent = np.arange(count)
    one, other = np.asarray(one, np.int64), np.asarray(other, np.int64)
    while True:
        left, right = parent[one], parent[other]
        apart = left != right
        if not apart.any():
            return parent
        one, other, left, right = one[apart], other[apart], left[apart], right[apart]
        np.minimum.at(parent, np.maximum(left, right), np.minimum(left, right))
        while True:
            above = parent[parent]
            if np.array_equal(above, parent):
                break
            parent = above
