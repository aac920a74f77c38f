"""Class maps that are hard on polygons, and the judge: GDAL over the whole array."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio.features
import shapely

from geoseg.geometry.windows import Window
from geoseg.polygons.chains import Vertices
from geoseg.polygons.flow import polygonise
from geoseg.polygons.regions import Regions
from geoseg.polygons.shapes import polygons_of

Ids = npt.NDArray[np.uint8]


def read_from(classes: Ids, window: Window) -> Ids:
    """A window of an array, 255 beyond it."""
    padded = np.pad(classes, 1, constant_values=255)
    return padded[window.row_off + 1 : window.row_stop + 1, window.col_off + 1 : window.col_stop + 1]


def traced(
    classes: Ids, tile: int, *, vertices: Vertices | None = None, confidence: Ids | None = None, threads: int = 2
) -> Regions:
    """All regions of an array, tile by tile."""
    with ThreadPoolExecutor(threads) as pool:
        found = polygonise(
            lambda w: read_from(classes, w.grown(1)),
            shape=(classes.shape[0], classes.shape[1]),
            tile=tile,
            pool=pool,
            vertices=vertices,
            confidence=None if confidence is None else lambda w: read_from(confidence, w),
        )
        return Regions.concatenate(list(found))


def shapes(regions: Regions) -> Any:
    """Polygons in pixels."""
    return polygons_of(regions, lambda corners: corners.astype(np.float64))


def judged(classes: Ids) -> tuple[list[int], Any]:
    """Class ids and polygons of the whole array, by GDAL."""
    found = list(rasterio.features.shapes(classes, mask=classes != 255, connectivity=4))
    return [int(value) for _, value in found], np.array([shapely.geometry.shape(g) for g, _ in found], object)


def named(ids: list[int], polygons: Any) -> list[tuple[int, bytes]]:
    """Polygons in a form and an order that does not depend on where rings begin."""
    return sorted(zip(ids, (p.wkb for p in shapely.normalize(polygons)), strict=True))


def patterns() -> Iterator[tuple[str, Ids]]:
    """Maps with long borders, many corners, and holes in holes."""
    row, col = np.mgrid[:19, :23]
    yield "stripes", (row % 2).astype(np.uint8)
    yield "columns", (col % 2).astype(np.uint8)
    yield "checkerboard", ((row + col) % 2).astype(np.uint8)
    yield "diagonals", ((row + col) // 2 % 3).astype(np.uint8)
    yield "rings", (np.minimum(np.minimum(row, 18 - row), np.minimum(col, 22 - col)) % 2).astype(np.uint8)
    yield "spiral", spiral(21)
    comb = np.zeros((19, 23), np.uint8)
    comb[1:-1, 1::2] = 1
    comb[-2, 1:-1] = 1
    yield "comb", comb
    touching = np.ones((9, 9), np.uint8)
    touching[[2, 3, 4, 5], [2, 3, 4, 5]] = 0  # holes that touch at corners, and one that touches the rim's corner
    touching[0, 8] = touching[1, 7] = 255
    yield "holes that touch", touching
    grid = np.zeros((19, 23), np.uint8)
    grid[::4, :] = grid[:, ::5] = 1
    grid[6, 7] = 2
    yield "grid with islands", grid
    yield "nothing", np.full((5, 7), 255, np.uint8)
    yield "one class", np.zeros((6, 5), np.uint8)


def spiral(side: int) -> Ids:
    """Two arms that wind into each other."""
    out = np.zeros((side, side), np.uint8)
    r, c, dr, dc = 0, 0, 0, 1
    while True:
        out[r, c] = 1
        two = (r + 2 * dr, c + 2 * dc)
        ahead = (r + dr, c + dc)
        if not (0 <= ahead[0] < side and 0 <= ahead[1] < side) or (
            0 <= two[0] < side and 0 <= two[1] < side and out[two] == 1
        ):
            dr, dc = dc, -dr
            ahead = (r + dr, c + dc)
            two = (r + 2 * dr, c + 2 * dc)
            if out[ahead] or (0 <= two[0] < side and 0 <= two[1] < side and out[two]):
                return out
        r, c = ahead


def smooth(side: int, *, seed: int, classes: int = 5, noise: float = 0.01) -> Ids:
    """A map like a network's: patches with ragged borders, stray pixels, nodata at a corner."""
    rng = np.random.default_rng(seed)
    fields = []
    for _ in range(classes):
        coarse = rng.standard_normal((side // 12 + 3, side // 12 + 3))
        grown = coarse.repeat(12, axis=0).repeat(12, axis=1)
        kernel = np.ones(17) / 17
        for axis in (0, 1):
            grown = np.apply_along_axis(np.convolve, axis, grown, kernel, mode="same")
        fields.append(grown[:side, :side])
    out = np.argmax(fields, axis=0).astype(np.uint8)
    stray = rng.random(out.shape) < noise
    out[stray] = rng.integers(0, classes, int(stray.sum()))
    row, col = np.mgrid[:side, :side]
    out[row + 2 * col < side // 3] = 255
    return out
