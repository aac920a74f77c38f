"""Read a window of a mosaic: the files that meet it, each on the mosaic's grid, the first valid pixel winning."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import SceneError
from geoseg.geometry.windows import Window, sized
from geoseg.raster import file_reading
from geoseg.raster.crs import transformer_of, turn_of
from geoseg.raster.file_reading import read_file_window
from geoseg.raster.mosaic_grid import Placement, place
from geoseg.raster.mosaic_recipe import Layer, MosaicRecipe
from geoseg.raster.recipe import SceneRecipe
from geoseg.raster.resample import AxisResampling, ReadWindow, read_resampled
from geoseg.raster.validity import Pixels, Valid
from geoseg.raster.warp import Warp, read_warped

_KEPT = 4
"""Mosaics whose index a process keeps."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Index:
    """Everything of a recipe that need not be found out per window."""

    reaches: npt.NDArray[np.int64]
    """(layers, 4) row_off, row_stop, col_off, col_stop in the mosaic's grid."""
    readers: tuple[ReadWindow, ...]
    """Per layer, of a window of the mosaic's grid inside its reach."""


_indexes: OrderedDict[str, _Index] = OrderedDict()
_lock = threading.Lock()


def read_mosaic_window(recipe: MosaicRecipe, window: Window) -> tuple[Pixels, Valid]:
    """The pixels of a window, and where any file has data; the recipe's area of interest is not looked at.

    Only files whose place meets the window are opened, and of those only what is still missing. Pixels of gaps are 0.

    Raises:
        SceneError: if the window reaches outside the grid.
        SceneReadError: if a file cannot be opened or read.
    """
    height, width = recipe.grid.shape
    if window.row_off < 0 or window.col_off < 0 or window.row_stop > height or window.col_stop > width:
        size = sized((height, width))
        raise SceneError(f"{recipe.name}: {window.describe()} reaches outside the mosaic of {size} pixels")
    index = index_of(recipe)
    pixels = np.zeros((recipe.bands, *window.shape), dtype=recipe.dtype)
    valid = np.zeros(window.shape, dtype=np.bool_)
    for number in meeting(index.reaches, window):
        layer = recipe.layers[number]
        _fill(pixels, valid, window, part=layer.reach.intersect(window), read=index.readers[number])
    return pixels, valid


def _fill(pixels: Pixels, valid: Valid, window: Window, *, part: Window, read: ReadWindow) -> None:
    """Fills what is still invalid of ``part`` of a window."""
    rows, columns = part.within(window)
    missing = ~valid[rows, columns]
    if not missing.any():
        return
    found, known = read(part)
    np.copyto(pixels[:, rows, columns], found, where=missing & known, casting="safe")
    valid[rows, columns] |= known


def meeting(boxes: npt.NDArray[np.int64], window: Window) -> npt.NDArray[np.int64]:
    """Numbers of the boxes (row_off, row_stop, col_off, col_stop) that share a pixel with a window, in order."""
    top, bottom, left, right = boxes.T
    meets = (top < window.row_stop) & (bottom > window.row_off) & (left < window.col_stop) & (right > window.col_off)
    return np.flatnonzero(meets)


def boxes_of(windows: list[Window]) -> npt.NDArray[np.int64]:
    """(n, 4) row_off, row_stop, col_off, col_stop."""
    return np.array([(w.row_off, w.row_stop, w.col_off, w.col_stop) for w in windows], dtype=np.int64).reshape(-1, 4)


def index_of(recipe: MosaicRecipe) -> _Index:
    """The recipe's index; made once per process."""
    with _lock:
        kept = _indexes.get(recipe.digest)
        if kept is None:
            kept = _indexes[recipe.digest] = _Index(
                reaches=boxes_of([layer.reach for layer in recipe.layers]),
                readers=tuple(layer_reader(layer, recipe=recipe) for layer in recipe.layers),
            )
            while len(_indexes) > _KEPT:
                _indexes.popitem(last=False)
        _indexes.move_to_end(recipe.digest)
        return kept


def layer_reader(layer: Layer, *, recipe: MosaicRecipe) -> ReadWindow:
    """Reads windows of the mosaic's grid from a layer."""
    native = partial(_read_layer, layer, recipe, boxes_of([file.window for file in layer.files]))
    pixel_bytes = recipe.bands * np.dtype(recipe.dtype).itemsize
    sizes: dict[str, Any] = {"pixel_bytes": pixel_bytes, "strip_bytes": file_reading.STRIP_BYTES}
    if layer.operation is None:
        placement = place(layer.grid, recipe.grid)
        if placement.shift is not None:
            return partial(_shifted, native, placement.shift)
        return partial(_resampled, native, placement, nearest=layer.palette, **sizes)
    source, read = layer.grid, native
    if layer.prefilter != (1.0, 1.0):
        down, across = layer.prefilter
        source = layer.grid.resampled(ratio_x=across, ratio_y=down)
        finer = Placement(
            shift=None,
            rows=AxisResampling(length=layer.grid.shape[0], ratio=down),
            columns=AxisResampling(length=layer.grid.shape[1], ratio=across),
        )
        read = partial(_resampled, native, finer, nearest=layer.palette, **sizes)
    warp = Warp(
        grid=recipe.grid, source=source, transformer=transformer_of(layer.operation), turn=turn_of(layer.grid.crs)
    )
    return partial(
        read_warped,
        read,
        warp=warp,
        bands=recipe.bands,
        dtype=np.dtype(recipe.dtype),
        strip_bytes=file_reading.STRIP_BYTES,
        nearest=layer.palette,
    )


def _read_layer(
    layer: Layer, recipe: MosaicRecipe, boxes: npt.NDArray[np.int64], window: Window
) -> tuple[Pixels, Valid]:
    """A window of a layer's own grid: its files' pixels as stored."""
    pixels = np.zeros((recipe.bands, *window.shape), dtype=recipe.dtype)
    valid = np.zeros(window.shape, dtype=np.bool_)
    for number in meeting(boxes, window):
        file = layer.files[number]
        scene = SceneRecipe(uri=file.uri, bidx=layer.bidx, nodata=recipe.nodata, palette=layer.palette)
        read = partial(_read_placed, scene, file.window)
        _fill(pixels, valid, window, part=file.window.intersect(window), read=read)
    return pixels, valid


def _read_placed(scene: SceneRecipe, place: Window, part: Window) -> tuple[Pixels, Valid]:
    return read_file_window(scene, _moved(part, (-place.row_off, -place.col_off)))


def _shifted(read: ReadWindow, shift: tuple[int, int], window: Window) -> tuple[Pixels, Valid]:
    return read(_moved(window, shift))


def _resampled(read: ReadWindow, placement: Placement, window: Window, **options: Any) -> tuple[Pixels, Valid]:
    return read_resampled(read, window, rows=placement.rows, columns=placement.columns, **options)


def _moved(window: Window, shift: tuple[int, int]) -> Window:
    return Window(
        row_off=window.row_off + shift[0],
        col_off=window.col_off + shift[1],
        height=window.height,
        width=window.width,
    )
