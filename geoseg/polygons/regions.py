"""Regions with their rings: what tracing gives and everything after it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from geoseg.polygons import ragged
from geoseg.polygons.chains import Coords
from geoseg.polygons.ragged import Ints
from geoseg.polygons.walk import walk_rings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Facts:
    """What is known of each of n regions besides its shape."""

    classes: npt.NDArray[np.uint8]
    """Class ids (n)."""
    pixels: Ints
    """Numbers of pixels (n)."""
    first: Ints
    """First pixels (n), counted row by row in the scene: names that do not depend on tiles."""
    percent: Ints
    """Sums of confidence (n), percent."""
    measured: Ints
    """Pixels with a confidence (n)."""

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, items: npt.NDArray[np.integer]) -> Facts:
        """Some of the regions."""
        return Facts(
            classes=self.classes[items],
            pixels=self.pixels[items],
            first=self.first[items],
            percent=self.percent[items],
            measured=self.measured[items],
        )

    def merged(self, group: Ints, count: int) -> Facts:
        """The facts of ``count`` larger regions; ``group`` (n) says which of them each is a part of."""
        classes, first = np.zeros(count, np.uint8), np.full(count, np.iinfo(np.int64).max)
        classes[group] = self.classes
        np.minimum.at(first, group, self.first)
        pixels, percent, measured = (
            np.bincount(group, weights=part, minlength=count).astype(np.int64)
            for part in (self.pixels, self.percent, self.measured)
        )
        return Facts(classes=classes, pixels=pixels, first=first, percent=percent, measured=measured)

    @classmethod
    def concatenate(cls, parts: Sequence[Facts]) -> Facts:
        """All of them."""
        return cls(
            classes=np.concatenate([np.zeros(0, np.uint8), *(p.classes for p in parts)]),
            pixels=np.concatenate([np.zeros(0, np.int64), *(p.pixels for p in parts)]),
            first=np.concatenate([np.zeros(0, np.int64), *(p.first for p in parts)]),
            percent=np.concatenate([np.zeros(0, np.int64), *(p.percent for p in parts)]),
            measured=np.concatenate([np.zeros(0, np.int64), *(p.measured for p in parts)]),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regions:
    """Regions with their rings; of each the outer one comes first. Rings are not closed: the last vertex differs."""

    facts: Facts
    coords: Coords
    """Vertices (N, 2) of all rings: column and row of pixel corners in the scene; or float64 after simplification."""
    rings: Ints
    """Offsets of the rings in ``coords``."""
    parts: Ints
    """Offsets of the regions (n + 1) in ``rings``."""

    def __len__(self) -> int:
        return len(self.facts)

    def take(self, items: npt.NDArray[np.integer]) -> Regions:
        """Some of the regions, in that order."""
        which, parts = ragged.take(self.parts, items)
        vertices, rings = ragged.take(self.rings, which)
        return replace(self, facts=self.facts.take(items), coords=self.coords[vertices], rings=rings, parts=parts)

    @classmethod
    def concatenate(cls, parts: Sequence[Regions]) -> Regions:
        """All of them."""
        return cls(
            facts=Facts.concatenate([p.facts for p in parts]),
            coords=np.concatenate([np.zeros((0, 2), np.int32), *(p.coords for p in parts)]),
            rings=ragged.concatenate([p.rings for p in parts]),
            parts=ragged.concatenate([p.parts for p in parts]),
        )


def in_order(regions: Regions) -> Regions:
    """The same, written in one way only, whatever the tiles: regions by their first pixels, holes and vertices too."""
    rings, coords = regions.rings, regions.coords
    ring = np.repeat(np.arange(len(rings) - 1), np.diff(rings))
    by_place = np.lexsort((coords[:, 0], coords[:, 1], ring))
    first = by_place[rings[:-1]]
    lengths = np.diff(rings)
    index = rings[ring] + (np.arange(len(coords)) - rings[ring] + (first - rings[:-1])[ring]) % lengths[ring]
    region = np.repeat(np.arange(len(regions)), np.diff(regions.parts))
    hole = np.ones(len(lengths), np.bool_)
    hole[regions.parts[:-1]] = False
    order = np.lexsort((coords[first, 0], coords[first, 1], hole, region))
    vertices, sorted_rings = ragged.take(rings, order)
    turned = replace(regions, coords=coords[index][vertices], rings=sorted_rings)
    return turned.take(np.argsort(regions.facts.first, kind="stable"))


def assemble(facts: Facts, *, region: Ints, coords: Coords, rings: Ints, doubtful: npt.NDArray[np.bool_]) -> Regions:
    """Sorts rings by their regions, the outer one first.

    Args:
        facts: of n regions.
        region: of each ring.
        coords: vertices of all rings.
        rings: offsets of the rings in ``coords``.
        doubtful: vertices at which a ring may touch another place of its own region.
    """
    order, rings, region = _untangle(coords, rings, region, np.flatnonzero(doubtful))
    coords = coords if order is None else coords[order]
    hole = signed_areas(coords, rings) > 0
    order = np.lexsort((hole, region))
    assert np.array_equal(np.sort(region[~hole]), np.arange(len(facts))), "a region has one outer ring"
    vertices, sorted_rings = ragged.take(rings, order)
    parts = ragged.offsets_of(np.bincount(region, minlength=len(facts)))
    return Regions(facts=facts, coords=coords[vertices], rings=sorted_rings, parts=parts)


def _untangle(coords: Coords, rings: Ints, region: Ints, doubtful: Ints) -> tuple[Ints | None, Ints, Ints]:
    """Parts rings that touch themselves: what they enclose at such a corner is a hole, as polygons want it.

    Two pixels of one region that touch at a corner only: the ring, which keeps to its pixel, comes by twice. Going on
    as the other visit does, each time, gives a ring of the hole and one without it.

    Returns:
        Vertices in a new order (None: as they are), and the new offsets and regions of the rings.
    """
    ring = np.searchsorted(rings, doubtful, side="right") - 1
    keys = (coords[doubtful, 0], coords[doubtful, 1], region[ring])
    order = np.lexsort(keys)
    again = np.ones(max(len(order) - 1, 0), np.bool_)
    for key in keys:
        again &= key[order[1:]] == key[order[:-1]]
    if not again.any():
        return None, rings, region
    one, other = doubtful[order[:-1][again]], doubtful[order[1:][again]]
    touched = np.zeros(len(region), np.bool_)
    touched[np.searchsorted(rings, one, side="right") - 1] = True
    touched[np.searchsorted(rings, other, side="right") - 1] = True
    following = np.arange(1, len(coords) + 1)
    following[rings[1:] - 1] = rings[:-1]
    before = np.arange(-1, len(coords) - 1)
    before[rings[:-1]] = rings[1:] - 1
    following[before[one]], following[before[other]] = other, one
    vertex, _ = ragged.take(rings, np.flatnonzero(touched))
    number = np.zeros(len(coords), np.int64)
    number[vertex] = np.arange(len(vertex))
    parted, parted_rings = walk_rings(number[following[vertex]])
    owner = np.searchsorted(rings, vertex[parted[parted_rings[:-1]]], side="right") - 1
    kept, kept_rings = ragged.take(rings, np.flatnonzero(~touched))
    return (
        np.concatenate([kept, vertex[parted]]),
        ragged.concatenate([kept_rings, parted_rings]),
        np.concatenate([region[~touched], region[owner]]),
    )


def signed_areas(coords: npt.NDArray[np.generic], rings: Ints) -> npt.NDArray[np.float64]:
    """Twice the area of each ring in the coordinates' plane, positive where it runs counter-clockwise there.

    Rows grow downwards: an outer ring, counter-clockwise with north up, is negative in pixels.
    """
    if len(rings) == 1:
        return np.zeros(0)
    starts = rings[:-1]
    own = np.asarray(coords - np.repeat(coords[starts], np.diff(rings), axis=0))  # small numbers: nothing cancels
    own = own.astype(np.int64) if own.dtype.kind == "i" else own
    following = np.roll(own, -1, axis=0)
    following[rings[1:] - 1] = own[starts]
    return np.add.reduceat(own[:, 0] * following[:, 1] - own[:, 1] * following[:, 0], starts).astype(np.float64)
