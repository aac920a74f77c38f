"""A stratified random sample of the pixels of a class map, drawn window by window in bounded memory.

Two passes: the first counts each class in each window, the second reads the windows that hold a drawn pixel. A pixel
is drawn by its number among those of its class, so every pixel of a class is equally likely, without replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geoseg.evaluation.compare import ReadWindow
from geoseg.geometry.windows import Window, split
from geoseg.legend import IGNORE

WINDOW = 2048
"""Side of the windows. Part of what a seed means: pixels are numbered window by window."""

RowAreas = Callable[[Window], npt.NDArray[np.float64]]
"""Ground area of a pixel in each row of a window: (height,), square metres."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tally:
    """Which classes stand where."""

    windows: tuple[Window, ...]
    found: tuple[dict[int, int], ...]
    """Of each window: class id -> pixels."""
    areas: dict[int, float] | None
    """Class id -> square metres; None if pixels have no area."""

    @property
    def pixels(self) -> dict[int, int]:
        """Class id -> pixels, ascending by id."""
        total: dict[int, int] = {}
        for counts in self.found:
            for class_id, count in counts.items():
                total[class_id] = total.get(class_id, 0) + count
        return dict(sorted(total.items()))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnPixels:
    """Drawn pixels, in random order: the first so many are a sample themselves."""

    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]
    """Class of the map."""


def tally(read: ReadWindow, shape: tuple[int, int], *, row_areas: RowAreas | None, threads: int = 2) -> Tally:
    """Counts the classes of a map (255 is none).

    Args:
        read: reads the classes of a window; called from several threads.
        shape: (height, width) of the map.
        row_areas: area of the pixels; None if they have none.
        threads: windows read at once.
    """
    windows = tuple(split(shape, size=(WINDOW, WINDOW)))

    def count(window: Window) -> tuple[dict[int, int], npt.NDArray[np.float64]]:
        ids = read(window)
        counts = np.bincount(ids.ravel(), minlength=256)
        counts[IGNORE] = 0
        known = {int(i): int(counts[i]) for i in np.flatnonzero(counts)}
        if row_areas is None:
            return known, np.zeros(256)
        ground = np.repeat(row_areas(window), window.width)
        return known, np.asarray(np.bincount(ids.ravel(), weights=ground, minlength=256), np.float64)

    found, areas = [], np.zeros(256)
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="tally")
    try:
        for counts, ground in pool.map(count, windows):
            found.append(counts)
            areas += ground
    finally:
        pool.shutdown(cancel_futures=True)  # a failure or Ctrl-C must not wait for the windows that are left
    known = sorted({i for counts in found for i in counts})
    return Tally(
        windows=windows,
        found=tuple(found),
        areas=None if row_areas is None else {i: float(areas[i]) for i in known},
    )


def draw(read: ReadWindow, tallied: Tally, wanted: Mapping[int, int], *, seed: int) -> DrawnPixels:
    """Draws pixels of each class without replacement.

    Args:
        read: as in ``tally``.
        tallied: of the same map.
        wanted: class id -> how many; at most as many as there are.
        seed: the same seed and map give the same pixels in the same order.

    Raises:
        ValueError: if more are wanted than there are.
    """
    numbers: dict[int, dict[int, npt.NDArray[np.int64]]] = {}  # window -> class -> numbers among the window's own
    for class_id, count in wanted.items():
        held = [(w, counts[class_id]) for w, counts in enumerate(tallied.found) if class_id in counts]
        stops = np.cumsum([n for _, n in held], dtype=np.int64)
        if count > (stops[-1] if held else 0):
            raise ValueError(f"{count} pixels of class {class_id} are wanted, there are {stops[-1] if held else 0}")
        if count == 0:
            continue
        drawn = np.random.default_rng([seed, class_id]).choice(int(stops[-1]), count, replace=False)
        drawn.sort()
        place = np.searchsorted(stops, drawn, side="right")
        for k in np.unique(place):
            first = int(stops[k]) - held[k][1]
            numbers.setdefault(held[k][0], {})[class_id] = drawn[place == k] - first
    rows, cols, classes = [], [], []
    for w in sorted(numbers):
        window = tallied.windows[w]
        flat = read(window).ravel()
        for class_id, among in numbers[w].items():
            at = np.flatnonzero(flat == class_id)[among]
            rows.append(at // window.width + window.row_off)
            cols.append(at % window.width + window.col_off)
            classes.append(np.full(at.size, class_id, np.int64))
    order = np.random.default_rng(seed).permutation(sum(len(part) for part in rows))
    joined = (np.concatenate(parts)[order] if parts else np.zeros(0, np.int64) for parts in (rows, cols, classes))
    return DrawnPixels(**dict(zip(("rows", "cols", "classes"), joined, strict=True)))
