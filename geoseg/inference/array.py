"""Prediction of an array that is in memory: the same lattice, stitch and segment code, without files or Dask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.choices import Stitch
from geoseg.contexts.candidates import SizeRule
from geoseg.errors import PlanError
from geoseg.geometry.lattice import Lattice
from geoseg.geometry.tiles import make_tiles, tile_over
from geoseg.geometry.windows import Window
from geoseg.inference.arrays import Array, to_host
from geoseg.inference.passes import ContextPass, Passes, fit_lattice
from geoseg.inference.segment import Engine, TilePixels, segment_tile
from geoseg.inference.stitch import Stitcher
from geoseg.models.runtimes.base import Predictor

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
    rule: SizeRule | None = None,
) -> npt.NDArray[Any]:
    """Classes or logits of a whole array; see :func:`geoseg.predict_array`.

    ``rule`` says which patch sides the network takes; None: multiples of the predictor's.

    Raises:
        PlanError: if the array is no (C, H, W) of real numbers, or the sizes cannot be met.
    """
    array = np.asarray(pixels)
    if array.ndim != 3 or 0 in array.shape or array.dtype.kind not in "buif":
        raise PlanError(f"pixels must be (C, H, W) of real numbers, H and W >= 1, not {array.dtype} {array.shape}")
    if overlap < 0 or batch_size < 1:
        raise PlanError(f"overlap {overlap} and batch size {batch_size}: use an overlap >= 0 and a batch size >= 1")
    lattice = fit_lattice(
        (array.shape[1], array.shape[2]),
        context=patch_size,
        halo=-(-overlap // 2),
        rule=SizeRule(multiple=predictor.multiple) if rule is None else rule,
        exact=exact,
    )
    engine = Engine(predictor=predictor)
    if return_logits:
        return _logits(array, engine, lattice, stitch=stitch, batch_size=batch_size)
    passes = Passes(contexts=(ContextPass(size=patch_size, lattice=lattice, batch_size=batch_size),), stitch=stitch)
    # One tile where patches are blended: they are never computed twice, and the sums roll down the scene.
    side = _TILE if stitch == "crop" else max(lattice.shape)
    classes = np.empty(lattice.shape, np.uint8)
    for tile in make_tiles(lattice, stitch=stitch, tile=side):
        source = _cut(array, passes.read(tile.core))
        result = segment_tile(source, tile.core, passes=passes, engine=engine, ids=ids)
        classes[tile.core.row_off : tile.core.row_stop, tile.core.col_off : tile.core.col_stop] = result.classes
    return classes


def _cut(array: npt.NDArray[Any], window: Window) -> TilePixels:
    """A window of the array, all of it data."""
    part = array[:, window.row_off : window.row_stop, window.col_off : window.col_stop]
    return TilePixels(pixels=part, valid=np.ones(part.shape[1:], np.bool_), window=window)


def _logits(
    array: npt.NDArray[Any], engine: Engine, lattice: Lattice, *, stitch: Stitch, batch_size: int
) -> npt.NDArray[np.float32]:
    """Stitched logits (K, H, W) of the whole array, as one tile."""
    found: list[npt.NDArray[np.float32]] = []

    def keep(logits: Array, rows: slice, cols: slice) -> None:
        if not found:
            found.append(np.empty((logits.shape[0], *lattice.shape), np.float32))
        found[0][:, rows, cols] = to_host(logits)

    tile = tile_over(lattice, Window.whole(lattice.shape), stitch=stitch)
    stitcher = Stitcher(lattice, tile, stitch=stitch, sink=keep)
    patches = ((i, j) for i in tile.patch_rows for j in tile.patch_cols)
    source = _cut(array, tile.read)
    engine.run(patches, source, tile, lattice=lattice, stitcher=stitcher, batch_size=batch_size)
    return found[0]
