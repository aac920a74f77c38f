"""Coordinate reference systems: names, equality, and PROJ's operations between two of them."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geoseg.errors import SceneError
from geoseg.geometry.geobox import GeoBox
from geoseg.raster.georeference import wkt_of

if TYPE_CHECKING:
    import pyproj


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


@lru_cache(maxsize=64)
def _crs(wkt: str) -> pyproj.CRS:
    import pyproj

    return pyproj.CRS.from_wkt(wkt)
