"""The quick look of a finished store: its classes over a small copy of its scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.legend import IGNORE
from geoseg.raster.preview import display_rgb, write_preview
from geoseg.raster.recipe import Recipe
from geoseg.raster.small_copy import small_copy
from geoseg.raster.zarr_overviews import factors, level_geobox
from geoseg.raster.zarr_store import ResultStore

SIDE = 1600
"""Most pixels a side of the quick look."""


def write_quicklook(target: Path, *, store: ResultStore, recipe: Recipe) -> None:
    """Writes a PNG of at most ``SIDE`` pixels a side; the store must have its overviews.

    Raises:
        SceneReadError: if the scene cannot be read.
        OutputError: if the PNG cannot be written.
    """
    levels = {factor: level_geobox(store.geobox, factor).shape for factor in (1, *factors(store.shape))}
    factor = next(f for f, shape in levels.items() if max(shape) <= SIDE)  # the smallest is far below
    classes = store.read_overview(factor, Window.whole(levels[factor]))
    shown = picture_of(recipe, level_geobox(store.geobox, factor), valid=classes != IGNORE)
    write_preview(target, classes=classes, pixels=shown, legend=store.legend)


def picture_of(recipe: Recipe, box: GeoBox, *, valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """A scene on the grid ``box`` to look at: uint8 (3, h, w); bytes as they are, other types stretched.

    Args:
        recipe: how the scene is read.
        box: a small grid of the same ground.
        valid: bool (h, w), the pixels the stretch goes by.

    Raises:
        SceneReadError: if the scene cannot be read.
    """
    bands = small_copy(recipe, box)
    if all(band.dtype == np.uint8 for band in bands):
        return np.stack([bands[i] for i in ((0, 1, 2) if len(bands) == 3 else (0, 0, 0))])
    return display_rgb(np.stack([band.astype(np.float32) for band in bands]), valid=valid)
