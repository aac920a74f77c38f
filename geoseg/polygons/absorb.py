"""Small regions go to a neighbour, so that no holes appear.

The rule, on the graph of regions: as long as a region is smaller than asked for and has a neighbour, the smallest of
them (of equal ones that whose first pixel comes first, row by row) becomes part of the neighbour with which it has the
longest border; of equal ones the larger; of those that whose first pixel comes first. It takes that one's class; where
that makes regions of one class touch along an edge, they are one from then on. Nothing in it depends on tiles. A
region that only nodata surrounds stays.
"""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

from geoseg.polygons.ragged import Ints
from geoseg.polygons.survey import Graph


def absorb(
    graph: Graph, *, areas: npt.NDArray[np.float64], least: float, step: tuple[float, float]
) -> npt.NDArray[np.uint8]:
    """The class (n) that each region has in the end.

    Args:
        graph: of n regions.
        areas: of the regions (n).
        least: regions of less are absorbed.
        step: (across, down): lengths of a pixel's sides along rows and along columns, in which borders are measured.
    """
    state = _State(graph, areas, step)
    heap = [(float(areas[i]), int(i)) for i in np.flatnonzero(areas < least)]
    heapq.heapify(heap)
    while heap:
        area, region = heapq.heappop(heap)
        if not state.stands(region) or state.area[region] != area or not state.borders[region]:
            continue
        into = state.neighbour(region)
        for merged in (region, *state.alike(region, into)):
            into = state.merge(merged, into)
        if state.area[into] < least:
            heapq.heappush(heap, (state.area[into], into))
    return state.classes()


class _State:
    """The graph while regions are merged; a region goes by the smallest number of its parts: its first pixel's."""

    def __init__(self, graph: Graph, areas: npt.NDArray[np.float64], step: tuple[float, float]) -> None:
        self.area: list[float] = areas.tolist()
        self._class: list[int] = graph.classes.tolist()
        self._into = list(range(len(self.area)))
        self.borders: list[dict[int, float]] = [{} for _ in self.area]
        lengths = graph.borders[:, 2] * step[0] + graph.borders[:, 3] * step[1]
        for one, other, length in zip(*graph.borders[:, :2].T.tolist(), lengths.tolist(), strict=True):
            self.borders[one][other] = self.borders[other][one] = length

    def stands(self, region: int) -> bool:
        """True if a region is part of no other."""
        return self._into[region] == region

    def neighbour(self, region: int) -> int:
        """The one that takes a region."""
        return min(self.borders[region].items(), key=lambda item: (-item[1], -self.area[item[0]], item[0]))[0]

    def alike(self, region: int, into: int) -> list[int]:
        """Other neighbours of a region of the class it is about to have, by their first pixels."""
        wanted = self._class[into]
        return sorted(n for n in self.borders[region] if n != into and self._class[n] == wanted)

    def merge(self, region: int, into: int) -> int:
        """Makes a region part of another; returns what that is called then."""
        kept, gone = min(region, into), max(region, into)
        self._class[kept] = self._class[into]
        self.area[kept] += self.area[gone]
        self._into[gone] = kept
        for other, length in sorted(self.borders[gone].items()):
            del self.borders[other][gone]
            if other != kept:
                total = self.borders[kept].get(other, 0.0) + length
                self.borders[kept][other] = self.borders[other][kept] = total
        self.borders[gone] = {}
        return kept

    def classes(self) -> npt.NDArray[np.uint8]:
        """The class of each region as part of what it is part of."""
        into = np.array(self._into, np.int64)
        while not np.array_equal(above := into[into], into):
            into = above
        return np.array(self._class, np.uint8)[into]


def first_pixels(graph: Graph, width: int) -> tuple[Ints, Ints]:
    """Rows and columns of the regions' first pixels, in a scene ``width`` pixels wide."""
    row, col = np.divmod(graph.first, width)
    return row, col
