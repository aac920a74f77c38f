"""Look at a scene once, decide how it is read, and say so. Reads headers only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from geoseg.errors import SceneError
from geoseg.geometry.geobox import GeoBox
from geoseg.raster.header import look, stamp_of
from geoseg.raster.pixel_size import choose_grid
from geoseg.raster.reading import read_window
from geoseg.raster.recipe import Recipe, SceneRecipe

__all__ = ["SceneInfo", "SceneRecipe", "inspect_scene", "read_window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneInfo:
    """What a scene is, and how it is read."""

    recipe: Recipe
    """What ``read_window`` takes."""
    geobox: GeoBox
    """The grid that is read: ``native``, unless the scene is resampled."""
    native: GeoBox
    """The grid of the file."""
    dtype: str
    """Data type of the pixels that are read, e.g. ``uint8``."""
    count: int
    """Bands in the file."""
    nodata: float | None
    """The value taken for "no data" in the first band that is read: the user's, or the file's unless a mask rules."""
    valid_from: str
    """What decides which pixels hold data: ``nodata``, ``alpha``, ``mask`` or ``all`` (beside NaN, always)."""
    block: tuple[int, int]
    """(height, width) of the file's blocks, its own pixels."""
    gsd: tuple[float, float] | None
    """Ground metres per pixel of the file (x, y); None if nothing tells."""
    stamp: str
    """Names, sizes and times of change of the local files behind the scene (masks and a VRT's sources too), hashed."""
    notes: tuple[str, ...]
    """What a user should be told, one line each."""


def inspect_scene(
    uri: str | os.PathLike[str],
    *,
    bands: int | None = None,
    bidx: Sequence[int] | None = None,
    nodata: float | None = None,
    gsd: float | None = None,
    resolution: str = "auto",
    max_block_mb: int = 1024,
    max_pixels: int | None = None,
) -> SceneInfo:
    """How a scene will be read; only its header is.

    Args:
        uri: path, URL, or anything else GDAL opens.
        bands: how many the model takes; None = all that are not alpha.
        bidx: which bands of the file, counted from 1, in the model's order; None = the first that are not alpha.
        nodata: value in place of the file's nodata value (NaN allowed).
        gsd: the model's ground metres per pixel; None if it has none.
        resolution: ``auto`` resamples a scene whose GSD differs by more than 25 %, ``native`` never.
        max_block_mb: refuse files of which a single block decodes to more than this.
        max_pixels: refuse grids of more pixels than this; None = no limit.

    Raises:
        SceneReadError: if it cannot be opened or its header is damaged.
        SceneError: if it cannot be used like this: bands, dtype, block size, pixels.
    """
    if resolution not in ("auto", "native"):
        raise SceneError(f'resolution must be "auto" or "native", not {resolution!r}')
    uri = os.fspath(uri)
    header = look(uri, bands=bands, bidx=bidx, nodata=nodata, max_block_mb=max_block_mb)
    native_gsd = header.native.gsd()
    grid, grid_notes = choose_grid(header.native, native_gsd=native_gsd, gsd=gsd, resolution=resolution)
    geobox = grid or header.native
    refuse_size(uri, geobox.shape, max_pixels=max_pixels)
    return SceneInfo(
        recipe=SceneRecipe(uri=uri, bidx=header.bidx, nodata=nodata, grid=grid, palette=header.palette),
        geobox=geobox,
        native=header.native,
        dtype=header.dtype,
        count=header.count,
        nodata=header.rule.nodata[0],
        valid_from=header.rule.source,
        block=header.block,
        gsd=native_gsd,
        stamp=stamp_of(header.files),
        notes=(*header.notes, *grid_notes),
    )


def refuse_size(name: str, shape: tuple[int, int], *, max_pixels: int | None) -> None:
    """Refuses grids of more than ``max_pixels``.

    Raises:
        SceneError: with both numbers.
    """
    pixels = shape[0] * shape[1]
    if max_pixels is not None and pixels > max_pixels:
        raise SceneError(
            f"{name}: {shape[1]} x {shape[0]} pixels are {pixels:,}, the limit is {max_pixels:,}: raise --max-pixels"
        )
