"""Polygons of a vector file, with the class of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import GridError, LegendError, SceneReadError
from geoseg.raster.crs import crs_name, same_crs
from geoseg.raster.geoparquet import column_names, is_geoparquet, read_geoparquet
from geoseg.raster.urls import is_url

CLASS_COLUMNS = ("class_name", "class_id", "map_name", "map_class")
"""Columns that name a class, the best first."""

ID, NAME = "class_id", "name"
"""Columns of the files that geoseg writes: ids are compared, names are for people."""

_RASTERS = (".tif", ".tiff", ".zarr", ".vrt", ".png", ".jpg", ".jpeg", ".jp2", ".img")
"""Endings of what has no polygons to read, of which GDAL would say more and less."""

_POLYGONS = (3, 6)  # shapely's numbers of polygon and multipolygon


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Objects:
    """The polygons of a file."""

    uri: str
    geometries: npt.NDArray[Any]
    """(n,) shapely polygons or multipolygons, valid, none empty."""
    crs: str | None
    """As WKT."""
    columns: tuple[str, ...]
    """Of the layer."""
    classes: npt.NDArray[Any] | None
    """(n,) text; None if no column was asked for."""
    names: Mapping[str, str]
    """Of classes, where they are told by an id and the file names them."""
    left_out: int
    """Features that are no polygons, or empty."""


def columns_of(uri: str, *, layer: str | None = None) -> tuple[str, ...]:
    """Names of the columns of a layer (the first, if none is named).

    Raises:
        SceneReadError: if the file cannot be read, or has no such layer.
    """
    import pyogrio

    if not is_url(uri) and not uri.startswith("/vsi") and not Path(uri).exists():
        raise SceneReadError(f"{uri}: no such file")
    if uri.lower().rstrip("/").endswith(_RASTERS):
        raise SceneReadError(f"{uri} is no vector file: geoseg export makes polygons of a class map")
    if is_geoparquet(uri):
        return column_names(uri)
    try:
        return tuple(str(name) for name in pyogrio.read_info(uri, layer=layer or _first(uri))["fields"])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise SceneReadError(f"{uri}: cannot be read as vectors: {' '.join(str(error).split())}") from error


def read_objects(uri: str, *, layer: str | None = None, column: str | None = None) -> Objects:
    """The polygons of a layer, all in memory.

    Args:
        uri: whatever GDAL reads as vectors, or GeoParquet.
        layer: of the file; None takes the first.
        column: that names the class of each; None: classes are not read.

    Raises:
        SceneReadError: if it cannot be read.
        LegendError: if it lacks the column.
    """
    import pyproj
    import shapely

    columns = columns_of(uri, layer=layer)
    if column is not None and column not in columns:
        raise LegendError(f"{uri} has no column {column!r} to tell classes by, it has {', '.join(columns) or 'none'}")
    wanted = [] if column is None else [column, *([NAME] if column == ID and NAME in columns else [])]
    crs, wkb, data = _read(uri, layer, wanted)
    try:
        crs = None if crs is None else str(pyproj.CRS.from_user_input(crs).to_wkt())
        geometries = _valid(shapely.force_2d(shapely.from_wkb([] if wkb is None else wkb, on_invalid="ignore")))
    except (pyproj.exceptions.CRSError, shapely.errors.GEOSException, TypeError) as error:
        raise SceneReadError(f"{uri}: cannot be read as vectors: {' '.join(str(error).split())}") from error
    kept = np.isin(shapely.get_type_id(geometries), _POLYGONS) & ~shapely.is_empty(geometries)
    texts = [np.array([_text(value) for value in values.tolist()], object)[kept] for values in data]
    return Objects(
        uri=uri,
        geometries=geometries[kept],
        crs=crs,
        columns=columns,
        classes=texts[0] if texts else None,
        names=dict(zip(*texts, strict=True)) if len(texts) > 1 else {},
        left_out=int((~kept).sum()),
    )


def _read(uri: str, layer: str | None, columns: list[str]) -> tuple[str | None, Any, list[npt.NDArray[Any]]]:
    """CRS, WKB and values of columns."""
    import pyogrio

    if is_geoparquet(uri):
        found = read_geoparquet(uri, columns=columns)
        return found.crs, found.wkb, list(found.columns.values())
    try:
        meta, _, wkb, data = pyogrio.raw.read(uri, layer=layer or _first(uri), columns=columns)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise SceneReadError(f"{uri}: cannot be read as vectors: {' '.join(str(error).split())}") from error
    order = [str(name) for name in meta["fields"]]  # the file's, not that of what was asked for
    return meta["crs"], wkb, [data[order.index(name)] for name in columns]


def _first(uri: str) -> str | None:
    """The first layer: pyogrio takes it too, but warns of others, and a GeoPackage has its styles."""
    import pyogrio

    return next((str(name) for name, _ in pyogrio.list_layers(uri)), None)


def common_column(files: Sequence[tuple[str, ...]]) -> str | None:
    """A column that names a class in all files; None if there is none."""
    return next((name for name in CLASS_COLUMNS if all(name in columns for columns in files)), None)


def onto_crs(objects: Objects, crs: str | None, *, uri: str) -> npt.NDArray[Any]:
    """The polygons in another CRS: their vertices are moved, edges stay straight.

    Raises:
        GridError: if one of the two lies nowhere.
    """
    import pyproj
    import shapely

    if same_crs(objects.crs, crs):
        return objects.geometries
    if objects.crs is None or crs is None:
        without, other = (objects.uri, uri) if objects.crs is None else (uri, objects.uri)
        raise GridError(
            f"{without} has no CRS and {other} has one: give both the same ({crs_name(objects.crs or crs)})"
        )
    move = pyproj.Transformer.from_crs(objects.crs, crs, always_xy=True)
    moved = shapely.transform(objects.geometries, lambda p: np.column_stack(move.transform(p[:, 0], p[:, 1])))
    return _valid(moved)


def _valid(geometries: Any) -> npt.NDArray[Any]:
    """Polygons that are none in the strict sense are made so, without lines and points that are left of them."""
    import shapely

    return np.asarray(shapely.make_valid(geometries, method="structure", keep_collapsed=False))


def _text(value: Any) -> str:
    """A class as text: 3.0 of a nullable column is 3."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
