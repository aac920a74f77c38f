"""Scores of blocks as a map: a GeoPackage of squares, or a GeoTIFF with a pixel for each block."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import OutputError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.raster.atomic import output_errors, put_in_place, refuse_existing, refuse_unwritable, remove
from geoseg.raster.geopackage import GPKG_OPTIONS
from geoseg.raster.geotiff import geotiff_writer
from geoseg.raster.styles import gray_qml, write_qml

SUFFIXES = (".gpkg", ".tif", ".tiff")
LAYER = "blocks"


def refuse_block_path(target: Path, *, overwrite: bool) -> None:
    """Refuses a target that cannot be, before any work.

    Raises:
        OutputError: for another suffix, or a folder that cannot be written.
        OutputExistsError: if it is there.
    """
    if target.suffix.lower() not in SUFFIXES:
        raise OutputError(f"scores of blocks go into a .gpkg or a .tif, not into {target}")
    refuse_unwritable(target)
    refuse_existing(target, overwrite=overwrite)


def write_blocks(
    target: Path,
    columns: Mapping[str, npt.NDArray[Any]],
    *,
    box: GeoBox,
    block: int,
    bands: tuple[str, ...],
    overwrite: bool = False,
) -> None:
    """Writes scores of blocks; an existing file is replaced.

    Args:
        target: ``.gpkg`` or ``.tif``.
        columns: one value of each column for each block; ``row`` and ``col`` (of the block) are among them.
        box: the grid of the map.
        block: side of the blocks, pixels. In a GeoPackage those at the map's edge are cut; a GeoTIFF's last pixels
            reach beyond it.
        bands: names of the columns that become bands of a GeoTIFF, as float32, NaN where there is no score; the first
            goes from 0 to 1, and a ``.qml`` beside it has QGIS draw that one.
        overwrite: replace a ``.qml`` that is there.

    Raises:
        OutputError: if it cannot be written.
    """
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix.lower() == ".gpkg":
        _write_squares(target, columns, box=box, block=block)
    else:
        _write_pixels(target, columns, box=box, block=block, bands=bands, overwrite=overwrite)


def _write_pixels(
    target: Path,
    columns: Mapping[str, npt.NDArray[Any]],
    *,
    box: GeoBox,
    block: int,
    bands: tuple[str, ...],
    overwrite: bool,
) -> None:
    height, width = (-(-length // block) for length in box.shape)
    a, b, c, d, e, f = box.transform
    coarse = replace(box, shape=(height, width), gcps=(), rpcs=())
    if not (box.gcps or box.rpcs):
        coarse = replace(coarse, transform=(a * block, b * block, c, d * block, e * block, f))
    values = np.full((len(bands), height, width), np.nan, np.float32)
    for k, name in enumerate(bands):
        values[k, columns["row"], columns["col"]] = columns[name]
    with geotiff_writer(
        target,
        geobox=coarse,
        bands=len(bands),
        dtype="float32",
        nodata=float("nan"),
        tags={"GEOSEG_BLOCK": str(block)},
        names=bands,
    ) as write:
        write(values, Window.whole(coarse.shape))
    write_qml(target, gray_qml(highest=1.0), overwrite=overwrite)  # of three bands and more QGIS makes a composite


def _write_squares(target: Path, columns: Mapping[str, npt.NDArray[Any]], *, box: GeoBox, block: int) -> None:
    import pyogrio
    import shapely

    top, left = columns["row"] * block, columns["col"] * block
    bottom, right = np.minimum(top + block, box.shape[0]), np.minimum(left + block, box.shape[1])
    corners = [(left, top), (left, bottom), (right, bottom), (right, top), (left, top)]
    rings = np.array([box.world(x, y) for x, y in corners])
    part = target.with_name(f".{target.stem}.part.gpkg")
    with output_errors(target), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided", category=UserWarning)
        remove(part)
        try:
            pyogrio.raw.write(
                part,
                np.asarray(shapely.to_wkb(shapely.polygons(rings.transpose(2, 0, 1)))),
                list(columns.values()),
                list(columns),
                layer=LAYER,
                driver="GPKG",
                geometry_type="Polygon",
                crs=box.crs,
                **GPKG_OPTIONS,
            )
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyogrio.errors.FeatureError) as error:
            remove(part)
            raise OutputError(f"cannot write {target}: {' '.join(str(error).split())}") from error
        put_in_place(part, target)
