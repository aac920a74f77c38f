"""The pyramid of a class map: each level the mode of 2 x 2 pixels of the one below.

Level by level, so that a level is written in whole shards whatever the tiles of the map were, and window by window, so
that memory is bounded: a thread holds four shards of the level below.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import zarr

from geoseg.geometry.geobox import IDENTITY, GeoBox
from geoseg.geometry.windows import Window, split
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


def build(group: zarr.Group, *, geobox: GeoBox, chunk: tuple[int, int], legend: Legend, threads: int) -> None:
    """Write every level of the pyramid of ``group``'s ``classes``, then the list of them.

    Args:
        group: root of the store, all of its classes written.
        geobox: the grid of ``classes``.
        chunk: (height, width) of the chunks.
        legend: the classes.
        threads: levels are written one after the other, each by this many threads.
    """
    if MULTISCALES in group.attrs:
        del group.attrs[MULTISCALES]  # first: a list is proof that its levels are whole
    if "overviews" in group:
        del group["overviews"]
    levels = [{"path": level_path(1), "factor": 1}]
    for factor in factors(geobox.shape):
        _build_level(
            group, factor=factor, geobox=level_geobox(geobox, factor), chunk=chunk, legend=legend, threads=threads
        )
        levels.append({"path": level_path(factor), "factor": factor})
    group.update_attributes({MULTISCALES: [{"name": "classes", "type": "mode", "datasets": levels}]})


def _build_level(
    group: zarr.Group, *, factor: int, geobox: GeoBox, chunk: tuple[int, int], legend: Legend, threads: int
) -> None:
    below = zarr_layout.get_array(group, level_path(factor // 2))
    home = group.create_group(f"overviews/{factor}")
    shard = (chunk[0] * max(1, _SHARD // chunk[0]), chunk[1] * max(1, _SHARD // chunk[1]))
    placed = zarr_layout.map_attributes(geobox, zarr_format=group.metadata.zarr_format)
    attributes = {**placed, **zarr_layout.legend_attributes(legend)}
    zarr_layout.add_map(home, "classes", shape=geobox.shape, chunk=chunk, shard=shard, attributes=attributes)
    zarr_layout.add_coordinates(home, geobox)
    level = zarr_layout.get_array(home, "classes")

    def work(window: Window) -> None:
        rows, cols = slice(window.row_off, window.row_stop), slice(window.col_off, window.col_stop)
        source = below[2 * rows.start : 2 * rows.stop, 2 * cols.start : 2 * cols.stop]
        level[rows, cols] = mode_2x2(np.asarray(source, dtype=np.uint8))

    with ThreadPoolExecutor(threads, thread_name_prefix="geoseg-overviews") as pool:
        for _ in pool.map(work, split(geobox.shape, size=shard)):
            pass


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
