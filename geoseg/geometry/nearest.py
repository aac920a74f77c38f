"""Nearest neighbour between two grids: which pixel of one lies under each pixel centre of the other.

Pointwise arithmetic on integer pixel numbers, so that the answer for a pixel never depends on the window it is asked
in. A centre on the line between two pixels takes the right or lower one.
"""

from __future__ import annotations

import math
import threading
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import GridError
from geoseg.geometry.geobox import GeoBox, Transform
from geoseg.geometry.windows import Window

_TIE = 1e-6
"""Pixels added before rounding down: far more than the noise of doubles, so that ties fall one way everywhere."""

Indices = npt.NDArray[np.int64]


def nearest_pixels(window: Window, *, target: GeoBox, source: GeoBox) -> tuple[Indices, Indices]:
    """Rows and columns of ``source`` under the pixel centres of a window of ``target``.

    Args:
        window: pixels of ``target``.
        target: the grid to fill.
        source: the grid to take from; where either grid has no CRS, both are taken to be in the same one.

    Returns:
        (rows, columns), int64, each broadcastable to the window's shape; beyond the source where a centre lies
        outside it, -1 where it cannot be projected.

    Raises:
        GridError: if a grid is placed by ground control points or RPCs instead of a transform, or has no area.
    """
    for grid in (target, source):
        if grid.gcps or (grid.rpcs and grid.transform == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)):
            raise GridError(
                "a grid placed by ground control points or RPCs cannot be resampled; warp it first (gdalwarp)"
            )
    cols = np.arange(window.col_off, window.col_stop, dtype=np.float64)[None, :] + 0.5
    rows = np.arange(window.row_off, window.row_stop, dtype=np.float64)[:, None] + 0.5
    if target.crs is None or source.crs is None or _same_crs(target.crs, source.crs):
        a, b, c, d, e, f = _between(target.transform, source.transform)
        # without rotation the terms of the other axis are left out, so that the result stays one-dimensional
        x = a * cols + c if b == 0 else a * cols + b * rows + c
        y = e * rows + f if d == 0 else d * cols + e * rows + f
        return _floor(y), _floor(x)
    a, b, c, d, e, f = target.transform
    world = _transformer(target.crs, source.crs, threading.get_ident()).transform(
        a * cols + b * rows + c, d * cols + e * rows + f
    )
    x, y = (np.asarray(v, dtype=np.float64) for v in world)
    sa, sb, sc, sd, se, sf = source.transform
    area = _area(source.transform)
    with np.errstate(invalid="ignore"):  # inf stands for "cannot be projected", and 0 * inf for NaN
        return _floor((sa * (y - sf) - sd * (x - sc)) / area), _floor((se * (x - sc) - sb * (y - sf)) / area)


def overlaps(target: GeoBox, source: GeoBox) -> bool:
    """True if any of some thousand points spread over each grid lies on the other.

    Raises:
        GridError: as ``nearest_pixels``.
    """
    return _touches(target, source) or _touches(source, target)


def _touches(target: GeoBox, source: GeoBox) -> bool:
    """True if one of 33 x 33 spread pixels of ``target`` lies on ``source``."""
    for row in np.unique(np.linspace(0, target.shape[0] - 1, 33).astype(int)):
        for col in np.unique(np.linspace(0, target.shape[1] - 1, 33).astype(int)):
            one = Window(row_off=int(row), col_off=int(col), height=1, width=1)
            rows, cols = nearest_pixels(one, target=target, source=source)
            if 0 <= rows.item() < source.shape[0] and 0 <= cols.item() < source.shape[1]:
                return True
    return False


def _floor(values: npt.NDArray[np.float64]) -> Indices:
    """Pixel numbers of pixel positions; -1 where there is none."""
    finite = np.isfinite(values)
    return np.where(finite, np.floor(np.where(finite, values, 0.0) + _TIE), -1.0).astype(np.int64)


def _between(target: Transform, source: Transform) -> Transform:
    """The transform from pixels of ``target`` to pixels of ``source``; offsets first, to lose no digits."""
    a, b, c, d, e, f = target
    sa, sb, sc, sd, se, sf = source
    area = _area(source)
    dc, df = c - sc, f - sf
    return (
        (se * a - sb * d) / area,
        (se * b - sb * e) / area,
        (se * dc - sb * df) / area,
        (sa * d - sd * a) / area,
        (sa * e - sd * b) / area,
        (sa * df - sd * dc) / area,
    )


def _area(transform: Transform) -> float:
    a, b, _, d, e, _ = transform
    area = a * e - b * d
    if area == 0 or not math.isfinite(area):
        raise GridError(f"the transform {transform} gives its pixels no area")
    return area


@lru_cache(maxsize=64)
def _same_crs(left: str, right: str) -> bool:
    if left == right:
        return True
    import pyproj  # not at the top: 0.1 s

    return bool(pyproj.CRS.from_wkt(left).equals(pyproj.CRS.from_wkt(right), ignore_axis_order=True))


@lru_cache(maxsize=64)
def _transformer(left: str, right: str, _thread: int) -> Any:
    """A transformer for one thread: pyproj's are not safe to share between threads."""
    import pyproj

    return pyproj.Transformer.from_crs(pyproj.CRS.from_wkt(left), pyproj.CRS.from_wkt(right), always_xy=True)
