"""Read a raster on a grid of another CRS: positions and weights that never depend on the window.

A warped read of GDAL's depends on the window (see ``resample.py``), so the warp is written out: the centre of every
output pixel is taken to the source by PROJ, on a lattice of every ``STEP``-th pixel that belongs to the output grid,
bilinear in between; where the lattice is not true to ``TOLERANCE`` source pixels, PROJ answers for every pixel of the
cell. Then each pixel is the mean of the valid ones of its four neighbours by bilinear weights, and it is valid if the
source pixel under its centre is. Every output pixel is one fixed sequence of operations: any window
gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window, split
from geoseg.raster.resample import Pixels, ReadWindow, Valid, to_dtype

STEP = 8
"""Output pixels between nodes of the lattice."""

CELL = 2 * STEP
"""Side of a cell, output pixels: its middle nodes tell how far bilinear interpolation between its corners is off."""

TOLERANCE = 0.05
"""Source pixels that cells may be off; between nodes half as far apart it is about a quarter of that."""

BLOCK = 512
"""Side of what is worked on at once, output pixels: a dozen arrays of positions and weights are held for it."""

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
        strip_bytes: most bytes of source pixels held at once.
        nearest: take the pixel under the centre (palette entries have no mean).
    """
    pixels = np.zeros((bands, *window.shape), dtype=dtype)
    valid = np.zeros(window.shape, dtype=np.bool_)
    waiting = [_moved(part, window) for part in split(window.shape, size=(BLOCK, BLOCK))]
    while waiting:
        part = waiting.pop()
        column, row = warp.positions(part)
        with np.errstate(invalid="ignore"):
            inside = (column >= 0) & (column < warp.source.shape[1]) & (row >= 0) & (row < warp.source.shape[0])
        if not inside.any():
            continue
        column, row = column[inside], row[inside]
        source = _reach(column, row, warp.source.shape)
        if source.pixels * bands * dtype.itemsize > strip_bytes and part.pixels > CELL * CELL:
            waiting += _halves(part)  # torn or pressed together there: smaller windows reach less far
            continue
        stored, known = read(source)
        take = _nearest_taps if nearest else _four_taps
        found, under = take(stored, known, column=column - source.col_off, row=row - source.row_off)
        rows, columns = part.within(window)
        valid[rows, columns][inside] = under
        for out, values in zip(pixels, found, strict=True):
            out[rows, columns][inside] = values
    return pixels, valid


def _moved(part: Window, window: Window) -> Window:
    return replace(part, row_off=part.row_off + window.row_off, col_off=part.col_off + window.col_off)


def _halves(window: Window) -> list[Window]:
    """The window as two, cut across its longer side."""
    half = (
        (-(-window.height // 2), window.width)
        if window.height >= window.width
        else (
            window.height,
            -(-window.width // 2),
        )
    )
    return [_moved(part, window) for part in split(window.shape, size=half)]


def _reach(column: _Float, row: _Float, shape: tuple[int, int]) -> Window:
    """The source pixels that positions draw on."""
    return Window.from_stops(
        row_off=max(0, int(np.floor(row.min() - 0.5))),
        col_off=max(0, int(np.floor(column.min() - 0.5))),
        row_stop=min(shape[0], int(np.floor(row.max() - 0.5)) + 2),
        col_stop=min(shape[1], int(np.floor(column.max() - 0.5)) + 2),
    )


def _nearest_taps(stored: Pixels, known: Valid, *, column: _Float, row: _Float) -> tuple[Pixels, Valid]:
    """(C, n) the pixels under positions, and (n,) whether they are valid."""
    index = row.astype(np.intp) * known.shape[1] + column.astype(np.intp)
    return stored.reshape(len(stored), -1)[:, index], known.ravel()[index]


def _four_taps(stored: Pixels, known: Valid, *, column: _Float, row: _Float) -> tuple[Pixels, Valid]:
    """(C, n) means of the valid ones of the four pixels around each position, and (n,) if the one under it is valid."""
    dtype = stored.dtype
    working: np.dtype[Any] = np.dtype(np.float32 if np.can_cast(dtype, np.float32) else np.float64)
    under = known.ravel()[row.astype(np.intp) * known.shape[1] + column.astype(np.intp)]
    # A rim of invalid pixels: past the source's edge there is nothing, and every tap has a place in the array.
    stored, known = np.pad(stored, ((0, 0), (1, 1), (1, 1))), np.pad(known, 1)
    left, top = np.floor(column - 0.5), np.floor(row - 0.5)
    right_share, lower_share = (column - 0.5 - left).astype(working), (row - 0.5 - top).astype(working)
    corner = (top.astype(np.intp) + 1) * known.shape[1] + left.astype(np.intp) + 1
    flat = known.ravel()
    taps: list[tuple[npt.NDArray[np.intp], npt.NDArray[Any]]] = []
    total = np.zeros(column.shape, dtype=working)
    touched = np.zeros(column.shape, dtype=np.bool_)
    for down in (0, 1):
        for across in (0, 1):
            weight: npt.NDArray[Any] = (lower_share if down else 1 - lower_share) * (
                right_share if across else 1 - right_share
            )
            index = corner + down * known.shape[1] + across
            there = flat[index]
            touched |= ~there & (weight > 0)
            weight *= there
            total += weight
            taps.append((index, weight))
    divisor = np.where(touched, total, working.type(1))  # where nothing is missing nothing is divided
    divisor[~under] = 1
    result = np.empty((len(stored), column.size), dtype=dtype)
    for band, out in zip(np.where(known, stored, dtype.type(0)), result, strict=True):
        cells = band.ravel()
        values = np.zeros(column.shape, dtype=working)
        for index, weight in taps:
            values += cells[index] * weight
        out[:] = to_dtype(values / divisor, dtype)
    return result, under
