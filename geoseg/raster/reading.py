"""Read a window of a scene, whatever it is made of."""

from __future__ import annotations

from geoseg.geometry.windows import Window
from geoseg.raster.aoi import inside
from geoseg.raster.file_reading import read_file_window
from geoseg.raster.mosaic_reading import index_of, read_mosaic_window
from geoseg.raster.mosaic_recipe import MosaicRecipe
from geoseg.raster.recipe import Recipe, SceneRecipe
from geoseg.raster.validity import Pixels, Valid


def read_window(recipe: Recipe, window: Window) -> tuple[Pixels, Valid]:
    """The pixels of a window, and where they hold data. Safe on any thread; each opens the files for itself.

    Args:
        recipe: what ``inspect_scene`` or ``inspect_mosaic`` made.
        window: pixels of the grid that is read; must lie inside it.

    Returns:
        Pixels (C, h, w) in the stored dtype (uint8 for a palette), and valid (h, w), True where there is data inside
        the area of interest. What invalid pixels hold is left as stored.

    Raises:
        SceneError: if the window reaches outside the grid.
        SceneReadError: if a file cannot be opened, or fails while the window is read; names the window.
    """
    if isinstance(recipe, MosaicRecipe):
        pixels, valid = read_mosaic_window(recipe, window)
    else:
        pixels, valid = read_file_window(recipe, window)
    if recipe.aoi is not None:
        valid = valid & inside(recipe.aoi, window)
    return pixels, valid


_PROBED = 8
"""Layers of a mosaic that a probe looks at."""


def probe(recipe: Recipe) -> None:
    """Reads a pixel where the scene has files, to find out whether this process can: of a mosaic the first of some.

    Raises:
        SceneReadError: if one cannot be opened or read.
    """
    pixel = Window(row_off=0, col_off=0, height=1, width=1)
    if isinstance(recipe, SceneRecipe):
        read_window(recipe, pixel)
        return
    index_of(recipe)  # makes what warps it: PROJ may lack grids here
    for layer in recipe.layers[:_PROBED]:
        file = SceneRecipe(uri=layer.files[0].uri, bidx=layer.bidx, nodata=recipe.nodata, palette=layer.palette)
        read_file_window(file, pixel)
