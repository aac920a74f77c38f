"""The ground area of pixels, whatever the CRS: degrees and Web Mercator too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from geoseg.geometry.geobox import IDENTITY, GeoBox
from geoseg.geometry.windows import Window

RowAreas = Callable[[Window], npt.NDArray[np.float64]]
"""Square metres of a pixel in each row of a window: (height,) float64, measured at the window's middle column."""


def row_areas(box: GeoBox) -> RowAreas | None:
    """A function that gives the area of pixels on the CRS's own ellipsoid; None if the grid has no place on it.

    The area of an ellipsoid's element is M N cos(lat) dlat dlon (M, N: its radii of curvature); a pixel is taken as
    one element, with the steps to its neighbours' middles. In projections that stretch east and west differently
    (UTM), pixels of one row differ by parts in a thousand across a whole zone, and by less within a window.
    """
    if box.crs is None or box.transform == IDENTITY or box.gcps:
        return None
    import pyproj  # not at the top: 0.1 s that `import geoseg` need not pay

    crs = pyproj.CRS.from_wkt(box.crs)
    geodetic, geod = crs.geodetic_crs, crs.get_geod()
    if geodetic is None or geod is None:
        return None
    try:
        to_degrees = pyproj.Transformer.from_crs(crs, geodetic, always_xy=True)
    except pyproj.exceptions.ProjError:
        return None
    unit = float(geodetic.axis_info[0].unit_conversion_factor)  # radians; not everybody's circle has 360 degrees
    turn = 2 * np.pi / unit
    major, flat = geod.a, geod.es

    def areas(window: Window) -> npt.NDArray[np.float64]:
        rows = np.arange(window.row_off, window.row_stop) + 0.5
        col = window.col_off + window.width / 2
        ends = [(col - 0.5, rows), (col + 0.5, rows), (col, rows - 0.5), (col, rows + 0.5)]
        lon, lat = np.array([_degrees(to_degrees, box, *end) for end in ends]).transpose(1, 0, 2)
        lon = lon - np.round((lon - lon[0]) / turn) * turn  # across the antimeridian
        (dlon_col, dlon_row), (dlat_col, dlat_row) = ((v[1::2] - v[::2]) * unit for v in (lon, lat))
        phi = lat.mean(0) * unit
        bend = 1 - flat * np.sin(phi) ** 2
        element = major**2 * (1 - flat) / bend**2 * np.cos(phi)  # M N cos(lat)
        return np.asarray(element * np.abs(dlon_col * dlat_row - dlon_row * dlat_col))

    return areas


def _degrees(to_degrees: object, box: GeoBox, col: object, row: object) -> npt.NDArray[np.float64]:
    """(2, n): longitudes and latitudes of pixel positions."""
    x, y = box.world(*np.broadcast_arrays(np.asarray(col, float), np.asarray(row, float)))  # type: ignore[arg-type]
    return np.array(to_degrees.transform(x, y))  # type: ignore[attr-defined]
