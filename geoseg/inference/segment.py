"""One tile: stored pixels in, classes out. Plain arrays and a predictor; no raster, no Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from geoseg.geometry.tiles import Tile, TileGrid
from geoseg.inference.layers import Layers
from geoseg.inference.stitch import Stitcher, TileResult
from geoseg.models.runtime import Predictor


def reflect_rim(
    pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_], *, height: int, width: int
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
    """Pixels (C, h, w) and valid (h, w) grown to ``height`` x ``width`` by reflection on the right and bottom.

    As NumPy's ``reflect``: the edge pixel is not repeated, and a rim wider than the scene folds back and forth
    (PyTorch's refuses that).
    """
    down, across = height - valid.shape[0], width - valid.shape[1]
    if down == 0 and across == 0:
        return pixels, valid
    rim = ((0, down), (0, across))
    return np.pad(pixels, ((0, 0), *rim), mode="reflect"), np.pad(valid, rim, mode="reflect")


def stitch_tile(
    pixels: npt.NDArray[np.generic],
    valid: npt.NDArray[np.bool_],
    *,
    grid: TileGrid,
    tile: Tile,
    predictor: Predictor,
    stitcher: Stitcher,
    batch_size: int = 1,
    check_stop: Callable[[], None] | None = None,
) -> None:
    """Runs the patches of a tile through the predictor into the stitcher.

    Patches without a valid pixel to answer for never reach the network; leaving them out changes no other patch.

    Args:
        pixels: (C, h, w) of ``tile.read`` as stored.
        valid: (h, w) of ``tile.read``, True = data.
        grid: the tiles of the scene.
        tile: the one to run.
        predictor: gives the logits.
        stitcher: takes them, in lattice order.
        batch_size: patches per forward pass.
        check_stop: called between batches; raises to stop.
    """
    padded, padded_valid = reflect_rim(pixels, valid, height=tile.padded.height, width=tile.padded.width)
    wanted = _patches_with_data(valid, tile, stitcher)
    rows, cols = grid.lattice.rows, grid.lattice.cols
    for batch in _batches(wanted, batch_size):
        if check_stop is not None:
            check_stop()
        slices = []
        for i, j in batch:
            top, left = rows.origin(i) - tile.padded.row_off, cols.origin(j) - tile.padded.col_off
            slices.append((slice(top, top + rows.side), slice(left, left + cols.side)))
        logits = predictor.logits(
            np.stack([padded[:, down, across] for down, across in slices]),
            np.stack([padded_valid[down, across] for down, across in slices]),
        )
        for (i, j), answer in zip(batch, logits, strict=True):
            stitcher.add(i, j, answer)


def segment_tile(
    pixels: npt.NDArray[np.generic],
    valid: npt.NDArray[np.bool_],
    *,
    grid: TileGrid,
    tile: Tile,
    predictor: Predictor,
    layers: Layers | None = None,
    ids: tuple[int, ...] | None = None,
    batch_size: int = 1,
    check_stop: Callable[[], None] | None = None,
) -> TileResult:
    """The layers of a tile's core from the pixels of its read window; arguments as :func:`stitch_tile`."""
    stitcher = Stitcher(grid, tile, layers=layers or Layers(), ids=ids)
    stitch_tile(
        pixels,
        valid,
        grid=grid,
        tile=tile,
        predictor=predictor,
        stitcher=stitcher,
        batch_size=batch_size,
        check_stop=check_stop,
    )
    rows, cols = tile.core.within(tile.read)
    return stitcher.finish(valid[rows, cols])


def _patches_with_data(valid: npt.NDArray[np.bool_], tile: Tile, stitcher: Stitcher) -> Iterator[tuple[int, int]]:
    """The patches of a tile, in lattice order, that have a say in at least one valid pixel."""
    everything = bool(valid.all())
    for i in tile.patch_rows:
        for j in tile.patch_cols:
            if everything or valid[stitcher.part(i, j).within(tile.read)].any():
                yield i, j


def _batches(patches: Iterator[tuple[int, int]], size: int) -> Iterator[list[tuple[int, int]]]:
    batch: list[tuple[int, int]] = []
    for patch in patches:
        batch.append(patch)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
