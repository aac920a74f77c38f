"""Tiled GeoTIFFs, streamed by window and whole or not there."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine
from rasterio.windows import Window as RasterioWindow

from geoseg.errors import GeosegError, OutputError
from geoseg.geometry.geobox import IDENTITY, GeoBox
from geoseg.geometry.windows import Window
from geoseg.legend import Color
from geoseg.raster.atomic import failure, output_errors, part_path, put_in_place, remove
from geoseg.raster.datasets import READ_FAILURES, raster_environment, reason

Compression = Literal["deflate", "zstd", "none"]
WriteWindow = Callable[[npt.NDArray[Any], Window], None]
"""Writes an array (C, height, width) to a window of that shape inside the file."""

_filters = threading.Lock()


@contextmanager
def geotiff_writer(
    path: Path,
    *,
    geobox: GeoBox,
    bands: int,
    dtype: str,
    nodata: float | None = None,
    colors: Mapping[int, Color] | None = None,
    compress: Compression = "deflate",
    tags: Mapping[str, str] | None = None,
    names: tuple[str, ...] = (),
    block: int = 512,
    threads: int = 2,
    level: int | None = None,
) -> Iterator[WriteWindow]:
    """Write a tiled GeoTIFF window by window; it gets its name when the block ends well, else nothing is left.

    Three bands of uint8 are written as RGB. What no window covers holds ``nodata`` (0 without one). CRS, transform
    (rotated too), GCPs and RPCs of ``geobox`` go into the file. Writing calls must come from one thread at a time;
    windows that are whole rows of blocks are written once, others may be decoded and written again.

    Args:
        path: the target; a file of that name is replaced.
        geobox: the grid.
        bands: number of bands.
        dtype: NumPy name of the pixel type.
        nodata: the value that stands for "no data".
        colors: class id -> (red, green, blue), for one band of uint8.
        compress: lossless compression of the blocks.
        tags: text items for the file's default domain.
        names: of the bands; none if empty.
        block: side of the square blocks in pixels, a multiple of 16.
        threads: threads that compress.
        level: the compressor's own level; its default if None.

    Raises:
        OutputError: if the file cannot be written to its last byte (full disk, unwritable folder).
    """
    part = part_path(path)
    options = _options(geobox, bands=bands, dtype=dtype, compress=compress, block=block, threads=threads, level=level)
    try:
        with raster_environment():
            with gdal_errors(path):
                remove(part)  # GDAL opens what it is to replace, and may fail on it
                target = quiet_open(part, "w", nodata=nodata, **options)
            try:
                with gdal_errors(path):
                    _describe(target, geobox, colors=colors, nodata=nodata, tags=tags or {}, names=names)
                yield _window_writer(target, path)
            except BaseException:
                with suppress(*READ_FAILURES):  # what failed first is what matters
                    target.close()
                raise
            with gdal_errors(path):
                target.close()
            check_whole(part, target=path)
        put_in_place(part, path)
    except BaseException:
        with output_errors(path):
            remove(part)
        raise


def _options(
    geobox: GeoBox, *, bands: int, dtype: str, compress: str, block: int, threads: int, level: int | None
) -> dict[str, Any]:
    """Creation options of rasterio."""
    options: dict[str, Any] = {
        "driver": "GTiff",
        "height": geobox.shape[0],
        "width": geobox.shape[1],
        "count": bands,
        "dtype": dtype,
        "tiled": True,
        "blockxsize": block,
        "blockysize": block,
        "interleave": "pixel",
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": str(threads),
        **placement(geobox),
    }
    if compress != "none":
        options["compress"] = compress
    if level is not None:
        options["ZLEVEL" if compress == "deflate" else "ZSTD_LEVEL"] = str(level)
    if bands == 3 and dtype == "uint8":
        options["photometric"] = "RGB"
    return options


def placement(geobox: GeoBox) -> dict[str, Any]:
    """Keywords of rasterio that place a new raster on ``geobox``; RPCs are not among them but tags."""
    keywords: dict[str, Any] = {}
    if geobox.crs is not None:
        keywords["crs"] = CRS.from_wkt(geobox.crs)
    if geobox.gcps:
        keywords["gcps"] = [GroundControlPoint(row=p.row, col=p.col, x=p.x, y=p.y, z=p.z) for p in geobox.gcps]
    elif geobox.transform != IDENTITY:
        keywords["transform"] = Affine(*geobox.transform)
    return keywords


def _describe(
    target: Any,
    geobox: GeoBox,
    *,
    colors: Mapping[int, Color] | None,
    nodata: float | None,
    tags: Mapping[str, str],
    names: tuple[str, ...],
) -> None:
    """Write all that is not pixels; GDAL wants it before them, or writes the directory twice."""
    if geobox.rpcs:
        target.update_tags(ns="RPC", **dict(geobox.rpcs))
    if colors:
        target.write_colormap(1, {k: (*rgb, 0 if k == nodata else 255) for k, rgb in colors.items()})
    if tags:
        target.update_tags(**tags)
    if names:
        target.descriptions = names


def _window_writer(target: Any, path: Path) -> WriteWindow:
    def write(array: npt.NDArray[Any], window: Window) -> None:
        with gdal_errors(path):
            target.write(array, window=RasterioWindow(window.col_off, window.row_off, window.width, window.height))

    return write


@contextmanager
def gdal_errors(path: Path) -> Iterator[None]:
    """Turn what GDAL and rasterio raise in the block into one line about ``path``.

    Raises:
        OutputError: for any of them.
    """
    try:
        yield
    except GeosegError:
        raise
    except READ_FAILURES as error:
        raise OutputError(failure(path, reason=reason(error))) from error


def quiet_open(path: Path, mode: str = "r", **options: Any) -> Any:
    """``rasterio.open`` without the warning about rasters that are nowhere: geoseg says that in its own words.

    The filters of ``warnings`` belong to the whole process, hence the lock.
    """
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, mode, **options)


def check_whole(path: Path, *, target: Path) -> None:
    """Make sure that a GeoTIFF just closed has all its blocks, overviews included.

    GDAL loses what it is told when it compresses in threads or closes: on a full disk both end without an error
    (tried with 3.10), leaving a file whose blocks are missing or lie beyond its end.

    Raises:
        OutputError: if a block is missing or cut.
    """
    size = path.stat().st_size
    try:
        with quiet_open(path) as raster:
            levels = len(raster.overviews(1))
        whole = True
        for level in [None, *range(levels)]:
            with quiet_open(path, **({} if level is None else {"overview_level": level})) as raster:
                whole = whole and _has_blocks(raster, size=size)
    except READ_FAILURES:
        whole = False
    if not whole:
        raise OutputError(failure(target, reason=f"only {size} bytes of it reached the disk"))


def _has_blocks(raster: Any, *, size: int) -> bool:
    """True if every block of an open GeoTIFF lies within ``size`` bytes."""
    (high, wide), separate = raster.block_shapes[0], raster.interleaving.name != "pixel"
    for band in range(1, raster.count + 1 if separate else 2):
        for row in range(-(-raster.height // high)):
            for col in range(-(-raster.width // wide)):
                offset = raster.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band)
                length = raster.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=band)
                if not offset or not length or int(offset) + int(length) > size:
                    return False
    return True
