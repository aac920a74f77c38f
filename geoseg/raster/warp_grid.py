"""Which grid of another CRS a scene is read on, and by which of PROJ's operations."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geoseg.errors import SceneError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.raster.georeference import wkt_of
from geoseg.raster.mosaic_grid import cover_points, pixel
from geoseg.raster.pixel_size import SQUARE
from geoseg.raster.warp import Warp

if TYPE_CHECKING:
    import pyproj

PREFILTER = 1.5
"""Source pixels an output pixel spans from which they are averaged before the warp, so that nothing aliases."""

_EDGE = 65
"""Points along an edge that are tried."""

_TORN = 16.0
"""Times the median step between neighbours on an edge from which the edge is taken for torn apart."""

_Points = npt.NDArray[np.float64]


def wkt_of_user(text: str) -> str:
    """WKT of a CRS as a user names it.

    Raises:
        SceneError: if GDAL does not know it.
    """
    try:
        with rasterio.Env():  # or GDAL writes a line of its own to stderr
            wkt = wkt_of(CRS.from_user_input(text))
    except (CRSError, ValueError) as error:
        raise SceneError(f"--dst-crs {text!r}: no CRS that GDAL knows; name one as EPSG:32633 or as WKT") from error
    if wkt is None:
        raise SceneError(f"--dst-crs {text!r}: no CRS that can be written as WKT")
    return wkt


@lru_cache(maxsize=64)
def same_crs(one: str | None, other: str | None) -> bool:
    """True if two WKTs mean the same CRS, axis order aside."""
    if one == other or one is None or other is None:
        return one == other
    return bool(_crs(one).equals(_crs(other), ignore_axis_order=True))


@lru_cache(maxsize=64)
def crs_name(wkt: str | None) -> str:
    """How people call a CRS: ``EPSG:32633`` where it has such a name."""
    if wkt is None:
        return "no CRS"
    crs = _crs(wkt)
    authority = crs.to_authority(min_confidence=90)
    return ":".join(authority) if authority else str(crs.name)


@lru_cache(maxsize=64)
def turn_of(wkt: str | None) -> float | None:
    """A full turn in the units of a geographic CRS; None for any other."""
    if wkt is None:
        return None
    crs = _crs(wkt)
    return 2 * math.pi / float(crs.axis_info[0].unit_conversion_factor) if crs.is_geographic else None


Area = tuple[float, float, float, float]
"""West, south, east, north, whole degrees."""


def area_around(box: GeoBox) -> Area | None:
    """About where the middle of a grid lies; None if nothing tells."""
    assert box.crs is not None
    to_degrees = _to_degrees(box.crs)
    if to_degrees is None:
        return None
    height, width = box.shape
    lon, lat = to_degrees.transform(*box.world(width / 2, height / 2))
    if not (math.isfinite(lon) and -89 < lat < 89):
        return None
    lon = lon - math.floor((lon + 180) / 360) * 360
    west, south = float(math.floor(min(max(lon, -179), 178))), float(math.floor(lat))
    return west, south, west + 1, south + 1


@lru_cache(maxsize=64)
def _to_degrees(wkt: str) -> pyproj.Transformer | None:
    import pyproj

    crs = _crs(wkt)
    try:
        return pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    except pyproj.exceptions.ProjError:
        return None


@lru_cache(maxsize=64)
def operation_between(source: str, target: str, area: Area | None) -> tuple[str, tuple[str, ...]]:
    """PROJ's best pipeline, of those whose grids are here, from one CRS (WKT) to another; and notes.

    Chosen once, when a run is planned: a worker with other grids at hand would choose otherwise.

    Args:
        source: from.
        target: to.
        area: where; which operation is best depends on the place. None = anywhere.

    Raises:
        SceneError: if there is none.
    """
    from pyproj.aoi import AreaOfInterest
    from pyproj.exceptions import ProjError
    from pyproj.transformer import TransformerGroup

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about missing grids: said as a note
            around = None if area is None else AreaOfInterest(*area)
            group = TransformerGroup(_crs(source), _crs(target), always_xy=True, area_of_interest=around)  # type: ignore[arg-type]  # its stub names another class
        definition = group.transformers[0].definition
        transformer_of(definition)
    except (ProjError, IndexError, SceneError) as error:
        raise SceneError(
            f"PROJ knows no way from {crs_name(source)} to {crs_name(target)}: choose another --dst-crs"
        ) from error
    notes = [] if group.best_available else [f"from {crs_name(source)} to {crs_name(target)}: {_missing(group)}"]
    return definition, tuple(notes)


def _missing(group: Any) -> str:
    names = sorted({grid.short_name for op in group.unavailable_operations for grid in op.grids if not grid.available})
    found = f"PROJ's best operation needs {', '.join(names[:3]) or 'grids'}, not here"
    accuracy = group.transformers[0].accuracy
    return found + (f"; the one taken is good to {accuracy:g} m" if accuracy > 0 else "")


@lru_cache(maxsize=64)
def transformer_of(operation: str) -> pyproj.Transformer:
    """PROJ's transformer of a pipeline; may be used by all threads.

    Raises:
        SceneError: if PROJ cannot run it here.
    """
    import pyproj

    try:
        return pyproj.Transformer.from_pipeline(operation)
    except pyproj.exceptions.ProjError as error:
        raise SceneError(f"PROJ cannot run {operation!r} here: are the grids it names installed?") from error


def frame_of(source: GeoBox, target: str) -> GeoBox:
    """A north-up grid of the CRS ``target`` whose pixels are about as large on the ground as the source's.

    Its sides are the source's steps as they appear along each axis of the target, equal where they nearly are, and
    its corner lies at a multiple of them; only the pixel size and the corner count, its shape is 1 x 1.

    Raises:
        SceneError: if the source's centre has no place in that CRS.
    """
    assert source.crs is not None
    operation, _ = operation_between(source.crs, target, area_around(source))
    height, width = source.shape
    here = [source.world(width / 2 + right, height / 2 + down) for right, down in ((0, 0), (1, 0), (0, 1))]
    x, y = transformer_of(operation).transform(*np.array(here).T)
    turn = turn_of(target)
    if turn is not None:
        x = x - np.round((x - x[0]) / turn) * turn
    across, down = math.hypot(x[1] - x[0], x[2] - x[0]), math.hypot(y[1] - y[0], y[2] - y[0])
    if not (math.isfinite(across) and math.isfinite(down) and across > 0 and down > 0):
        raise SceneError(f"the scene's centre has no place in {crs_name(target)}: choose another --dst-crs")
    if abs(across / down - 1) < SQUARE:
        across = down = math.sqrt(across * down)
    left, top = math.floor(x[0] / across) * across, math.ceil(y[0] / down) * down
    return GeoBox(shape=(1, 1), transform=(across, 0.0, left, 0.0, -down, top), crs=target)


def warped_cover(source: GeoBox, frame: GeoBox) -> Window:
    """The pixels of the grid of ``frame`` on which ``source`` has something; they may lie outside ``frame``.

    Raises:
        SceneError: if no part of the source has a place in that CRS, or one of its edges runs through it.
    """
    assert source.crs is not None
    assert frame.crs is not None
    operation, _ = operation_between(source.crs, frame.crs, area_around(source))
    columns, rows = _sample(source.shape)
    a, b, c, d, e, f = source.transform
    x, y = transformer_of(operation).transform(a * columns + b * rows + c, d * columns + e * rows + f)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise SceneError(f"no part of the scene has a place in {crs_name(frame.crs)}: choose another --dst-crs")
    turn = turn_of(frame.crs)
    if turn is not None:  # a scene across the antimeridian: east of 180 goes on as 181
        with np.errstate(invalid="ignore"):
            x = x - np.round((x - x[known][0]) / turn) * turn
    window = cover_points(pixel(frame, float(p), float(q)) for p, q in zip(x[known], y[known], strict=True))
    if _torn(x / frame.transform[0], y / frame.transform[4]):
        raise SceneError(
            f"in {crs_name(frame.crs)} the scene would be torn over {window.width:,} x {window.height:,} pixels:"
            " an edge of that CRS (its antimeridian, say) runs through it; choose a CRS made for the place"
        )
    grow = 1  # what bulges between two points of the sample
    return Window(
        row_off=window.row_off - grow,
        col_off=window.col_off - grow,
        height=window.height + 2 * grow,
        width=window.width + 2 * grow,
    )


def _torn(columns: _Points, rows: _Points) -> bool:
    """True if neighbours on an edge of the sample lie far apart, by the measure of that edge."""
    edges = (slice(i * _EDGE, (i + 1) * _EDGE) for i in range(4))
    for edge in edges:
        with np.errstate(invalid="ignore"):
            steps = np.hypot(np.diff(columns[edge]), np.diff(rows[edge]))
        steps = steps[np.isfinite(steps)]
        if steps.size and steps.max() > max(1.0, _TORN * float(np.median(steps))):
            return True
    return False


def _sample(shape: tuple[int, int]) -> tuple[_Points, _Points]:
    """(columns, rows) of points along the edges, the upper one first, and inside."""
    height, width = shape
    along, inside = np.linspace(0, 1, _EDGE), np.linspace(0, 1, 17)
    zero, one = np.zeros(_EDGE), np.ones(_EDGE)
    across, down = (values.ravel() for values in np.meshgrid(inside, inside))
    columns = np.concatenate([along, along, zero, one, across])
    rows = np.concatenate([zero, one, along, along, down])
    return columns * width, rows * height


def prefilter_of(source: GeoBox, grid: GeoBox, *, operation: str, reach: Window) -> tuple[float, float]:
    """(rows, columns) of source pixels that a pixel of ``grid`` spans, in the middle of its spread; 1 where few."""
    warp = Warp(grid=grid, source=source, transformer=transformer_of(operation), turn=turn_of(source.crs))
    share = np.linspace(0.1, 0.9, 5)
    across, down = np.meshgrid(reach.col_off + share * reach.width, reach.row_off + share * reach.height)
    columns, rows = across.ravel(), down.ravel()
    here, right, below = warp.exact(columns, rows), warp.exact(columns + 1, rows), warp.exact(columns, rows + 1)
    with np.errstate(invalid="ignore"):
        spans = [np.hypot(right[axis] - here[axis], below[axis] - here[axis]) for axis in (1, 0)]
    found = [float(np.median(span[np.isfinite(span)])) if np.isfinite(span).any() else 1.0 for span in spans]
    high, wide = (span if span > PREFILTER else 1.0 for span in found)
    return high, wide


@lru_cache(maxsize=64)
def _crs(wkt: str) -> pyproj.CRS:
    import pyproj

    return pyproj.CRS.from_wkt(wkt)
