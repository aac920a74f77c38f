"""Regions as shapely polygons in the world."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.geometry.geobox import Transform
from geoseg.polygons import ragged
from geoseg.polygons.ragged import Ints
from geoseg.polygons.regions import Regions

Points = npt.NDArray[np.float64]


def polygons_of(regions: Regions, place: Callable[[npt.NDArray[np.generic]], Points], *, flip: bool = False) -> Any:
    """Polygons (n) of regions, rings closed.

    Args:
        regions: vertices in pixels.
        place: takes pixel corners (N, 2) to the world.
        flip: turn rings around, so that outer ones run counter-clockwise where ``place`` does not turn rows upwards.
    """
    import shapely  # not at the top: a quarter of a second

    counts = np.diff(regions.rings)
    closed = ragged.offsets_of(counts + 1)
    ring = np.repeat(np.arange(len(counts)), counts + 1)
    within = np.arange(closed[-1]) - closed[ring]
    index = regions.rings[ring] + np.where(within < counts[ring], within, 0)
    if flip:
        index = index[closed[ring] + closed[ring + 1] - 1 - np.arange(len(index))]
    coords = place(regions.coords)[index]
    return shapely.from_ragged_array(shapely.GeometryType.POLYGON, coords, (closed, regions.parts))


def collected(polygons: Any, group: Ints, *, count: int) -> Any:
    """Multipolygons (count) of polygons; ``group`` says which each belongs to."""
    import shapely

    order = np.argsort(group, kind="stable")
    return shapely.multipolygons(polygons[order], indices=group[order]) if count else np.zeros(0, object)


def turns_over(transform: Transform) -> bool:
    """True if rows run upwards in the world, seen along columns to the right."""
    a, b, _, d, e, _ = transform
    return a * e - b * d > 0
