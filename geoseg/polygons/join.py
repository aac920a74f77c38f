"""Joins the regions of tiles across their borders, tiles coming row by row."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from geoseg.polygons import ragged
from geoseg.polygons.ragged import Ints
from geoseg.polygons.regions import Facts, Regions, assemble
from geoseg.polygons.tile import OpenRegions, TracedTile
from geoseg.polygons.walk import walk_rings


class Joiner:
    """Holds the parts of regions that may still go on; gives out those that cannot.

    Args:
        width: of the scene, pixels.
    """

    def __init__(self, width: int) -> None:
        self._above = np.full(width, -1, np.int64)  # along the lower side of the tiles above: parts that go on
        self._below = np.full(width, -1, np.int64)
        self._right: Ints = np.zeros(0, np.int64)
        self._held: dict[int, OpenRegions] = {}  # by number of the tile
        self._numbers: dict[int, Ints] = {}  # the parts' numbers in the scene
        self._parent: dict[int, int] = {}
        self._members: dict[int, list[tuple[int, int]]] = {}  # root -> (tile, part)
        self._tiles = self._parts = 0

    def add(self, tile: TracedTile) -> None:
        """Takes the next tile."""
        base, key = self._parts, self._tiles
        count = len(tile.open.facts)
        self._parts, self._tiles = base + count, key + 1
        if count:
            self._held[key] = tile.open
            self._numbers[key] = np.arange(base, base + count)
        for part in range(count):
            self._parent[base + part] = base + part
            self._members[base + part] = [(key, base + part)]
        own = {side: np.where(found >= 0, found + base, -1) for side, found in tile.sides.items()}
        cols = slice(tile.window.col_off, tile.window.col_stop)
        self._meet(self._above[cols], own["top"])
        if tile.window.col_off:
            self._meet(self._right, own["left"])
        self._right = own["right"]
        self._below[cols] = own["bottom"]

    def end_row(self) -> Regions:
        """Ends a row of tiles: the regions that do not reach beyond it, in the order of their first pixels."""
        below = np.unique(self._below)
        alive = {self._root(int(part)) for part in below[below >= 0]}
        ended = [root for root in self._members if root not in alive]
        self._above, self._below = self._below, np.full_like(self._below, -1)
        return self._give_out(ended)

    def _meet(self, one: Ints, other: Ints) -> None:
        """Parts that touch across a border are one region."""
        assert np.array_equal(one >= 0, other >= 0), "both sides of a border see the same pixels"
        there = one >= 0
        if there.any():
            for a, b in np.unique(np.stack([one[there], other[there]], axis=1), axis=0).tolist():
                self._unite(a, b)

    def _root(self, part: int) -> int:
        while (above := self._parent[part]) != part:
            self._parent[part] = self._parent[above]
            part = above
        return part

    def _unite(self, one: int, other: int) -> None:
        one, other = self._root(one), self._root(other)
        if one == other:
            return
        if len(self._members[one]) < len(self._members[other]):
            one, other = other, one
        self._parent[other] = one
        self._members[one] += self._members.pop(other)

    def _give_out(self, roots: list[int]) -> Regions:
        """The whole regions of some roots; their parts are held no more."""
        wanted: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for region, root in enumerate(roots):
            for key, part in self._members.pop(root):
                wanted[key].append((part, region))
                del self._parent[part]
        parts, groups = [], []
        for key in sorted(wanted):
            pairs = np.array(sorted(wanted[key]))
            items = np.searchsorted(self._numbers[key], pairs[:, 0])
            parts.append(self._held[key].take(items))
            groups.append(pairs[:, 1])
            self._keep_others(key, items)
        return _whole(parts, groups, count=len(roots))

    def _keep_others(self, key: int, items: npt.NDArray[np.integer]) -> None:
        held = self._held[key]
        others = np.setdiff1d(np.arange(len(held.facts)), items)
        if others.size:
            self._held[key] = held.take(others)
            self._numbers[key] = self._numbers[key][others]
        else:
            del self._held[key], self._numbers[key]


def _whole(parts: list[OpenRegions], groups: list[Ints], *, count: int) -> Regions:
    """Puts parts of regions together.

    Args:
        parts: of tiles.
        groups: for each, which region its parts belong to.
        count: number of regions.
    """
    nothing = np.zeros(0, np.int64)
    facts = Facts.concatenate([p.facts for p in parts]).merged(np.concatenate([nothing, *groups]), count)
    region = np.concatenate([nothing, *(group[p.region] for p, group in zip(parts, groups, strict=True))])
    chains = [p.chains for p in parts]
    coords = np.concatenate([np.zeros((0, 2), np.int32), *(c.coords for c in chains)])
    offsets = ragged.concatenate([c.offsets for c in chains])
    closed, smooth, doubtful = (
        np.concatenate([np.zeros(0, np.bool_), *(getattr(c, name) for c in chains)])
        for name in ("closed", "smooth", "doubtful")
    )
    begin, to = (np.concatenate([nothing, *(getattr(c, name) for c in chains)]) for name in ("begin", "to"))
    following = np.arange(len(region))
    opened = np.flatnonzero(~closed)
    by_name = opened[np.argsort(begin[opened])]
    following[opened] = by_name[np.searchsorted(begin[by_name], to[opened])]
    assert np.array_equal(begin[following[opened]], to[opened]), "every chain of a whole region goes on"
    order, rings = walk_rings(following)
    dropped = np.zeros(len(coords), np.bool_)
    dropped[offsets[following[smooth]]] = True
    vertex, ends = ragged.take(offsets, order)
    kept = ~dropped[vertex]
    ring_ends = ends[rings]
    lengths = ragged.sums(kept, ring_ends).astype(np.int64)
    vertex = vertex[kept]
    made = assemble(
        facts,
        region=region[order[rings[:-1]]],
        coords=coords[vertex],
        rings=ragged.offsets_of(lengths),
        doubtful=doubtful[vertex],
    )
    return made.take(np.argsort(facts.first, kind="stable"))
