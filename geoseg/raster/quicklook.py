"""The quick look of a finished store: its classes over a small copy of its scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from rasterio.enums import Resampling

from geoseg.errors import SceneReadError
from geoseg.geometry.windows import Window
from geoseg.raster.datasets import READ_FAILURES, open_dataset, raster_environment, reason
from geoseg.raster.preview import display_rgb, write_preview
from geoseg.raster.recipe import SceneRecipe
from geoseg.raster.zarr_overviews import factors, level_geobox
from geoseg.raster.zarr_store import ResultStore

SIDE = 1600
"""Most pixels a side of the quick look."""


def write_quicklook(target: Path, *, store: ResultStore, recipe: SceneRecipe) -> None:
    """Writes a PNG of at most ``SIDE`` pixels a side; the store must have its overviews.

    Raises:
        SceneReadError: if the scene cannot be read.
        OutputError: if the PNG cannot be written.
    """
    factor = next((f for f in (1, *factors(store.shape)) if max(level_geobox(store.geobox, f).shape) <= SIDE), None)
    factor = factor or factors(store.shape)[-1]
    classes = store.read_overview(factor, Window.whole(level_geobox(store.geobox, factor).shape))
    pixels = _small_copy(recipe, classes.shape)
    if pixels.dtype == np.uint8:
        shown = pixels[[0, 1, 2] if len(pixels) >= 3 else [0, 0, 0]].astype(np.uint8)
    else:
        shown = display_rgb(pixels)
    write_preview(target, classes=classes, pixels=shown, legend=store.legend)


def _small_copy(recipe: SceneRecipe, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    """The scene's first three bands (C, h, w) at ``shape``, from its overviews where it has them."""
    with raster_environment():
        dataset = open_dataset(recipe.uri)
        bands = list(recipe.bidx[:3])
        how = Resampling.nearest if recipe.palette else Resampling.average
        try:
            small = dataset.read(bands, out_shape=(len(bands), *shape), resampling=how)
            if recipe.palette:
                colors = dataset.colormap(recipe.bidx[0])
                table = np.array([colors.get(i, (0, 0, 0, 255))[:3] for i in range(256)], np.uint8)
                small = np.moveaxis(table[small[0]], -1, 0)
        except READ_FAILURES as error:
            raise SceneReadError(f"{recipe.uri}: the quick look cannot be read: {reason(error)}") from error
    return np.asarray(small)
