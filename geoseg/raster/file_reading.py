"""Read a window of one file: its pixels as stored, and which of them hold data."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from geoseg.errors import SceneError, SceneReadError
from geoseg.geometry.windows import Window, sized
from geoseg.raster.datasets import READ_FAILURES, forget_dataset, open_dataset, raster_environment, reason
from geoseg.raster.georeference import native_geobox
from geoseg.raster.recipe import SceneRecipe
from geoseg.raster.remote import REMOTE_CACHE_MB, on_reader
from geoseg.raster.resample import AxisResampling, axes, read_resampled
from geoseg.raster.urls import is_url
from geoseg.raster.validity import Pixels, Valid, ValidityRule, valid_pixels, validity_rule

STRIP_BYTES = 64 * 2**20
"""Most bytes of source pixels a resampled read holds at once; taller windows are read in strips."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Reader:
    """One recipe on one thread's open dataset, with everything that need not be found out per window."""

    dataset: DatasetReader
    recipe: SceneRecipe
    rule: ValidityRule
    dtype: np.dtype[Any]
    """Of the stored pixels (palette entries, for a palette)."""
    one_dtype: bool
    """True if the bands that are read, and alpha, are all of ``dtype``."""
    palette: npt.NDArray[np.uint8] | None
    """(entries, 4) red, green, blue and alpha."""
    axes: tuple[AxisResampling, AxisResampling] | None
    """Rows and columns of the change of pixel size, if any."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the grid that is read."""
        return (self.dataset.height, self.dataset.width) if self.recipe.grid is None else self.recipe.grid.shape


class _Readers(threading.local):
    def __init__(self) -> None:
        self.kept: OrderedDict[SceneRecipe, _Reader] = OrderedDict()


_readers = _Readers()
_READERS_PER_THREAD = 8


def read_file_window(recipe: SceneRecipe, window: Window) -> tuple[Pixels, Valid]:
    """The pixels of a window, and where they hold data; the recipe's area of interest is not looked at.

    Args:
        recipe: what ``inspect_scene`` made.
        window: pixels of the grid that is read; must lie inside it.

    Returns:
        Pixels (C, h, w) in the stored dtype (uint8 for a palette), and valid (h, w), True where there is data. What
        invalid pixels hold is left as stored.

    Raises:
        SceneError: if the window reaches outside the grid.
        SceneReadError: if the scene cannot be opened, or fails while the window is read; names the window.
    """
    if is_url(recipe.uri):
        return on_reader(recipe.uri, partial(_read, recipe, window, cache_mb=REMOTE_CACHE_MB))
    return _read(recipe, window)


def _read(recipe: SceneRecipe, window: Window, *, cache_mb: int | None = None) -> tuple[Pixels, Valid]:
    with raster_environment(cache_mb):
        reader = _reader(recipe)
        height, width = reader.shape
        if window.row_off < 0 or window.col_off < 0 or window.row_stop > height or window.col_stop > width:
            raise SceneError(
                f"{recipe.uri}: {window.describe()} reaches outside the scene of {sized((height, width))} pixels"
            )
        if window.pixels == 0:
            bands = 3 if recipe.palette else len(recipe.bidx)
            return np.empty((bands, *window.shape), _read_dtype(reader)), np.empty(window.shape, dtype=np.bool_)
        try:
            if reader.axes is None:
                return _expand(reader, *_read_native(reader, window))
            return _expand(reader, *_read_resampled(reader, window))
        except MemoryError:
            raise  # no fault of the file's: its header was looked at before
        except READ_FAILURES as error:
            _readers.kept.pop(recipe, None)
            forget_dataset(recipe.uri)  # a later attempt starts afresh
            raise SceneReadError(f"{recipe.uri}: reading {window.describe()} failed: {reason(error)}") from error


def _reader(recipe: SceneRecipe) -> _Reader:
    dataset = open_dataset(recipe.uri)
    kept = _readers.kept.get(recipe)
    if kept is not None and kept.dataset is dataset:
        _readers.kept.move_to_end(recipe)
        return kept
    try:
        rule = validity_rule(dataset, bidx=recipe.bidx, override=recipe.nodata)
        dtypes = dataset.dtypes
        reader = _Reader(
            dataset=dataset,
            recipe=recipe,
            rule=rule,
            dtype=np.result_type(*(dtypes[b - 1] for b in recipe.bidx)),
            one_dtype=len({dtypes[b - 1] for b in (*recipe.bidx, rule.alpha or recipe.bidx[0])}) == 1,
            palette=palette_table(dataset, recipe.bidx[0]) if recipe.palette else None,
            axes=None if recipe.grid is None else axes(native_geobox(dataset), recipe.grid),
        )
    except READ_FAILURES as error:
        raise SceneReadError(f"{recipe.uri}: its header cannot be read: {reason(error)}") from error
    _readers.kept[recipe] = reader
    while len(_readers.kept) > _READERS_PER_THREAD:
        _readers.kept.popitem(last=False)
    return reader


def palette_table(dataset: DatasetReader, band: int) -> npt.NDArray[np.uint8]:
    """(entries, 4) red, green, blue and alpha of a palette; entries the file does not define are black."""
    entries = dataset.colormap(band)
    table = np.zeros((256 if dataset.dtypes[band - 1] == "uint8" else 65536, 4), dtype=np.uint8)
    table[:, 3] = 255
    for index, colour in entries.items():
        table[index] = colour
    return table


def _read_dtype(reader: _Reader) -> np.dtype[Any]:
    return np.dtype(np.uint8) if reader.recipe.palette else reader.dtype


def _read_native(reader: _Reader, window: Window) -> tuple[Pixels, Valid]:
    """The stored pixels (palette entries unexpanded) of a window of the file's own grid: one read, two with a mask."""
    rule, bidx = reader.rule, reader.recipe.bidx
    wanted = RasterioWindow(window.col_off, window.row_off, window.width, window.height)
    bands = bidx if rule.alpha is None else (*bidx, rule.alpha)
    if reader.one_dtype:
        stored = reader.dataset.read(list(bands), window=wanted)
        pixels, last = stored[: len(bidx)], stored[-1]
    else:  # rasterio refuses to read bands of several dtypes together
        each = [reader.dataset.read(band, window=wanted) for band in bands]
        pixels, last = np.stack(each[: len(bidx)]).astype(reader.dtype), each[-1]
    valid = valid_pixels(pixels, nodata=rule.nodata)
    if rule.alpha is not None:
        valid &= last != 0
    if rule.dataset_mask:
        valid &= reader.dataset.read_masks(bidx[0], window=wanted) != 0
    elif rule.band_masks:
        valid &= reader.dataset.read_masks(list(bidx), window=wanted).any(axis=0)
    if reader.palette is not None:
        valid &= reader.palette[pixels[0].astype(np.intp), 3] != 0
    return pixels, valid


def _expand(reader: _Reader, pixels: Pixels, valid: Valid) -> tuple[Pixels, Valid]:
    if reader.palette is None:
        return pixels, valid
    return np.ascontiguousarray(np.moveaxis(reader.palette[pixels[0].astype(np.intp), :3], -1, 0)), valid


def _read_resampled(reader: _Reader, window: Window) -> tuple[Pixels, Valid]:
    """A window of ``recipe.grid`` (palette entries unexpanded)."""
    assert reader.axes is not None
    rows, columns = reader.axes
    return read_resampled(
        lambda source: _read_native(reader, source),
        window,
        rows=rows,
        columns=columns,
        pixel_bytes=len(reader.recipe.bidx) * reader.dtype.itemsize,
        strip_bytes=STRIP_BYTES,
        nearest=reader.palette is not None,
    )
