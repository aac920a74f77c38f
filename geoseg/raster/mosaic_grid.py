"""How pixel grids of one CRS lie to each other: which are the same up to whole pixels, and what lies between others."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce

from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.raster.resample import AxisResampling

SAME = 0.01
"""Pixels that corners may be off and still be on the same grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How windows of a grid are read from a layer of the same CRS and orientation."""

    shift: tuple[int, int] | None
    """(rows, columns) from the grid to the layer where both are the same grid; None where they are not."""
    rows: AxisResampling
    columns: AxisResampling


def corners(box: GeoBox, frame: GeoBox) -> list[tuple[float, float]]:
    """(column, row) in pixels of ``frame`` of the corners of ``box``: first, right, below, and the last."""
    height, width = box.shape
    return [pixel(frame, *box.world(col, row)) for col, row in ((0, 0), (width, 0), (0, height), (width, height))]


def pixel(frame: GeoBox, x: float, y: float) -> tuple[float, float]:
    """(column, row) of a place."""
    a, b, c, d, e, f = frame.transform
    if b == 0.0 and d == 0.0:
        return (x - c) / a, (y - f) / e
    whole = a * e - b * d
    return (e * (x - c) - b * (y - f)) / whole, (a * (y - f) - d * (x - c)) / whole


def aligned(box: GeoBox, frame: GeoBox) -> Window | None:
    """Where ``box`` lies on the grid of ``frame``, whose own extent does not count; None if it is not on that grid."""
    height, width = box.shape
    found = corners(box, frame)
    col, row = round(found[0][0]), round(found[0][1])
    expected = [(col, row), (col + width, row), (col, row + height), (col + width, row + height)]
    if any(abs(x - p) > SAME or abs(y - q) > SAME for (x, y), (p, q) in zip(found, expected, strict=True)):
        return None
    return Window(row_off=row, col_off=col, height=height, width=width)


def cover(box: GeoBox, frame: GeoBox) -> Window:
    """The pixels of the grid of ``frame`` that ``box`` touches."""
    return cover_points(corners(box, frame))


def cover_points(points: Iterable[tuple[float, float]]) -> Window:
    """The smallest window of whole pixels around (column, row) positions, those within ``SAME`` of it let out."""
    columns, rows = zip(*points, strict=True)
    row_off, col_off = math.floor(min(rows) + SAME), math.floor(min(columns) + SAME)
    return Window.from_stops(
        row_off=row_off,
        col_off=col_off,
        row_stop=max(row_off + 1, math.ceil(max(rows) - SAME)),
        col_stop=max(col_off + 1, math.ceil(max(columns) - SAME)),
    )


def part(frame: GeoBox, window: Window) -> GeoBox:
    """The grid of a window, which may reach outside ``frame``."""
    a, b, _, d, e, _ = frame.transform
    x, y = frame.world(window.col_off, window.row_off)
    return replace(frame, shape=window.shape, transform=(a, b, x, d, e, y), gcps=(), rpcs=())


def union(windows: Iterable[Window]) -> Window:
    """The smallest window that holds all; there must be one."""
    return reduce(Window.union, windows)


def turned(box: GeoBox, frame: GeoBox) -> bool:
    """True if an axis of ``box`` does not run the way that of ``frame`` does."""
    a, _, _, _, e, _ = box.transform
    return box.is_rotated or frame.is_rotated or a * frame.transform[0] <= 0 or e * frame.transform[4] <= 0


def place(layer: GeoBox, grid: GeoBox) -> Placement:
    """How windows of ``grid`` are read from ``layer``; neither is turned against the other."""
    a, _, c, _, e, f = layer.transform
    wide, _, left, _, high, top = grid.transform
    window = aligned(grid, layer)
    return Placement(
        shift=None if window is None else (window.row_off, window.col_off),
        rows=AxisResampling(length=layer.shape[0], ratio=high / e, offset=(top - f) / e),
        columns=AxisResampling(length=layer.shape[1], ratio=wide / a, offset=(left - c) / a),
    )
