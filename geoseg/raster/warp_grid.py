"""Which grid of another CRS a scene is read on."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from geoseg.errors import SceneError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.raster.crs import area_around, crs_name, operation_between, transformer_of, turn_of
from geoseg.raster.mosaic_grid import cover_points, pixel
from geoseg.raster.pixel_size import SQUARE
from geoseg.raster.warp import Warp

PREFILTER = 1.5
"""Source pixels an output pixel spans from which they are averaged before the warp, so that nothing aliases."""

_EDGE = 65
"""Points along an edge that are tried."""

_TORN = 16.0
"""Times the median step between neighbours on an edge from which the edge is taken for torn apart."""

_Points = npt.NDArray[np.float64]


def frame_of(source: GeoBox, target: str) -> GeoBox:
    """A north-up grid of the CRS ``target`` whose pixels are about as large on the ground as the source's.

    Its sides are the source's steps as they appear along each axis of the target, equal where they nearly are, and
    its corner lies at a multiple of them; only the pixel size and the corner count, its shape is 1 x 1.

    Raises:
        SceneError: if the source's centre has no place in that CRS.
    """
    assert source.crs is not None
    operation, _ = operation_between(source.crs, target, area_around(source))
    height, width = source.shape
    here = [source.world(width / 2 + right, height / 2 + down) for right, down in ((0, 0), (1, 0), (0, 1))]
    x, y = transformer_of(operation).transform(*np.array(here).T)
    turn = turn_of(target)
    if turn is not None:
        x = x - np.round((x - x[0]) / turn) * turn
    across, down = math.hypot(x[1] - x[0], x[2] - x[0]), math.hypot(y[1] - y[0], y[2] - y[0])
    if not (math.isfinite(across) and math.isfinite(down) and across > 0 and down > 0):
        raise SceneError(f"the scene's centre has no place in {crs_name(target)}: choose another --dst-crs")
    if abs(across / down - 1) < SQUARE:
        across = down = math.sqrt(across * down)
    left, top = math.floor(x[0] / across) * across, math.ceil(y[0] / down) * down
    return GeoBox(shape=(1, 1), transform=(across, 0.0, left, 0.0, -down, top), crs=target)


def warped_cover(source: GeoBox, frame: GeoBox) -> Window:
    """The pixels of the grid of ``frame`` on which ``source`` has something; they may lie outside ``frame``.

    Raises:
        SceneError: if no part of the source has a place in that CRS, or one of its edges runs through it.
    """
    assert source.crs is not None
    assert frame.crs is not None
    operation, _ = operation_between(source.crs, frame.crs, area_around(source))
    columns, rows = _sample(source.shape)
    a, b, c, d, e, f = source.transform
    x, y = transformer_of(operation).transform(a * columns + b * rows + c, d * columns + e * rows + f)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise SceneError(f"no part of the scene has a place in {crs_name(frame.crs)}: choose another --dst-crs")
    turn = turn_of(frame.crs)
    if turn is not None:  # a scene across the antimeridian: east of 180 goes on as 181
        with np.errstate(invalid="ignore"):
            x = x - np.round((x - x[known][0]) / turn) * turn
    window = cover_points(pixel(frame, float(p), float(q)) for p, q in zip(x[known], y[known], strict=True))
    if _torn(x / frame.transform[0], y / frame.transform[4]):
        raise SceneError(
            f"in {crs_name(frame.crs)} the scene would be torn over {window.width:,} x {window.height:,} pixels:"
            " an edge of that CRS (its antimeridian, say) runs through it; choose a CRS made for the place"
        )
    grow = 1  # what bulges between two points of the sample
    return Window(
        row_off=window.row_off - grow,
        col_off=window.col_off - grow,
        height=window.height + 2 * grow,
        width=window.width + 2 * grow,
    )


def _torn(columns: _Points, rows: _Points) -> bool:
    """True if neighbours on an edge of the sample lie far apart, by the measure of that edge."""
    edges = (slice(i * _EDGE, (i + 1) * _EDGE) for i in range(4))
    for edge in edges:
        with np.errstate(invalid="ignore"):
            steps = np.hypot(np.diff(columns[edge]), np.diff(rows[edge]))
        steps = steps[np.isfinite(steps)]
        if steps.size and steps.max() > max(1.0, _TORN * float(np.median(steps))):
            return True
    return False


def _sample(shape: tuple[int, int]) -> tuple[_Points, _Points]:
    """(columns, rows) of points along the edges, the upper one first, and inside."""
    height, width = shape
    along, inside = np.linspace(0, 1, _EDGE), np.linspace(0, 1, 17)
    zero, one = np.zeros(_EDGE), np.ones(_EDGE)
    across, down = (values.ravel() for values in np.meshgrid(inside, inside))
    columns = np.concatenate([along, along, zero, one, across])
    rows = np.concatenate([zero, one, along, along, down])
    return columns * width, rows * height


def prefilter_of(source: GeoBox, grid: GeoBox, *, operation: str, reach: Window) -> tuple[float, float]:
    """(rows, columns) of source pixels that a pixel of ``grid`` spans, in the middle of its spread; 1 where few."""
    warp = Warp(grid=grid, source=source, transformer=transformer_of(operation), turn=turn_of(source.crs))
    share = np.linspace(0.1, 0.9, 5)
    across, down = np.meshgrid(reach.col_off + share * reach.width, reach.row_off + share * reach.height)
    columns, rows = across.ravel(), down.ravel()
    here, right, below = warp.exact(columns, rows), warp.exact(columns + 1, rows), warp.exact(columns, rows + 1)
    with np.errstate(invalid="ignore"):
        spans = [np.hypot(right[axis] - here[axis], below[axis] - here[axis]) for axis in (1, 0)]
    found = [float(np.median(span[np.isfinite(span)])) if np.isfinite(span).any() else 1.0 for span in spans]
    high, wide = (span if span > PREFILTER else 1.0 for span in found)
    return high, wide
