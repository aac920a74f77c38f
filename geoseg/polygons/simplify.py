"""Borders simplified as those of a coverage: what two regions share stays shared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from geoseg.errors import PlanError
from geoseg.polygons.ragged import Ints
from geoseg.polygons.regions import Regions, in_order, signed_areas
from geoseg.polygons.shapes import polygons_of

BYTES_PER_VERTEX = 700
"""Most memory that simplifying took, per vertex of the unsimplified rings (each counted in every region it is of)."""


def simplified(found: Iterable[Regions], *, tolerance: float, step: tuple[float, float], memory: float) -> Regions:
    """All regions of a map, their borders simplified at once, in memory.

    Vertices where three regions meet stay, so does the rim of the map and of nodata; of the others some go (the method
    is Visvalingam and Whyatt's: those whose triangle with their neighbours is smallest). None moves or is made. The
    map's tiles change nothing.

    Args:
        found: regions with vertices wherever three of them meet.
        tolerance: length; about the square root of the largest triangle that goes.
        step: (across, down): lengths of a pixel's sides.
        memory: bytes that may be used.

    Raises:
        PlanError: if there are too many vertices for the memory.
    """
    import shapely

    whole = _gathered(found, memory)
    if not len(whole):
        return whole
    scale = _exact(step)
    shapes = shapely.coverage_simplify(
        polygons_of(whole, lambda corners: np.asarray(corners, np.float64) * scale),
        tolerance / min(step),
        simplify_boundary=False,
    )
    _, coords, (closed, parts) = shapely.to_ragged_array(shapes)
    closed = closed.astype(np.int64)
    inner = np.ones(len(coords), np.bool_)
    inner[closed[1:] - 1] = False  # the vertex that closes a ring
    corners = np.rint(coords / scale).astype(np.int32)[inner]
    rings = closed - np.arange(len(closed))
    return _turned(replace(whole, coords=corners, rings=rings, parts=parts.astype(np.int64)))


def _gathered(found: Iterable[Regions], memory: float) -> Regions:
    """All regions, in an order that tiles do not decide: of equal triangles the first one goes."""
    most = int(memory / BYTES_PER_VERTEX)
    kept: list[Regions] = []
    vertices = 0
    for regions in found:
        kept.append(regions)
        vertices += len(regions.coords)
        if vertices > most:
            raise PlanError(
                f"--simplify holds all borders at once: more than {most:,} vertices need more than the"
                f" {memory / 1e9:.1f} GB there are for it; leave it out, raise --min-area, or export parts of the map"
            )
    return in_order(Regions.concatenate(kept))


def _exact(step: tuple[float, float]) -> npt.NDArray[np.float64]:
    """(across, down): sides of a pixel, the shorter one 1, the other to a thousandth.

    In these units all vertices are exact numbers: a vertex that lies on an edge is seen to do so. In metres it may lie
    beside it by a rounding error, and what is found to be clear of it there would touch it in the end.
    """
    return np.asarray(np.round(np.array(step) / min(step) * 1024) / 1024)


def _turned(regions: Regions) -> Regions:
    """The same with outer rings counter-clockwise (north up) and holes clockwise."""
    outer = np.zeros(len(regions.rings) - 1, np.bool_)
    outer[regions.parts[:-1]] = True
    wrong = (signed_areas(regions.coords, regions.rings) < 0) != outer
    ring = np.repeat(np.arange(len(outer)), np.diff(regions.rings))
    index: Ints = np.arange(len(regions.coords))
    index = np.where(wrong[ring], regions.rings[ring] + regions.rings[ring + 1] - 1 - index, index)
    return replace(regions, coords=regions.coords[index])
