"""One patch out of a scene: read, normalised, turned and zoomed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from geoseg.geometry.windows import Window
from geoseg.legend import IGNORE
from geoseg.training.augment import Floats, Placement, oriented
from geoseg.training.scenes import LabelledScene, Labels

Normalise = Callable[[npt.NDArray[np.generic], npt.NDArray[np.bool_]], Floats]
"""Stored pixels (C, h, w) and validity (h, w) to network input."""


def cut_patch(
    scene: LabelledScene,
    *,
    centre: tuple[float, float],
    placement: Placement,
    size: int,
    normalise: Normalise,
) -> tuple[Floats, npt.NDArray[np.bool_], Labels]:
    """One patch: pixels bilinear, labels and validity nearest; pushed inside the scene, reflected where it cannot be.

    Returns:
        Pixels (C, size, size), valid (size, size), labels (size, size): 255 where invalid or beyond the scene.
    """
    reach = placement.reach(size)
    offsets = [_pushed(c, reach=reach, length=n) for c, n in zip(centre, scene.shape, strict=True)]
    height, width = scene.shape
    window = Window.from_stops(
        row_off=max(0, offsets[0]),
        col_off=max(0, offsets[1]),
        row_stop=min(height, offsets[0] + reach),
        col_stop=min(width, offsets[1] + reach),
    )
    stored, valid = scene.read(window)
    pixels = normalise(stored, valid)
    labels = np.where(valid, scene.labels[window.row_off : window.row_stop, window.col_off : window.col_stop], IGNORE)
    if not (placement.is_exact and window.shape == (size, size)):
        rows, cols = placement.grid(size)
        rows += offsets[0] - window.row_off + (reach - 1) / 2
        cols += offsets[1] - window.col_off + (reach - 1) / 2
        pixels, valid, labels = _resampled(pixels, valid, labels.astype(np.uint8), rows=rows, cols=cols)
    turned = (np.ascontiguousarray(oriented(a, placement)) for a in (pixels, valid, labels))
    return tuple(turned)  # type: ignore[return-value]


def _resampled(
    pixels: Floats,
    valid: npt.NDArray[np.bool_],
    labels: Labels,
    *,
    rows: npt.NDArray[np.float64],
    cols: npt.NDArray[np.float64],
) -> tuple[Floats, npt.NDArray[np.bool_], Labels]:
    """The window's arrays at fractional positions (in the window); positions beyond it are reflected, label 255."""
    height, width = labels.shape
    near_rows, near_cols = np.rint(rows).astype(np.intp), np.rint(cols).astype(np.intp)
    inside = (near_rows >= 0) & (near_rows < height) & (near_cols >= 0) & (near_cols < width)
    flat = _reflect(near_rows, height) * width + _reflect(near_cols, width)
    top, left = np.floor(rows).astype(np.intp), np.floor(cols).astype(np.intp)
    down, right = (rows - top).astype(np.float32)[..., None], (cols - left).astype(np.float32)[..., None]
    r0, r1 = _reflect(top, height) * width, _reflect(top + 1, height) * width
    c0, c1 = _reflect(left, width), _reflect(left + 1, width)
    values = np.ascontiguousarray(pixels.transpose(1, 2, 0)).reshape(height * width, -1)  # one gather for all bands
    upper = np.take(values, r0 + c0, axis=0)
    upper += (np.take(values, r0 + c1, axis=0) - upper) * right
    lower = np.take(values, r1 + c0, axis=0)
    lower += (np.take(values, r1 + c1, axis=0) - lower) * right
    upper += (lower - upper) * down
    return (
        np.ascontiguousarray(upper.transpose(2, 0, 1)),
        valid.ravel()[flat],
        np.where(inside, labels.ravel()[flat], np.uint8(IGNORE)),
    )


def _reflect(index: npt.NDArray[np.intp], length: int) -> npt.NDArray[np.intp]:
    """Indices beyond [0, length) mirrored back about the edge pixels, as NumPy's ``reflect`` does, however far."""
    if index.min() >= 0 and index.max() < length:
        return index
    if length == 1:
        return np.zeros_like(index)
    period = 2 * (length - 1)
    folded = np.abs(index) % period
    mirrored: npt.NDArray[np.intp] = np.minimum(folded, period - folded)
    return mirrored


def _pushed(centre: float, *, reach: int, length: int) -> int:
    """First pixel of an interval of ``reach`` about ``centre`` inside [0, length); centred on it if it cannot fit."""
    if reach >= length:
        return (length - reach) // 2
    return min(max(round(centre - reach / 2), 0), length - reach)
