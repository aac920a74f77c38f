"""Prediction of an array that is in memory: the same lattice, stitch and segment code, without files or Dask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.choices import Stitch
from geoseg.errors import PlanError
from geoseg.geometry.lattice import make_lattice
from geoseg.geometry.tiles import TileGrid, make_tiles
from geoseg.inference.layers import Layers
from geoseg.inference.segment import segment_tile, stitch_tile
from geoseg.inference.stitch import Stitcher
from geoseg.models.runtime import Predictor

_TILE = 2048  # pixels a side of what is cut out and padded at once


def predict_pixels(
    pixels: npt.ArrayLike,
    predictor: Predictor,
    *,
    patch_size: int,
    overlap: int,
    stitch: Stitch,
    batch_size: int,
    exact: bool = False,
    return_logits: bool = False,
    ids: tuple[int, ...] | None = None,
) -> npt.NDArray[Any]:
    """Classes or logits of a whole array; see :func:`geoseg.predict_array`.

    Raises:
        PlanError: if the array is no (C, H, W) of real numbers, or the sizes cannot be met.
    """
    array = np.asarray(pixels)
    if array.ndim != 3 or 0 in array.shape or array.dtype.kind not in "buif":
        raise PlanError(f"pixels must be (C, H, W) of real numbers, H and W >= 1, not {array.dtype} {array.shape}")
    if overlap < 0 or batch_size < 1:
        raise PlanError(f"overlap {overlap} and batch size {batch_size}: use an overlap >= 0 and a batch size >= 1")
    lattice = make_lattice(
        (array.shape[1], array.shape[2]),
        context=patch_size,
        halo=-(-overlap // 2),
        multiple=predictor.multiple,
        exact=exact,
    )
    # One tile where patches are blended: they are never computed twice, and the sums roll down the scene.
    cells = (lattice.rows.count, lattice.cols.count)
    if return_logits:
        return _logits(array, predictor, TileGrid(lattice=lattice, stitch=stitch, cells=cells), batch_size)
    grid = (
        make_tiles(lattice, stitch=stitch, tile=_TILE)
        if stitch == "crop"
        else TileGrid(lattice=lattice, stitch=stitch, cells=cells)
    )
    classes = np.empty(lattice.shape, np.uint8)
    for tile in grid:
        rows, cols = slice(tile.read.row_off, tile.read.row_stop), slice(tile.read.col_off, tile.read.col_stop)
        part = array[:, rows, cols]
        valid = np.ones(part.shape[1:], np.bool_)
        result = segment_tile(part, valid, grid=grid, tile=tile, predictor=predictor, ids=ids, batch_size=batch_size)
        classes[tile.core.row_off : tile.core.row_stop, tile.core.col_off : tile.core.col_stop] = result.classes
    return classes


def _logits(array: npt.NDArray[Any], predictor: Predictor, grid: TileGrid, batch_size: int) -> npt.NDArray[np.float32]:
    """Stitched logits (K, H, W) of the whole array, as one tile."""
    (tile,) = grid
    stitcher = Stitcher(grid, tile, layers=Layers(), keep_logits=True)
    valid = np.ones(array.shape[1:], np.bool_)
    stitch_tile(array, valid, grid=grid, tile=tile, predictor=predictor, stitcher=stitcher, batch_size=batch_size)
    return stitcher.stitched_logits()
