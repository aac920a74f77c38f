"""Read a raster on a grid of another CRS: positions and weights that never depend on the window.

A warped read of GDAL's depends on the window (see ``resample.py``), so the warp is written out: the centre of every
output pixel is taken to the source by PROJ, on a lattice of every ``STEP``-th pixel that belongs to the output grid,
bilinear in between; where the lattice is not true to ``TOLERANCE`` source pixels, PROJ answers for every pixel of the
cell. Then each pixel is the mean of the valid ones of its four neighbours by bilinear weights, and it is valid if the
source pixel under its centre is. Every output pixel is one fixed sequence of operations: any window
gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.raster.resample import Pixels, ReadWindow, Valid, to_dtype

STEP = 8
"""Output pixels between nodes of the lattice."""

CELL = 2 * STEP
"""Side of a cell, output pixels: its middle nodes tell how far bilinear interpolation between its corners is off."""

TOLERANCE = 0.05
"""Source pixels that cells may be off; between nodes half as far apart it is about a quarter of that."""

_Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Warp:
    """Where each pixel of ``grid`` comes from in ``source``."""

    grid: GeoBox
    source: GeoBox
    transformer: Any
    """pyproj's, from the CRS of ``grid`` to that of ``source``."""
    turn: float | None = None
    """Degrees (or what the CRS counts in) of a full turn where ``source`` is geographic: 540 east is 180 east."""

    def exact(self, columns: _Float, rows: _Float) -> tuple[_Float, _Float]:
        """(column, row) in the source of positions in the grid, pixels; infinite or NaN where there is none."""
        a, b, c, d, e, f = self.grid.transform
        x, y = self.transformer.transform(a * columns + b * rows + c, d * columns + e * rows + f)
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if self.turn is not None:
            middle, _ = self.source.world(self.source.shape[1] / 2, self.source.shape[0] / 2)
            with np.errstate(invalid="ignore"):
                x = x - np.floor((x - middle) / self.turn + 0.5) * self.turn
        a, b, c, d, e, f = self.source.transform
        whole = a * e - b * d
        with np.errstate(invalid="ignore"):
            x, y = x - c, y - f
            return (e * x - b * y) / whole, (a * y - d * x) / whole

    def positions(self, window: Window) -> tuple[_Float, _Float]:
        """(column, row) in the source, each (h, w), of the centres of a window's pixels."""
        top, left = window.row_off // CELL, window.col_off // CELL
        down, across = -(-window.row_stop // CELL) - top, -(-window.col_stop // CELL) - left
        node_rows = (top * CELL + STEP * np.arange(2 * down + 1)).astype(np.float64)
        node_columns = (left * CELL + STEP * np.arange(2 * across + 1)).astype(np.float64)
        grid = np.meshgrid(node_columns, node_rows)
        nodes = [n.reshape(grid[0].shape) for n in self.exact(grid[0].ravel(), grid[1].ravel())]
        wrong = _wrong_cells(nodes)
        rows = np.arange(window.row_off, window.row_stop)
        columns = np.arange(window.col_off, window.col_stop)
        with np.errstate(invalid="ignore"):
            found = [_between(n, rows=rows - top * CELL, columns=columns - left * CELL) for n in nodes]
        if wrong.any():
            each = wrong[rows // CELL - top][:, columns // CELL - left]
            y, x = np.nonzero(each)
            exact = self.exact(np.float64(0.5) + columns[x], np.float64(0.5) + rows[y])
            for values, right in zip(found, exact, strict=True):
                values[each] = right
        return found[0], found[1]


def _wrong_cells(nodes: list[_Float]) -> Valid:
    """(rows, columns) True for cells with a node in the middle that their corners do not give."""
    wrong = np.zeros((nodes[0].shape[0] // 2, nodes[0].shape[1] // 2), dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        for n in nodes:
            corners = n[:-2:2, :-2:2], n[:-2:2, 2::2], n[2::2, :-2:2], n[2::2, 2::2]
            a, b, c, d = corners
            for middle, expected in (
                (n[:-2:2, 1::2], (a + b) / 2),
                (n[2::2, 1::2], (c + d) / 2),
                (n[1::2, :-2:2], (a + c) / 2),
                (n[1::2, 2::2], (b + d) / 2),
                (n[1::2, 1::2], (a + b + c + d) / 4),
            ):
                wrong |= ~(np.abs(middle - expected) <= TOLERANCE)
    return wrong


def _between(nodes: _Float, *, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> _Float:
    """(h, w) bilinear interpolation of ``nodes`` at pixel centres, counted from the first node."""
    right, down = ((columns + 0.5) / STEP)[None, :], ((rows + 0.5) / STEP)[:, None]
    column, row = right.astype(np.int64)[0], down.astype(np.int64)[:, 0]
    right, down = right - column, down - row[:, None]
    lines = nodes[:, column] * (1 - right) + nodes[:, column + 1] * right
    result: _Float = lines[row] * (1 - down) + lines[row + 1] * down
    return result


def read_warped(
    read: ReadWindow,
    window: Window,
    *,
    warp: Warp,
    bands: int,
    dtype: np.dtype[Any],
    strip_bytes: int,
    nearest: bool,
) -> tuple[Pixels, Valid]:
    """Pixels (C, h, w) and validity (h, w) of a window of ``warp.grid``.

    Args:
        read: gives pixels and validity of a window of ``warp.source``.
        window: pixels of the output.
        warp: where they come from.
        bands: of the source.
        dtype: of the source.
        strip_bytes: most bytes of source pixels held at once; larger windows are read in halves.
        nearest: take the pixel under the centre (palette entries have no mean).
    """
    column, row = warp.positions(window)
    height, width = warp.source.shape
    with np.errstate(invalid="ignore"):
        valid = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row = column[valid], row[valid]
    pixels = np.zeros((bands, *window.shape), dtype=dtype)
    if column.size == 0:
        return pixels, valid
    source = _reach(column, row, warp.source.shape)
    if source.pixels * bands * dtype.itemsize > strip_bytes and window.pixels > CELL * CELL:
        options = {"bands": bands, "dtype": dtype, "strip_bytes": strip_bytes, "nearest": nearest}
        return _in_halves(read, window, warp=warp, **options)
    stored, known = read(source)
    column, row = column - source.col_off, row - source.row_off
    under = known[row.astype(np.int64), column.astype(np.int64)]
    valid[valid] = under
    if nearest:
        pixels[:, valid] = stored[:, row.astype(np.int64)[under], column.astype(np.int64)[under]]
    else:
        pixels[:, valid] = _four_taps(stored, known, column=column[under], row=row[under])
    return pixels, valid


def _reach(column: _Float, row: _Float, shape: tuple[int, int]) -> Window:
    """The source pixels that positions draw on."""
    return Window.from_stops(
        row_off=max(0, int(np.floor(row.min() - 0.5))),
        col_off=max(0, int(np.floor(column.min() - 0.5))),
        row_stop=min(shape[0], int(np.floor(row.max() - 0.5)) + 2),
        col_stop=min(shape[1], int(np.floor(column.max() - 0.5)) + 2),
    )


def _in_halves(read: ReadWindow, window: Window, *, warp: Warp, **options: Any) -> tuple[Pixels, Valid]:
    """The window as two, cut across its longer side."""
    axis = 0 if window.height >= window.width else 1
    row, col = window.row_off, window.col_off
    if axis == 0:
        row += window.height // 2
        cuts = ((window.row_off, row, col, window.col_stop), (row, window.row_stop, col, window.col_stop))
    else:
        col += window.width // 2
        cuts = ((row, window.row_stop, window.col_off, col), (row, window.row_stop, col, window.col_stop))
    halves = [
        read_warped(
            read,
            Window.from_stops(row_off=top, row_stop=bottom, col_off=left, col_stop=right),
            warp=warp,
            **options,
        )
        for top, bottom, left, right in cuts
    ]
    return np.concatenate([h[0] for h in halves], axis=axis + 1), np.concatenate([h[1] for h in halves], axis=axis)


def _four_taps(stored: Pixels, known: Valid, *, column: _Float, row: _Float) -> Pixels:
    """(C, n) means of the valid ones of the four pixels around each position, in the stored dtype."""
    dtype = stored.dtype
    working: np.dtype[Any] = np.dtype(np.float32 if np.can_cast(dtype, np.float32) else np.float64)
    left, top = np.floor(column - 0.5).astype(np.int64), np.floor(row - 0.5).astype(np.int64)
    right_share, lower_share = (column - 0.5 - left).astype(working), (row - 0.5 - top).astype(working)
    taps: list[tuple[Any, Any, npt.NDArray[Any], Valid]] = []
    total = np.zeros(column.shape, dtype=working)
    touched = np.zeros(column.shape, dtype=np.bool_)
    for down in (0, 1):
        for across in (0, 1):
            weight: npt.NDArray[Any] = (lower_share if down else 1 - lower_share) * (
                right_share if across else 1 - right_share
            )
            y, x = top + down, left + across
            there = (y >= 0) & (y < known.shape[0]) & (x >= 0) & (x < known.shape[1])
            y, x = np.clip(y, 0, known.shape[0] - 1), np.clip(x, 0, known.shape[1] - 1)
            there &= known[y, x]
            touched |= ~there & (weight > 0)
            weight = np.where(there, weight, working.type(0))
            total += weight
            taps.append((y, x, weight, there))
    divisor = np.where(touched, total, working.type(1))  # where nothing is missing nothing is divided
    result = np.empty((len(stored), column.size), dtype=dtype)
    for band, out in zip(stored, result, strict=True):
        values = np.zeros(column.shape, dtype=working)
        for y, x, weight, there in taps:
            values += np.where(there, band[y, x], dtype.type(0)) * weight
        out[:] = to_dtype(values / divisor, dtype)
    return result
