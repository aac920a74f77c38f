"""The quick look of a finished store: its classes over a small copy of its scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import Resampling

from geoseg.errors import SceneReadError
from geoseg.geometry.windows import Window
from geoseg.legend import IGNORE
from geoseg.raster.datasets import READ_FAILURES, open_dataset, raster_environment, reason
from geoseg.raster.preview import display_rgb, write_preview
from geoseg.raster.reading import palette_table
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
    levels = {factor: level_geobox(store.geobox, factor).shape for factor in (1, *factors(store.shape))}
    factor = next(f for f, shape in levels.items() if max(shape) <= SIDE)  # the smallest is far below
    classes = store.read_overview(factor, Window.whole(levels[factor]))
    bands = _small_copy(recipe, levels[factor])
    if all(band.dtype == np.uint8 for band in bands):
        shown = np.stack([bands[i] for i in ((0, 1, 2) if len(bands) == 3 else (0, 0, 0))])
    else:
        shown = display_rgb(np.stack([band.astype(np.float32) for band in bands]), valid=classes != IGNORE)
    write_preview(target, classes=classes, pixels=shown, legend=store.legend)


def _small_copy(recipe: SceneRecipe, shape: tuple[int, int]) -> list[npt.NDArray[Any]]:
    """The scene's first bands, three at most, each (h, w) of ``shape``, from its overviews where it has them."""
    how = Resampling.nearest if recipe.palette else Resampling.average
    with raster_environment():
        dataset = open_dataset(recipe.uri)
        try:
            # one by one: rasterio refuses to read bands of several dtypes together
            bands = [dataset.read(band, out_shape=shape, resampling=how) for band in recipe.bidx[:3]]
            if recipe.palette:
                colors = palette_table(dataset, recipe.bidx[0])[bands[0].astype(np.intp)]
                bands = [colors[..., i] for i in range(3)]
        except READ_FAILURES as error:
            raise SceneReadError(f"{recipe.uri}: the quick look cannot be read: {reason(error)}") from error
    return bands
