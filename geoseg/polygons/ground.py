"""Areas and lengths on the ground, whatever the CRS: from pixel corners by way of longitude and latitude.

Areas are taken in an equal-area projection of the CRS's own ellipsoid, lengths along its surface. For longitude and
latitude, and Mercator, the projection is the cylindrical one, in which edges along rows and columns stay straight; for
all others Lambert's azimuthal one around the middle of the scene. Long edges are measured in pieces, for they bend.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from geoseg.geometry.geobox import IDENTITY, GeoBox, Transform
from geoseg.polygons.ragged import Ints, offsets_of
from geoseg.polygons.regions import Regions, signed_areas

if TYPE_CHECKING:
    import pyproj

Points = npt.NDArray[np.float64]

LONGEST = 64
"""Pixels of an edge that is projected as one straight line. For pixels of up to a kilometre it bends by less than a
tenth of a pixel."""

_MEASURED = 16
"""Pixels of an edge that is measured as one straight line."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ground:
    """Turns pixel corners of a scene into places and measures; made by ``ground_of``."""

    transform: Transform
    unit: str
    """``m``, or ``px`` where nothing tells the size of a pixel."""
    step: tuple[float, float]
    """(across, down): about the length of a pixel's sides at the scene's middle, in that unit."""
    to_degrees: pyproj.Transformer | None
    equal_area: Any
    """``pyproj.Proj``; None for pixels."""
    axes: tuple[float, float]
    """Half axes of the ellipsoid, equatorial and polar, metres; unused for pixels."""
    middle: float
    """Longitude of the scene's middle, degrees."""
    degrees: float
    """Degrees in what ``to_degrees`` gives, which is the CRS's own angle."""

    def world(self, corners: npt.NDArray[np.generic]) -> Points:
        """(n, 2): x and y of pixel corners (column, row), in the scene's CRS."""
        a, b, c, d, e, f = self.transform
        col, row = np.asarray(corners[:, 0], np.float64), np.asarray(corners[:, 1], np.float64)
        return np.column_stack([a * col + b * row + c, d * col + e * row + f])

    def measure(self, regions: Regions) -> tuple[Points, Points]:
        """Area (n) and perimeter (n), holes' rims included, of regions."""
        coords, rings = densify(np.asarray(regions.coords, np.float64), regions.rings)
        if self.to_degrees is None:
            flat, lengths = coords, np.hypot(*(_following(coords, rings) - coords).T)
        else:
            flat, lengths = self._on_ellipsoid(coords, rings)
        areas = np.abs(signed_areas(flat, rings)) / 2
        areas[_holes(regions.parts)] *= -1
        per_ring = np.add.reduceat(lengths, rings[:-1]) if len(coords) else np.zeros(0)
        starts = regions.parts[:-1]
        if not len(starts):
            return np.zeros(0), np.zeros(0)
        return np.add.reduceat(areas, starts), np.add.reduceat(per_ring, starts)

    def pixel_areas(self, row: Ints, col: Ints) -> Points:
        """Area (n) of single pixels."""
        if self.to_degrees is None:
            return np.ones(len(row))
        corners = np.stack([np.stack([col + x, row + y], axis=-1) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))], axis=1)
        flat, _ = self._flat(corners.reshape(-1, 2).astype(np.float64))
        return np.abs(signed_areas(flat, np.arange(0, 4 * len(row) + 1, 4))) / 2

    def _on_ellipsoid(self, coords: Points, rings: Ints) -> tuple[Points, Points]:
        """Equal-area coordinates of vertices, and the lengths of the edges that begin at them."""
        flat, degrees = self._flat(coords)
        places = _in_space(np.radians(degrees), self.axes)
        chords = np.sqrt(((_following(places, rings) - places) ** 2).sum(axis=1))
        around = 2 * self.axes[0]
        return flat, around * np.arcsin(np.minimum(chords / around, 1))

    def _flat(self, coords: Points) -> tuple[Points, Points]:
        """Equal-area coordinates, and longitude and latitude, degrees."""
        assert self.to_degrees is not None
        places = self.world(coords)
        found = self.to_degrees.transform(places[:, 0], places[:, 1])
        lon, lat = (np.asarray(values, np.float64) * self.degrees for values in found)
        off = lon - self.middle
        lon = np.where(np.abs(off) > 180 + 1e-6, lon - 360 * np.sign(off), lon)  # across the antimeridian
        return np.column_stack(self.equal_area(lon, lat)), np.column_stack([lon, lat])


def ground_of(geobox: GeoBox) -> tuple[Ground, tuple[str, ...]]:
    """What turns the corners of a grid's pixels into places, and notes on what cannot be told."""
    placed = not (geobox.gcps or geobox.rpcs)
    transform = geobox.transform if placed else IDENTITY
    gsd = geobox.gsd() if placed else None
    why = _why_not(geobox, gsd)
    if why is not None:
        note = f"{why}: areas and lengths are in pixels (area_px, perimeter_px)"
        pixels = Ground(
            transform=transform,
            unit="px",
            step=(1.0, 1.0),
            to_degrees=None,
            equal_area=None,
            axes=(1.0, 1.0),
            middle=0.0,
            degrees=1.0,
        )
        return pixels, (note,)
    import pyproj  # not at the top: a tenth of a second

    crs = pyproj.CRS.from_wkt(str(geobox.crs))
    assert gsd is not None
    geodetic, ellipsoid = crs.geodetic_crs, crs.ellipsoid
    assert geodetic is not None
    assert ellipsoid is not None
    to_degrees = pyproj.Transformer.from_crs(crs, geodetic, always_xy=True)
    degrees = math.degrees(geodetic.axis_info[0].unit_conversion_factor)
    height, width = geobox.shape
    lon, lat = (degrees * value for value in to_degrees.transform(*geobox.world(width / 2, height / 2)))
    kind = {"proj": "cea", "lat_ts": 0} if _is_cylindrical(crs) else {"proj": "laea", "lat_0": lat}
    axes = (ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre)
    equal_area = pyproj.Proj({**kind, "lon_0": lon, "a": axes[0], "b": axes[1], "over": True})
    found = Ground(
        transform=transform,
        unit="m",
        step=gsd,
        to_degrees=to_degrees,
        equal_area=equal_area,
        axes=axes,
        middle=float(lon),
        degrees=degrees,
    )
    return found, ()


def densify(coords: Points, rings: Ints, *, longest: int = _MEASURED) -> tuple[Points, Ints]:
    """Rings whose edges are no longer than ``longest`` pixels along rows and columns."""
    if not len(coords):
        return coords, rings
    step = _following(coords, rings) - coords
    pieces = np.maximum(np.ceil(np.abs(step).max(axis=1) / longest), 1).astype(np.int64)
    if (pieces == 1).all():
        return coords, rings
    offsets = offsets_of(pieces)
    share = (np.arange(offsets[-1]) - np.repeat(offsets[:-1], pieces)) / np.repeat(pieces, pieces)
    return np.repeat(coords, pieces, axis=0) + np.repeat(step, pieces, axis=0) * share[:, None], offsets[rings]


def _in_space(lon_lat: Points, axes: tuple[float, float]) -> Points:
    """(n, 3): places on an ellipsoid, metres, of longitude and latitude in radians.

    The arc of the equator's curvature over the chord between two of them is the geodesic to 4 mm in 64 km, at a tenth
    of the cost.
    """
    squared = 1 - (axes[1] / axes[0]) ** 2
    sine, cosine = np.sin(lon_lat[:, 1]), np.cos(lon_lat[:, 1])
    radius = axes[0] / np.sqrt(1 - squared * sine**2)
    level = radius * cosine
    return np.column_stack(
        [level * np.cos(lon_lat[:, 0]), level * np.sin(lon_lat[:, 0]), radius * (1 - squared) * sine]
    )


def _following(values: Points, rings: Ints) -> Points:
    """For each vertex the next one on its ring."""
    found = np.roll(values, -1, axis=0)
    found[rings[1:] - 1] = values[rings[:-1]]
    return found


def _holes(parts: Ints) -> npt.NDArray[np.bool_]:
    """For each ring whether it is a hole's."""
    hole = np.ones(int(parts[-1]), np.bool_)
    hole[parts[:-1]] = False
    return hole


def _why_not(geobox: GeoBox, gsd: tuple[float, float] | None) -> str | None:
    """Why nothing tells the size of a pixel; None if something does."""
    if geobox.gcps or geobox.rpcs:
        return "the map is placed by GCPs or RPCs alone, so polygons are in pixels too"
    if geobox.crs is None:
        return "the map has no CRS"
    if gsd is None or not all(map(math.isfinite, gsd)):
        return "the map's CRS gives no ground distances"
    return None


def _is_cylindrical(crs: Any) -> bool:
    """True if rows and columns of north-up grids run along parallels and meridians."""
    if crs.is_geographic:
        return True
    method = "" if crs.coordinate_operation is None else crs.coordinate_operation.method_name
    return method in _CYLINDRICAL


_CYLINDRICAL = frozenset(
    {
        "Popular Visualisation Pseudo Mercator",
        "Mercator (variant A)",
        "Mercator (variant B)",
        "Mercator (1SP)",
        "Mercator (2SP)",
        "Equidistant Cylindrical",
        "Equidistant Cylindrical (Spherical)",
        "Lambert Cylindrical Equal Area",
        "Plate Carree",
    }
)
