"""Where a grid lies in longitude and latitude: its outline as GeoJSON (RFC 7946), cut at the antimeridian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.geometry.geobox import IDENTITY, GeoBox

_EDGE = 16
"""Points along each side of a grid: straight lines bend on the way to degrees."""

_DIGITS, _MOST_DIGITS = 7, 12
"""Decimals of a degree: about a centimetre, and more where that is not small beside the steps along the outline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """An outline in EPSG:4326."""

    geometry: dict[str, Any]
    """A Polygon, or a MultiPolygon of the parts on both sides of the antimeridian."""
    bbox: tuple[float, float, float, float]
    """West, south, east, north; west is greater than east across the antimeridian."""


def footprint_of(box: GeoBox) -> Footprint | None:
    """The outline of a grid; None where nothing ties it to the earth: no CRS or transform, GCPs, or another planet."""
    if box.crs is None or box.transform == IDENTITY or box.gcps:
        return None
    ring = _ring(box, box.crs)
    if ring is None:
        return None
    lon, lat = ring.T
    digits = _digits(ring)
    south, north = float(lat.min()), float(lat.max())
    shift = 360 * np.floor((lon.min() + 180) / 360)
    lon = lon - shift
    west, east = float(lon.min()), float(lon.max())
    if east <= 180:
        geometry = {"type": "Polygon", "coordinates": [_closed(lon, lat, digits=digits)]}
        return Footprint(geometry=geometry, bbox=_rounded(west, south, east, north))
    return Footprint(geometry=_cut(lon, lat, digits=digits), bbox=_rounded(west, south, east - 360, north))


def _ring(box: GeoBox, wkt: str) -> npt.NDArray[np.float64] | None:
    """(n, 2): longitude and latitude of the outline, anticlockwise, without a jump; not closed."""
    import pyproj

    height, width = box.shape
    steps = np.linspace(0, 1, _EDGE, endpoint=False)
    cols = np.concatenate([0 * steps, steps, 1 + 0 * steps, 1 - steps]) * width
    rows = np.concatenate([steps, 1 + 0 * steps, 1 - steps, 0 * steps]) * height
    a, b, c, d, e, f = box.transform
    try:
        crs = pyproj.CRS.from_wkt(wkt)
        to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        lon, lat = to_degrees.transform(a * cols + b * rows + c, d * cols + e * rows + f)
    except pyproj.exceptions.ProjError:
        return None
    ring = np.column_stack([lon, lat])
    if not np.isfinite(ring).all() or np.abs(ring[:, 1]).max() > 90:
        return None
    ring[:, 0] = np.unwrap(ring[:, 0], period=360)
    if np.ptp(ring[:, 0]) > 360 + 1e-6:
        return None
    x, y = (ring - ring[0]).T  # the area of a pixel drowns in the rounding of products of degrees
    turned = np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)
    return ring if turned > 0 else ring[::-1]


def _cut(lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64], *, digits: int) -> dict[str, Any]:
    """The parts on both sides of the antimeridian."""
    import shapely

    whole = shapely.Polygon(np.column_stack([lon, lat]))
    parts = []
    for low, shift in ((-180, 0), (180, 360)):
        part = whole.intersection(shapely.box(low, -90, low + 360, 90))
        for polygon in getattr(part, "geoms", [part]):
            if polygon.geom_type == "Polygon" and not polygon.is_empty:
                x, y = shapely.get_coordinates(shapely.Polygon(polygon.exterior).normalize()).T
                parts.append([_closed(x[:0:-1] - shift, y[:0:-1], digits=digits)])  # shapely's are clockwise
    return {"type": "MultiPolygon", "coordinates": parts}


def _digits(ring: npt.NDArray[np.float64]) -> int:
    """Decimals that keep an outline valid: at least a hundred of the last one along its shortest step."""
    steps = np.hypot(*np.diff(ring, axis=0, append=ring[:1]).T)
    with np.errstate(divide="ignore"):
        return int(np.clip(np.ceil(2 - np.log10(steps.min())), _DIGITS, _MOST_DIGITS))


def _closed(lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64], *, digits: int) -> list[list[float]]:
    points = [[round(float(x), digits), round(float(y), digits)] for x, y in zip(lon, lat, strict=True)]
    return [*points, points[0]]


def _rounded(*values: float) -> tuple[float, float, float, float]:
    west, south, east, north = (round(v, _DIGITS) for v in values)
    return west, south, east, north
