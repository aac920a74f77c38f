"""One pass over a class map: counts, ground areas, confidences, and small maps of the layers that have no overviews.

Window by window, so that memory does not grow with the map: a thread holds one window of each layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.geometry.windows import SharedWindows, Window, split
from geoseg.legend import IGNORE

Bytes = npt.NDArray[np.uint8]
ReadWindow = Callable[[Window], Bytes]
"""uint8 (height, width) of a window, 255 where there is nothing. Called from several threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """How the layers of a map are read; None where there is none."""

    classes: ReadWindow
    confidence: ReadWindow | None = None
    """Percent."""
    context: ReadWindow | None = None
    """A bit for each context."""
    truth: ReadWindow | None = None
    """The reference's class ids on the map's grid."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survey:
    """What a map holds; small maps are uint8 (height, width) on the overview's grid, 255 where there is nothing."""

    pixels: dict[int, int]
    """Class id -> pixels; of those that occur."""
    empty: int
    """Pixels without a class."""
    areas: dict[int, float] | None
    """Class id -> square metres; None where pixels have no area."""
    confidence: npt.NDArray[np.int64] | None
    """(256, 101): pixels of each class by percent."""
    small_confidence: Bytes | None
    """Mean percent."""
    small_context: Bytes | None
    """The bits of one pixel of each."""
    small_errors: Bytes | None
    """Percent of the scored pixels that are wrong."""


def survey(
    layers: Layers,
    shape: tuple[int, int],
    *,
    factor: int,
    row_areas: Callable[[Window], npt.NDArray[np.float64]] | None,
    threads: int = 2,
    window: int = 2048,
) -> Survey:
    """Looks at every pixel of a map once.

    Args:
        layers: what is read.
        shape: (height, width) of the map.
        factor: side of a small pixel in pixels of the map.
        row_areas: square metres of a pixel in each row of a window; None if pixels have no area.
        threads: windows that are read at once.
        window: side of the windows, pixels; rounded up to whole small pixels.
    """
    totals = [_Total(layers, shape, factor=factor, row_areas=row_areas) for _ in range(threads)]
    small = _Small(layers, shape, factor=factor)
    side = math.ceil(window / factor) * factor
    windows = SharedWindows(split(shape, size=(side, side)))

    def work(total: _Total) -> None:
        for part in windows:
            total.add(part, small)

    with ThreadPoolExecutor(threads, thread_name_prefix="geoseg-survey") as pool:
        try:
            for _ in pool.map(work, totals):
                pass
        finally:
            windows.stop()
    return _sum(totals, small)


class _Small:
    """The small maps, which threads fill in different places."""

    def __init__(self, layers: Layers, shape: tuple[int, int], *, factor: int) -> None:
        size = -(-shape[0] // factor), -(-shape[1] // factor)

        def empty(wanted: object) -> Bytes | None:
            return None if wanted is None else np.full(size, IGNORE, np.uint8)

        self.confidence, self.context = empty(layers.confidence), empty(layers.context)
        self.errors = empty(layers.truth)


class _Total:
    """What one thread has counted."""

    def __init__(
        self,
        layers: Layers,
        shape: tuple[int, int],
        *,
        factor: int,
        row_areas: Callable[[Window], npt.NDArray[np.float64]] | None,
    ) -> None:
        self._layers, self._shape, self._factor, self._row_areas = layers, shape, factor, row_areas
        self.pixels = np.zeros(256, np.int64)
        self.areas = None if row_areas is None else np.zeros(256)
        self.confidence = None if layers.confidence is None else np.zeros((256, 256), np.int64)

    def add(self, window: Window, small: _Small) -> None:
        """Counts a window, and fills its part of the small maps."""
        layers, factor = self._layers, self._factor
        classes = layers.classes(window)
        place = (
            slice(window.row_off // factor, -(-window.row_stop // factor)),
            slice(window.col_off // factor, -(-window.col_stop // factor)),
        )
        self.pixels += np.bincount(classes.ravel(), minlength=256)
        if self._row_areas is not None and self.areas is not None:
            ground = np.repeat(self._row_areas(window), window.width)
            self.areas += np.bincount(classes.ravel(), weights=ground, minlength=256)
        if layers.confidence is not None and self.confidence is not None and small.confidence is not None:
            percent = layers.confidence(window)
            pairs = classes.astype(np.uint16) * 256 + percent
            self.confidence += np.bincount(pairs.ravel(), minlength=65536).reshape(256, 256)
            small.confidence[place] = block_mean(percent, percent != IGNORE, factor=factor)
        if layers.context is not None and small.context is not None:
            small.context[place] = layers.context(window)[::factor, ::factor]
        if layers.truth is not None and small.errors is not None:
            truth = layers.truth(window)
            wrong = np.where(truth == classes, np.uint8(0), np.uint8(100))
            scored = (truth != IGNORE) & (classes != IGNORE)
            small.errors[place] = block_mean(wrong, scored, factor=factor)


def block_mean(values: Bytes, valid: npt.NDArray[np.bool_], *, factor: int) -> Bytes:
    """The mean of the valid values of each ``factor`` x ``factor`` pixels, rounded; 255 where none is valid.

    Args:
        values: uint8 (height, width).
        valid: bool (height, width).
        factor: side of a block; those at the right and bottom may be smaller.

    Returns:
        uint8 (ceil(height / factor), ceil(width / factor)).
    """
    rows, cols = (np.arange(0, length, factor) for length in values.shape)

    def total(array: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        return np.add.reduceat(np.add.reduceat(array, rows, axis=0), cols, axis=1)

    counts = total(valid.astype(np.uint32))
    sums = total(np.where(valid, values, 0).astype(np.uint32))
    means = np.rint(sums / np.maximum(counts, 1))
    return np.where(counts > 0, means, IGNORE).astype(np.uint8)


def _sum(totals: list[_Total], small: _Small) -> Survey:
    pixels = np.sum([t.pixels for t in totals], axis=0)
    found = [int(i) for i in np.flatnonzero(pixels) if i != IGNORE]
    areas = _added([t.areas for t in totals])
    if areas is not None and not np.isfinite(areas[found]).all():
        areas = None  # a part of the grid lies beyond the edge of its projection
    confidence = _added([t.confidence for t in totals])
    return Survey(
        pixels={i: int(pixels[i]) for i in found},
        empty=int(pixels[IGNORE]),
        areas=None if areas is None else {i: float(areas[i]) for i in found},
        confidence=None if confidence is None else confidence[:, :101].astype(np.int64),
        small_confidence=small.confidence,
        small_context=small.context,
        small_errors=small.errors,
    )


def _added(parts: Sequence[npt.NDArray[Any] | None]) -> npt.NDArray[Any] | None:
    """The sum of what the threads counted; None if they did not."""
    found = [part for part in parts if part is not None]
    return np.sum(found, axis=0) if found else None
