"""Tiles that came home undone: when they are sent again, and when that has been often enough."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from geoseg.errors import ClusterError

CONTINUES = "finished tiles are kept, the same command again continues"
"""The way out of every end of a run on a cluster."""

Place = tuple[int, int]
"""(row, column) of a tile."""


@dataclass(slots=True, kw_only=True)
class Retries:
    """How often tiles came home undone; only those that did are remembered."""

    limit: int
    counts: dict[Place, int] = field(default_factory=dict)
    later: list[tuple[float, Place]] = field(default_factory=list)
    """Heap of (when, tile)."""

    def again(self, place: Place, *, why: str, wait: bool) -> None:
        """Puts a tile back.

        Raises:
            ClusterError: if it came home too often.
        """
        losses = self.counts[place] = self.counts.get(place, 0) + 1
        if losses > self.limit:
            raise ClusterError(
                f"tile {place[0]}.{place[1]} failed {losses} times, last: {why}; {CONTINUES} (--retries allows more)"
            )
        heapq.heappush(self.later, (time.monotonic() + (2.0 ** (losses - 1) if wait else 0.0), place))

    def blameless(self, place: Place) -> None:
        """Puts a tile back that came home by no fault of its own."""
        heapq.heappush(self.later, (0.0, place))

    def due(self) -> Iterator[Place]:
        """The tiles whose time has come."""
        while self.later and self.later[0][0] <= time.monotonic():
            yield heapq.heappop(self.later)[1]
