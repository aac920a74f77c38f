"""Read a scene with larger or smaller pixels: bilinear weights that never depend on the window.

This is GDAL's warper for the one case geoseg needs (same CRS, same corner, another pixel size), written out because
a warped read is not a function of the pixel alone: GDAL rounds positions relative to the chunk it works on, reads
all bands for any one, and knows no rule that joins nodata, NaN, alpha and masks. Here every weight follows from the
scene's and the grid's size only, and each output pixel is one fixed sequence of additions, so that any window, strip
or thread gives the same bytes. The kernel is GDAL's bilinear one: a triangle of half-width 1 source pixel when
pixels get smaller, of ``ratio`` source pixels when they get larger (which is then an average, not a decimation).

A pixel is valid if the source pixel under its centre is; its value is the mean of the valid pixels under the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import SceneError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window

Pixels = npt.NDArray[Any]
"""Of any real dtype: what the file stores."""
Valid = npt.NDArray[np.bool_]
_Indices = npt.NDArray[np.int64]
_Float = npt.NDArray[np.floating]
ReadWindow = Callable[[Window], tuple[Pixels, Valid]]
"""Pixels (C, h, w) and validity (h, w) of a window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisResampling:
    """One axis of the change of pixel size: output pixel i covers source pixels ``[i, i + 1) * ratio + offset``."""

    length: int
    """Source pixels along the axis."""
    ratio: float
    """Source pixels per output pixel, > 0."""
    offset: float = 0.0
    """Where the first output pixel begins, source pixels."""

    @property
    def support(self) -> float:
        """Half the width of the kernel, source pixels."""
        return max(1.0, self.ratio)

    def nearest(self, start: int, stop: int) -> _Indices:
        """(n,) source pixel under each centre of output pixels ``[start, stop)``; outside if < 0 or >= ``length``."""
        under: _Indices = np.floor(self._centres(start, stop)).astype(np.int64)
        return under

    def taps(self, start: int, stop: int) -> tuple[_Indices, npt.NDArray[np.float64]]:
        """(taps, n) source pixels and their weights for output pixels ``[start, stop)``.

        The weights of a pixel sum to 1; those outside the source are 0 (and point at its first or last pixel).
        """
        centres = self._centres(start, stop)
        first = np.floor(centres - self.support - 0.5).astype(np.int64) + 1
        count = math.ceil(2 * self.support) + 1
        index = first + np.arange(count)[:, None]
        weight = np.maximum(0.0, 1.0 - np.abs(index + 0.5 - centres) / self.support)
        weight[(index < 0) | (index >= self.length)] = 0.0
        total = np.zeros(centres.shape)
        for row in weight:  # in a fixed order: `sum` may pair terms differently for other shapes
            total += row
        # A last pixel whose kernel misses the source altogether keeps weight 0 everywhere: it is invalid anyway.
        weight /= np.where(total > 0, total, 1.0)
        return np.clip(index, 0, self.length - 1), weight

    def reach(self, start: int, stop: int) -> tuple[int, int]:
        """Source pixels ``[first, last)`` that output pixels ``[start, stop)`` draw on; at least one."""
        first = math.floor((start + 0.5) * self.ratio + self.offset - self.support - 0.5)
        last = math.ceil((stop - 0.5) * self.ratio + self.offset + self.support + 0.5)
        first = min(max(0, first), self.length - 1)
        return first, min(max(first + 1, last), self.length)

    def _centres(self, start: int, stop: int) -> npt.NDArray[np.float64]:
        """Source positions of the centres of output pixels."""
        return np.asarray((np.arange(start, stop) + 0.5) * self.ratio + self.offset, dtype=np.float64)


def axes(native: GeoBox, grid: GeoBox) -> tuple[AxisResampling, AxisResampling]:
    """(rows, columns) of the change from the file's grid to ``grid``.

    Raises:
        SceneError: if ``grid`` is more than a change of pixel size.
    """
    across, down = _steps(native)
    ratio_x, ratio_y = (new / old for new, old in zip(_steps(grid), (across, down), strict=True))
    expected = native.resampled(ratio_x=ratio_x, ratio_y=ratio_y).transform
    slack = 1e-6 * max(across, down)
    if any(abs(x - y) > slack for x, y in zip(expected, grid.transform, strict=True)):
        raise SceneError(f"the grid {grid.transform} is no change of pixel size of the file's {native.transform}")
    return AxisResampling(length=native.shape[0], ratio=ratio_y), AxisResampling(length=native.shape[1], ratio=ratio_x)


def _steps(box: GeoBox) -> tuple[float, float]:
    """Lengths of the steps to the next column and row, in the units of the CRS."""
    a, b, _, d, e, _ = box.transform
    return math.hypot(a, d), math.hypot(b, e)


def read_resampled(
    read: ReadWindow,
    window: Window,
    *,
    rows: AxisResampling,
    columns: AxisResampling,
    pixel_bytes: int,
    strip_bytes: int,
    nearest: bool,
) -> tuple[Pixels, Valid]:
    """A window of the output, strip by strip so that much larger source windows do not pile up.

    Args:
        read: gives pixels and validity of a window of the source.
        window: pixels of the output.
        rows: resampling of the row axis.
        columns: resampling of the column axis.
        pixel_bytes: of one source pixel, all bands.
        strip_bytes: most bytes of source pixels held at once.
        nearest: take the pixel under the centre (palette entries have no mean).
    """
    col_off, col_stop = columns.reach(window.col_off, window.col_stop)
    height = max(1, int(strip_bytes / ((col_stop - col_off) * pixel_bytes) / rows.ratio))
    strips = [
        _strip(
            read,
            Window.from_stops(
                row_off=top,
                row_stop=min(top + height, window.row_stop),
                col_off=window.col_off,
                col_stop=window.col_stop,
            ),
            rows=rows,
            columns=columns,
            nearest=nearest,
        )
        for top in range(window.row_off, window.row_stop, height)
    ]
    return np.concatenate([s[0] for s in strips], axis=1), np.concatenate([s[1] for s in strips], axis=0)


def _strip(
    read: ReadWindow, window: Window, *, rows: AxisResampling, columns: AxisResampling, nearest: bool
) -> tuple[Pixels, Valid]:
    row_off, row_stop = rows.reach(window.row_off, window.row_stop)
    col_off, col_stop = columns.reach(window.col_off, window.col_stop)
    pixels, valid = read(Window.from_stops(row_off=row_off, row_stop=row_stop, col_off=col_off, col_stop=col_stop))
    near_rows = rows.nearest(window.row_off, window.row_stop)
    near_columns = columns.nearest(window.col_off, window.col_stop)
    inside = _within(near_rows, rows.length)[:, None] & _within(near_columns, columns.length)
    take_rows = np.clip(near_rows, 0, rows.length - 1) - row_off
    take_columns = np.clip(near_columns, 0, columns.length - 1) - col_off
    # A pixel outside the source draws on no one's validity; its index is only kept within the array.
    take_rows, take_columns = np.clip(take_rows, 0, len(valid) - 1), np.clip(take_columns, 0, valid.shape[1] - 1)
    under_centre = valid[take_rows[:, None], take_columns] & inside
    if nearest:
        return pixels[:, take_rows[:, None], take_columns], under_centre
    row_index, row_weight = rows.taps(window.row_off, window.row_stop)
    column_index, column_weight = columns.taps(window.col_off, window.col_stop)
    return (
        bilinear(
            pixels,
            valid,
            rows=(np.clip(row_index - row_off, 0, valid.shape[0] - 1), row_weight),
            columns=(np.clip(column_index - col_off, 0, valid.shape[1] - 1), column_weight),
        ),
        under_centre,
    )


def _within(index: _Indices, length: int) -> Valid:
    return np.asarray((index >= 0) & (index < length))


def bilinear(
    pixels: Pixels, valid: Valid, *, rows: tuple[_Indices, _Float], columns: tuple[_Indices, _Float]
) -> Pixels:
    """(C, n, m) weighted means of the valid ones of (C, h, w) ``pixels``, in their dtype.

    Args:
        pixels: source, any real dtype; what invalid pixels hold changes nothing.
        valid: (h, w).
        rows: (taps, n) indices into ``pixels``' rows and weights.
        columns: (taps, m) indices into its columns and weights.
    """
    dtype = pixels.dtype
    working = np.float32 if np.can_cast(dtype, np.float32) else np.float64
    rows = rows[0], rows[1].astype(working)
    columns = columns[0], columns[1].astype(working)
    shape = (pixels.shape[0], rows[0].shape[1], columns[0].shape[1])
    everything = bool(valid.all())
    result = np.empty(shape, dtype=dtype)
    if not everything:
        pixels = np.where(valid, pixels, dtype.type(0))
        weight = _separable(valid, rows, columns)
        touched = (_separable(~valid, rows, columns) > 0) & (weight > 0)
        # Where no invalid pixel is near, nothing is divided: the same bytes as in a window without any.
        divisor = np.where(touched, weight, working(1))
    for band, out in zip(pixels, result, strict=True):
        values = _separable(band, rows, columns)
        if not everything:
            values /= divisor
        out[:] = to_dtype(values, dtype)
    return result


def _separable(band: Pixels, rows: tuple[_Indices, _Float], columns: tuple[_Indices, _Float]) -> _Float:
    """One (h, w) band, first along columns' direction (contiguous copies, and less is left for the second pass)."""
    working = rows[1].dtype
    vertical = np.zeros((rows[0].shape[1], band.shape[1]), dtype=working)
    for index, weight in zip(*rows, strict=True):
        if weight.any():
            vertical += np.multiply(band[index], weight[:, None], dtype=working)
    result = np.zeros((vertical.shape[0], columns[0].shape[1]), dtype=working)
    for index, weight in zip(*columns, strict=True):
        if weight.any():
            result += vertical[:, index] * weight
    return result


def to_dtype(values: _Float, dtype: np.dtype[Any]) -> Pixels:
    """Values rounded (half up, as GDAL does) and cut to a dtype."""
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    bounds = np.iinfo(dtype)
    whole: Pixels = np.clip(np.floor(values + 0.5), bounds.min, bounds.max).astype(dtype)
    return whole
