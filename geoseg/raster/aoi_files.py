"""Areas of interest out of vector files: polygons of any format and CRS, on the grid of a scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import SceneError, SceneReadError
from geoseg.geometry.geobox import GeoBox
from geoseg.raster.aoi import AreaOfInterest, area_on
from geoseg.raster.crs import area_around, crs_name, operation_between, same_crs, transformer_of, turn_of
from geoseg.raster.urls import is_url

_STRAIGHT = 0.1
"""Pixels that a straight edge may bend away from its image in the scene's CRS before it gets another vertex."""

_ROUNDS = 20
"""Times that edges are halved at most: a millionth of their length."""

_POLYGON = 3  # shapely's number of the type; larger ones are collections

_Points = npt.NDArray[np.float64]


def read_area(path: str, box: GeoBox, *, layer: str | None = None) -> AreaOfInterest:
    """The union of all polygons of a vector file, in the CRS of a scene's grid.

    Args:
        path: GeoPackage, GeoJSON, Shapefile, FlatGeobuf, GeoParquet or whatever else GDAL reads; path or URL.
        box: the grid that is read.
        layer: of the file; None takes the polygons of all layers.

    Raises:
        SceneReadError: if the file cannot be read.
        SceneError: if it holds no polygons, lies nowhere (no CRS), or misses the scene; or the scene lies nowhere.
    """
    import shapely

    if box.gcps or box.rpcs:
        raise SceneError(f"--aoi {path}: the scene is placed by GCPs or RPCs: orthorectify it first (gdalwarp)")
    if box.crs is None:
        raise SceneError(f"--aoi {path}: the scene has no CRS, so the area has no place on it: give the scene its CRS")
    parts = []
    for name, crs, geometries in _layers(path, layer):
        polygons = _polygons(geometries)
        if len(polygons):
            if crs is None:
                raise SceneError(f"--aoi {path}: layer {name} has no CRS: write it with one (for shapefiles a .prj)")
            parts.append(_onto(shapely.union_all(polygons), _wkt(crs, path), box, path=path))
    if not parts:
        raise SceneError(f"--aoi {path}: holds no polygons{'' if layer is None else f' in layer {layer}'}")
    area = shapely.union_all(parts)
    area = shapely.multipolygons(_polygons(np.array([area])))
    scene = shapely.polygons([box.world(*corner) for corner in _corners(box)])
    if not shapely.intersects(area, scene):
        spans = [_bounds(shapely.bounds(g)) for g in (area, scene)]
        raise SceneError(
            f"--aoi {path}: misses the scene: in {crs_name(box.crs)} it spans {spans[0]}, the scene {spans[1]}"
        )
    return area_on(area, box)


def _bounds(bounds: npt.NDArray[np.float64]) -> str:
    if not np.isfinite(bounds).all():
        return "nothing near it"
    west, south, east, north = (f"{value:.6g}" if abs(value) < 1000 else f"{value:.0f}" for value in bounds)
    return f"x {west} to {east}, y {south} to {north}"


def _corners(box: GeoBox) -> list[tuple[int, int]]:
    height, width = box.shape
    return [(0, 0), (width, 0), (width, height), (0, height)]


def _layers(path: str, layer: str | None) -> list[tuple[str, str | None, npt.NDArray[Any]]]:
    """(name, CRS, WKB) of the layers of a file."""
    if not is_url(path) and not path.startswith("/vsi") and not Path(path).exists():
        raise SceneReadError(f"--aoi {path}: no such file")
    if Path(path).suffix.lower() in (".parquet", ".geoparquet"):
        return [_parquet(path)]
    import pyogrio

    try:
        names = [str(name) for name, _ in pyogrio.list_layers(path)]
        if layer is not None and layer not in names:
            raise SceneError(f"--aoi {path}: has no layer {layer!r}, there are {', '.join(names)}")
        found = []
        for name in names if layer is None else [layer]:
            meta, _, wkb, _ = pyogrio.raw.read(path, layer=name, columns=[], force_2d=True)
            if wkb is not None:
                found.append((name, meta["crs"], wkb))
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyogrio.errors.FieldError) as error:
        raise SceneReadError(f"--aoi {path}: cannot be read: {' '.join(str(error).split())}") from error
    return found


def _parquet(path: str) -> tuple[str, str | None, npt.NDArray[Any]]:
    """The primary geometry of a GeoParquet file."""
    from geoseg.raster.geoparquet import read_geoparquet

    try:
        found = read_geoparquet(path)
    except SceneReadError as error:
        raise SceneReadError(f"--aoi {error}") from error
    return found.geometry, found.crs, found.wkb


def _polygons(geometries: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The valid polygons among geometries (shapely's, or WKB), those inside collections too."""
    import shapely

    if geometries.dtype == object and len(geometries) and isinstance(geometries[0], bytes | type(None)):
        geometries = shapely.from_wkb(geometries, on_invalid="ignore")
    parts = geometries[~(shapely.is_missing(geometries) | shapely.is_empty(geometries))]
    parts = shapely.make_valid(shapely.get_parts(parts))
    while (shapely.get_type_id(parts) > _POLYGON).any():
        parts = shapely.get_parts(parts)
    return np.asarray(parts[shapely.get_type_id(parts) == _POLYGON])


def _wkt(crs: str, path: str) -> str:
    import pyproj

    try:
        return str(pyproj.CRS.from_user_input(crs).to_wkt())
    except pyproj.exceptions.CRSError as error:
        raise SceneError(f"--aoi {path}: its CRS cannot be understood: {error}") from error


def _onto(polygon: Any, crs: str, box: GeoBox, *, path: str) -> Any:
    """A (multi)polygon of another CRS in that of the scene, cut to the scene's surroundings first."""
    import shapely

    assert box.crs is not None
    if same_crs(crs, box.crs):
        return polygon
    polygon = _near(polygon, crs, box)
    forward = transformer_of(operation_between(crs, box.crs, area_around(box))[0])
    turn = turn_of(box.crs)
    middle, _ = box.world(box.shape[1] / 2, box.shape[0] / 2)

    def project(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        x, y = forward.transform(points[:, 0], points[:, 1])
        if turn is not None:
            x = x - np.round((x - middle) / turn) * turn
        return np.column_stack([x, y])

    a, b, _, d, e, _ = box.transform
    slack = _STRAIGHT * min(np.hypot(a, d), np.hypot(b, e))
    rings = []
    for part in _polygons(np.array([polygon])):
        exterior, *holes = (
            _true_ring(shapely.get_coordinates(ring), project, slack=slack) for ring in shapely.get_rings(part)
        )
        rings.append(shapely.Polygon(exterior, holes))
    found = shapely.union_all(_polygons(np.array(rings)))
    if not np.isfinite(shapely.bounds(found)).all() and rings:
        raise SceneError(
            f"--aoi {path}: reaches to where {crs_name(box.crs)} is not defined: cut it to the scene's surroundings"
        )
    return found


def _true_ring(points: _Points, project: Callable[[_Points], _Points], *, slack: float) -> _Points:
    """A closed ring projected, with vertices where its straight edges bend by more than ``slack``."""
    projected = project(points)
    for _ in range(_ROUNDS):
        middles = (points[:-1] + points[1:]) / 2
        there = project(middles)
        with np.errstate(invalid="ignore"):
            bend = np.hypot(*(there - (projected[:-1] + projected[1:]) / 2).T)
            after = np.flatnonzero(bend > slack) + 1
        if not after.size:
            break
        points = np.insert(points, after, middles[after - 1], axis=0)
        projected = np.insert(projected, after, there[after - 1], axis=0)
    return projected


def _near(polygon: Any, crs: str, box: GeoBox) -> Any:
    """The polygon cut to three times the scene's extent: what is far away may have no place in the scene's CRS."""
    import shapely

    assert box.crs is not None
    back = transformer_of(operation_between(box.crs, crs, area_around(box))[0])
    height, width = box.shape
    edge = np.linspace(0, 1, 33)
    across = np.concatenate([edge, edge, 0 * edge, 0 * edge + 1]) * width
    down = np.concatenate([0 * edge, 0 * edge + 1, edge, edge]) * height
    a, b, c, d, e, f = box.transform
    x, y = back.transform(a * across + b * down + c, d * across + e * down + f)
    turn = turn_of(crs)
    if turn is not None:
        x = x - np.round((x - x[0]) / turn) * turn
    left, right, low, high = x.min(), x.max(), y.min(), y.max()
    wide, tall = right - left, high - low
    left, right, low, high = left - wide, right + wide, low - tall, high + tall
    if not np.isfinite([left, right, low, high]).all():
        return polygon
    if turn is not None and (left < -turn / 2 or right > turn / 2):
        return polygon  # across the antimeridian, where areas are written in two halves
    return shapely.intersection(polygon, shapely.box(left, low, right, high))
