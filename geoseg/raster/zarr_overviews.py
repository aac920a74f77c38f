"""The pyramid of a class map: each level the mode of 2 x 2 pixels of the one below.

Level by level, so that a level is written in whole shards whatever the tiles of the map were, and window by window, so
that memory is bounded: a thread holds four shards of the level below.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from geoseg.geometry.geobox import IDENTITY, GeoBox
from geoseg.geometry.windows import Window
from geoseg.legend import IGNORE, Legend
from geoseg.raster import zarr_layout

MULTISCALES = "multiscales"
"""Root attribute that lists the levels; written when all of them are."""

_SMALLEST = 512
"""Both sides of the last level are at most this."""

_SHARD = 2048
"""About the side of an overview's shard in pixels."""

_STRIP = 64
"""Rows of the result that are worked on at once, so that their few arrays stay in the processor's cache."""


def level_path(factor: int) -> str:
    """Path in the group of the level whose pixels are ``factor`` times as wide; 1 is the map itself."""
    return "classes" if factor == 1 else f"overviews/{factor}/classes"


def factors(shape: tuple[int, int]) -> tuple[int, ...]:
    """Factors of all overviews of a map of ``shape`` (height, width): 2, 4, … until both sides are at most 512."""
    found, factor = [], 1
    while max(shape) > _SMALLEST * factor:
        factor *= 2
        found.append(factor)
    return tuple(found)


def level_geobox(geobox: GeoBox, factor: int) -> GeoBox:
    """The grid of a level: same corner, larger pixels, sizes rounded up; GCPs move with their pixels, RPCs cannot."""
    if factor == 1:
        return geobox
    a, b, c, d, e, f = geobox.transform
    return replace(
        geobox,
        shape=(-(-geobox.shape[0] // factor), -(-geobox.shape[1] // factor)),
        transform=IDENTITY if geobox.transform == IDENTITY else (a * factor, b * factor, c, d * factor, e * factor, f),
        gcps=tuple(replace(p, row=p.row / factor, col=p.col / factor) for p in geobox.gcps),
        rpcs=(),
    )


def build(
    group: zarr.Group,
    *,
    geobox: GeoBox,
    chunk: tuple[int, int],
    legend: Legend,
    threads: int,
    begun: frozenset[Window] | None = None,
) -> None:
    """Write every level of the pyramid of ``group``'s ``classes``, then the list of them.

    Args:
        group: root of the store, all of its classes written.
        geobox: the grid of ``classes``.
        chunk: (height, width) of the chunks.
        legend: the classes.
        threads: levels are written one after the other, each by this many threads.
        begun: windows of the first level that are written since ``lay_out``; None: not even that was done.
    """
    if begun is None:
        lay_out(group, geobox=geobox, chunk=chunk, legend=legend)
        begun = frozenset()
    for factor in factors(geobox.shape):
        level = Level(group, factor, shape=geobox.shape, chunk=chunk)
        there = begun if factor == 2 else frozenset()
        with ThreadPoolExecutor(threads, thread_name_prefix="geoseg-overviews") as pool:
            for _ in pool.map(level.fill, (window for window in level.windows() if window not in there)):
                pass
    levels = [{"path": level_path(factor), "factor": factor} for factor in (1, *factors(geobox.shape))]
    group.update_attributes({MULTISCALES: [{"name": "classes", "type": "mode", "datasets": levels}]})


def forget(group: zarr.Group) -> None:
    """Delete the list of levels, which is proof that they are whole."""
    if MULTISCALES in group.attrs:
        del group.attrs[MULTISCALES]


def lay_out(group: zarr.Group, *, geobox: GeoBox, chunk: tuple[int, int], legend: Legend) -> None:
    """Add every level, empty; what there is of a pyramid is deleted."""
    forget(group)
    del group["overviews"]  # without asking whether it is there: one that was half deleted is not, for zarr
    zarr_format = group.metadata.zarr_format
    for factor in factors(geobox.shape):
        home, grid = group.create_group(f"overviews/{factor}"), level_geobox(geobox, factor)
        placed = zarr_layout.map_attributes(grid, zarr_format=zarr_format)
        attributes = {**placed, **zarr_layout.legend_attributes(legend)}
        zarr_layout.add_map(home, "classes", shape=grid.shape, chunk=chunk, shard=_shard(chunk), attributes=attributes)
        zarr_layout.add_coordinates(home, grid)


def _shard(chunk: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a level's shards: whole chunks."""
    return chunk[0] * max(1, _SHARD // chunk[0]), chunk[1] * max(1, _SHARD // chunk[1])


class Level:
    """A level that was laid out, or will be, and the one below it.

    Args:
        group: root of the store.
        factor: of the level.
        shape: (height, width) of the map.
        chunk: (height, width) of the chunks.
    """

    def __init__(self, group: zarr.Group, factor: int, *, shape: tuple[int, int], chunk: tuple[int, int]) -> None:
        self._group, self.factor = group, factor
        self._shape = -(-shape[0] // factor), -(-shape[1] // factor)
        self._shard = _shard(chunk)

    def windows(self) -> Iterator[Window]:
        """What is written at once: whole shards."""
        height, width = self._shape
        return self.reading(slice(0, 2 * height), slice(0, 2 * width))

    def reading(self, rows: slice, cols: slice) -> Iterator[Window]:
        """The windows that are made of some of these rows and columns of the level below."""
        (high, wide), (height, width) = self._shard, self._shape
        for row in range(rows.start // (2 * high) * high, min(height, -(-rows.stop // 2)), high):
            for col in range(cols.start // (2 * wide) * wide, min(width, -(-cols.stop // 2)), wide):
                yield Window(row_off=row, col_off=col, height=min(high, height - row), width=min(wide, width - col))

    @staticmethod
    def source(window: Window) -> tuple[slice, slice]:
        """Rows and columns of the level below that a window is made of; they may reach beyond its edge."""
        return slice(2 * window.row_off, 2 * window.row_stop), slice(2 * window.col_off, 2 * window.col_stop)

    def fill(self, window: Window) -> None:
        """Write a window, from the level below."""
        below, level = self._arrays
        source = np.asarray(below[self.source(window)], dtype=np.uint8)
        level[window.row_off : window.row_stop, window.col_off : window.col_stop] = mode_2x2(source)

    @cached_property
    def _arrays(self) -> tuple[Any, Any]:
        """The level below, and this one."""
        below, level = (zarr_layout.get_array(self._group, level_path(f)) for f in (self.factor // 2, self.factor))
        return below, level


def mode_2x2(classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The most frequent value of each 2 x 2 pixels.

    255 does not count: a result is 255 only where all four are. Of values that are equally frequent the one that
    comes first in reading order wins. Beyond an odd edge lies 255.

    Args:
        classes: uint8 (height, width).

    Returns:
        uint8 (ceil(height / 2), ceil(width / 2)).
    """
    height, width = classes.shape
    result = np.empty((-(-height // 2), -(-width // 2)), np.uint8)
    for start in range(0, result.shape[0], _STRIP):
        stop = min(start + _STRIP, result.shape[0])
        result[start:stop] = _mode(*_quarters(classes[2 * start : 2 * stop]))
    return result


def _quarters(strip: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    """The four pixels of each 2 x 2 in reading order, as four contiguous arrays."""
    height, width = strip.shape
    if height % 2 or width % 2:
        strip = np.pad(strip, ((0, height % 2), (0, width % 2)), constant_values=IGNORE)
    for row, col in ((0, 0), (0, 1), (1, 0), (1, 1)):
        yield np.ascontiguousarray(strip[row::2, col::2])


def _mode(
    a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8], c: npt.NDArray[np.uint8], d: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """The rule of ``mode_2x2`` for pixels a b / c d, by whole arrays."""
    # Unless a has an equal, the mode is b if that has one, else c or d where these are equal, else a.
    later = np.where((b == c) | (b == d), b, np.where(c == d, c, a))
    mode = np.where((a == b) | (a == c) | (a == d), a, later)
    empty = mode == IGNORE
    if empty.any():
        # At most two of the rest are data, or all differ: the first that is data has as many as any.
        first = np.where(a != IGNORE, a, np.where(b != IGNORE, b, np.where(c != IGNORE, c, d)))
        mode = np.where(empty, first, mode)
    return mode
