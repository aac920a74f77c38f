"""The recipe of a label raster, and reading windows by it; ``labels.py`` makes the recipes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.errors import GeosegError, SceneReadError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.nearest import nearest_pixels
from geoseg.geometry.windows import Window, split
from geoseg.legend import IGNORE, Legend
from geoseg.raster.datasets import READ_FAILURES, forget_dataset, open_dataset, raster_environment, reason
from geoseg.raster.label_codes import (
    DecodedCache,
    Encoding,
    Ids,
    ids_from_colors,
    ids_from_indices,
    ids_from_palette,
    palette_ids,
    read_stored,
)

_MAX_SOURCE_PIXELS = 1 << 24
"""Pixels read at once to fill a resampled window; where a target pixel is many source pixels, it is filled in parts."""

_TOP_DOWN = frozenset({"PNG", "GIF", "WEBP", "JPEG"})
"""GDAL drivers that decode a file from its first row on whichever window is asked for."""

_MAX_HELD_PIXELS = 1 << 27
"""Largest raster of such a driver that is decoded once and kept; larger ones are decoded again and again."""

_VECTORS = (".gpkg", ".geojson", ".fgb", ".parquet", ".geoparquet", ".shp", ".gml", ".kml")
"""Endings of files of polygons. (A GeoPackage may hold a raster too: it is asked only when GDAL finds none.)"""

_STRIP_PIXELS = 1 << 22
_decoded = DecodedCache(max_bytes=1 << 28)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRecipe:
    """How to read a label raster; a value that workers can open for themselves."""

    uri: str
    """Path or URL: anything GDAL opens, or a ``.zarr`` that geoseg wrote."""
    legend: Legend
    """The ids that may come out, besides 255."""
    shape: tuple[int, int]
    """(height, width) of the file."""
    encoding: Encoding = "index"
    """What the file's numbers mean."""
    grid: GeoBox | None = None
    """Read on this grid by nearest neighbour; None is the file's own."""
    source: GeoBox | None = None
    """Where the file's pixels lie; only with ``grid``."""
    strict: bool = True
    """Numbers that are neither ids nor 255 nor nodata are an error; else they are not scored."""


def read_labels(recipe: LabelRecipe, window: Window) -> Ids:
    """Class ids (height, width), uint8, of a window of the recipe's grid; 255 = not scored, also outside the raster.

    Raises:
        LegendError: if a number is not in the legend (see ``LabelRecipe.strict``).
        SceneReadError: if the file cannot be read.
    """
    if recipe.grid is None or recipe.source is None:
        return _read_padded(recipe, window)
    out = np.full(window.shape, IGNORE, np.uint8)
    for part in split(window.shape, size=(1024, 1024)):
        shifted = replace(part, row_off=part.row_off + window.row_off, col_off=part.col_off + window.col_off)
        _fill_nearest(out[part.row_off : part.row_stop, part.col_off : part.col_stop], recipe, shifted)
    return out


def _read_padded(recipe: LabelRecipe, window: Window) -> Ids:
    """A window of the file's own grid, 255 beyond its edges."""
    inside = window.intersect(Window.whole(recipe.shape))
    if inside == window and window.pixels:
        return _read_ids(recipe, window)
    out = np.full(window.shape, IGNORE, np.uint8)
    if inside.pixels:
        out[inside.within(window)] = _read_ids(recipe, inside)
    return out


def _fill_nearest(out: Ids, recipe: LabelRecipe, window: Window) -> None:
    """Fills ``out`` with the source pixels nearest to the pixels of a window of ``recipe.grid``."""
    assert recipe.grid is not None
    assert recipe.source is not None
    rows, cols = nearest_pixels(window, target=recipe.grid, source=recipe.source)
    inside = (rows >= 0) & (rows < recipe.shape[0]) & (cols >= 0) & (cols < recipe.shape[1])
    if not inside.any():
        return
    rows, cols = np.clip(rows, 0, recipe.shape[0] - 1), np.clip(cols, 0, recipe.shape[1] - 1)
    hit_rows, hit_cols = (np.broadcast_to(v, inside.shape)[inside] for v in (rows, cols))
    box = Window.from_stops(
        row_off=int(hit_rows.min()),
        col_off=int(hit_cols.min()),
        row_stop=int(hit_rows.max()) + 1,
        col_stop=int(hit_cols.max()) + 1,
    )
    if box.pixels > _MAX_SOURCE_PIXELS and window.pixels > 1:
        for half in _halves(window):
            _fill_nearest(out[half.within(window)], recipe, half)
        return
    ids = _read_ids(recipe, box)
    rows, cols = np.clip(rows - box.row_off, 0, box.height - 1), np.clip(cols - box.col_off, 0, box.width - 1)
    np.copyto(out, ids[rows, cols], where=inside)


def _halves(window: Window) -> tuple[Window, Window]:
    if window.height >= window.width:
        cut = window.row_off + window.height // 2
        return (
            replace(window, height=cut - window.row_off),
            replace(window, row_off=cut, height=window.row_stop - cut),
        )
    cut = window.col_off + window.width // 2
    return replace(window, width=cut - window.col_off), replace(window, col_off=cut, width=window.col_stop - cut)


def _read_ids(recipe: LabelRecipe, window: Window) -> Ids:
    """A window inside the file's own grid."""
    if is_store(recipe.uri):
        values = open_class_store(recipe.uri).read_classes(window)
        return ids_from_indices(values, None, legend=recipe.legend, strict=recipe.strict, where=_place(recipe, window))
    with label_reading(recipe.uri, window):
        dataset = open_dataset(recipe.uri)
        if dataset.driver not in _TOP_DOWN or dataset.width * dataset.height > _MAX_HELD_PIXELS:
            return _decode(dataset, recipe, window)
        own = replace(recipe, grid=None, source=None)
        whole = Window.whole(recipe.shape)
        held = _decoded.get((own, _version(recipe.uri)), lambda: _decode_whole(dataset, own))
        return held[window.within(whole)].copy()


def _decode(dataset: Any, recipe: LabelRecipe, window: Window) -> Ids:
    values, valid = read_stored(dataset, window)
    if recipe.encoding == "color":
        return ids_from_colors(values, valid, legend=recipe.legend)
    if recipe.encoding == "palette":
        return ids_from_palette(values[0], valid, table=palette_ids(dataset, legend=recipe.legend))
    place = _place(recipe, window)
    return ids_from_indices(values[0], valid, legend=recipe.legend, strict=recipe.strict, where=place)


def _decode_whole(dataset: Any, recipe: LabelRecipe) -> Ids:
    """The whole raster, from top to bottom, in strips: stored colours take many times the memory of ids."""
    ids = np.empty(recipe.shape, np.uint8)
    strip = max(1, _STRIP_PIXELS // recipe.shape[1])
    for part in split(recipe.shape, size=(strip, recipe.shape[1])):
        ids[part.row_off : part.row_stop] = _decode(dataset, recipe, part)
    return ids


def _place(recipe: LabelRecipe, window: Window) -> str:
    whole = window == Window.whole(recipe.shape)
    return recipe.uri if whole else f"{recipe.uri} ({window.describe()})"


def _version(uri: str) -> tuple[int, int] | None:
    """What changes when a local file is replaced."""
    try:
        found = Path(uri).stat()
    except OSError:  # a URL, or a path inside an archive
        return None
    return found.st_mtime_ns, found.st_size


def is_store(uri: str) -> bool:
    """True for a Zarr store of classes."""
    return uri.rstrip("/").endswith(".zarr")


def open_class_store(uri: str) -> Any:
    """The store that geoseg wrote there.

    Raises:
        SceneReadError: if there is none.
    """
    return _open_store(uri, _version(str(Path(uri) / "zarr.json")), _version(str(Path(uri) / ".zattrs")))


@lru_cache(maxsize=8)
def _open_store(uri: str, *_version: tuple[int, int] | None) -> Any:
    from geoseg.raster.zarr_store import open_store  # not at the top: zarr takes half a second and few labels are in it

    return open_store(uri)


@contextmanager
def label_reading(uri: str, window: Window | None) -> Iterator[None]:
    """Turns what GDAL raises into a SceneReadError that names the window."""
    try:
        with raster_environment():
            yield
    except GeosegError as error:
        _tell_vectors(uri, error)
        raise
    except READ_FAILURES as error:
        forget_dataset(uri)
        what = uri if window is None else f"{window.describe()} of {uri}"
        raise SceneReadError(f"cannot read {what}: {reason(error)}") from error


def _tell_vectors(uri: str, error: GeosegError) -> None:
    """Raises in place of GDAL's word for a file of polygons that holds no raster."""
    if isinstance(error, SceneReadError) and uri.lower().endswith(_VECTORS) and Path(uri).exists():
        raise SceneReadError(
            f"{uri} is a vector file, and pixels are wanted here: make a raster of it (gdal_rasterize), or export the"
            " map and compare polygons (geoseg evaluate --objects)"
        ) from error
