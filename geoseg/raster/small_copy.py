"""A small copy of a scene to look at: decimated reads of its files, from their overviews where they have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import Resampling
from rasterio.windows import Window as RasterioWindow

from geoseg.errors import SceneReadError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.raster.crs import transformer_of, turn_of
from geoseg.raster.datasets import READ_FAILURES, open_dataset, raster_environment, reason
from geoseg.raster.file_reading import palette_table
from geoseg.raster.mosaic_grid import corners, cover_points, pixel
from geoseg.raster.mosaic_recipe import Layer, MosaicRecipe, PlacedFile
from geoseg.raster.recipe import Recipe, SceneRecipe
from geoseg.raster.warp import Warp

Band = npt.NDArray[Any]


def small_copy(recipe: Recipe, box: GeoBox) -> list[Band]:
    """The scene's first bands, three at most, each (h, w) on the grid ``box``: to look at, not to compute with.

    Raises:
        SceneReadError: if a file cannot be read.
    """
    if isinstance(recipe, SceneRecipe):
        return _read_small(recipe.uri, recipe.bidx, palette=recipe.palette, shape=box.shape)[0]
    copy = np.zeros((min(3, recipe.bands), *box.shape), dtype=recipe.dtype)
    missing = np.ones(box.shape, dtype=np.bool_)
    for layer in recipe.layers:
        for file in layer.files:
            _add(copy, missing, layer, file, recipe=recipe, box=box)
    return list(copy)


def _add(
    copy: Band, missing: npt.NDArray[np.bool_], layer: Layer, file: PlacedFile, *, recipe: MosaicRecipe, box: GeoBox
) -> None:
    """Fills what is missing from one file, by nearest neighbour in its decimated pixels."""
    part = _part_of(layer, file, grid=recipe.grid, box=box)
    rows, columns = part.within(Window.whole(box.shape))
    if not missing[rows, columns].any():
        return
    height, width = file.window.shape
    small = max(1, min(height, 2 * part.height)), max(1, min(width, 2 * part.width))
    bands, valid = _read_small(file.uri, layer.bidx, palette=layer.palette, shape=small)
    col, row = _positions(layer, part, box=box)
    with np.errstate(invalid="ignore"):
        col, row = (col - file.window.col_off) / width * small[1], (row - file.window.row_off) / height * small[0]
        inside = (col >= 0) & (col < small[1]) & (row >= 0) & (row < small[0]) & missing[rows, columns]
    y, x = row[inside].astype(np.int64), col[inside].astype(np.int64)
    known = valid[y, x]
    taken = np.zeros(part.shape, dtype=np.bool_)
    taken[inside] = known
    for out, band in zip(copy, bands, strict=True):
        out[rows, columns][taken] = band[y[known], x[known]]
    missing[rows, columns] &= ~taken


def _part_of(layer: Layer, file: PlacedFile, *, grid: GeoBox, box: GeoBox) -> Window:
    """The small pixels a file may fill; of a warped layer those of the whole layer."""
    reach = layer.reach
    whole = Window.whole(box.shape)
    if layer.operation is None:
        w = file.window
        ends = ((w.col_off, w.row_off), (w.col_stop, w.row_stop))
        return cover_points(pixel(box, *layer.grid.world(*end)) for end in ends).intersect(whole)
    ends = ((reach.col_off, reach.row_off), (reach.col_stop, reach.row_stop))
    return cover_points(pixel(box, *grid.world(*end)) for end in ends).intersect(whole)


def _positions(layer: Layer, part: Window, *, box: GeoBox) -> tuple[Band, Band]:
    """(column, row) in the layer of the centres of small pixels."""
    across, down = np.meshgrid(
        np.arange(part.col_off, part.col_stop) + 0.5, np.arange(part.row_off, part.row_stop) + 0.5
    )
    if layer.operation is not None:
        warp = Warp(
            grid=box,
            source=layer.grid,
            transformer=transformer_of(layer.operation),
            turn=turn_of(layer.grid.crs),
        )
        col, row = warp.exact(across.ravel(), down.ravel())
        return col.reshape(part.shape), row.reshape(part.shape)
    (left, top), (right, _), (_, bottom), _ = corners(box, layer.grid)
    height, width = box.shape
    return left + across * (right - left) / width, top + down * (bottom - top) / height


def _read_small(
    uri: str, bidx: tuple[int, ...], *, palette: bool, shape: tuple[int, int]
) -> tuple[list[Band], npt.NDArray[np.bool_]]:
    """A whole file's first bands and validity, each of ``shape``."""
    how = Resampling.nearest if palette else Resampling.average
    with raster_environment():
        dataset = open_dataset(uri)
        whole = RasterioWindow(0, 0, dataset.width, dataset.height)
        try:
            # one by one: rasterio refuses to read bands of several dtypes together
            bands = [dataset.read(b, window=whole, out_shape=shape, resampling=how) for b in bidx[:3]]
            valid = dataset.read_masks(bidx[0], window=whole, out_shape=shape, resampling=Resampling.nearest) != 0
            if palette:
                colors = palette_table(dataset, bidx[0])[bands[0].astype(np.intp)]
                bands = [colors[..., i] for i in range(3)]
        except READ_FAILURES as error:
            raise SceneReadError(f"{uri}: the quick look cannot be read: {reason(error)}") from error
    return bands, valid
