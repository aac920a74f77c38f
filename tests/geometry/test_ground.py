"""Areas of pixels on the ellipsoid: pyproj's own polygons are the judge."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest

from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.ground import row_areas
from geoseg.geometry.windows import Window

BOXES = {
    "degrees": ("EPSG:4326", (0.01, 0, 8.0, 0, -0.01, 61.0)),
    "Web Mercator": ("EPSG:3857", (50.0, 0, 900_000.0, 0, -50.0, 8_000_000.0)),
    "UTM": ("EPSG:32632", (30.0, 0, 600_000.0, 0, -30.0, 6_000_000.0)),
    "turned": ("EPSG:32632", (20.0, 7.0, 600_000.0, 7.0, -20.0, 6_000_000.0)),
    "feet": ("EPSG:2263", (10.0, 0, 980_000.0, 0, -10.0, 200_000.0)),
    "across the antimeridian": ("EPSG:32601", (60.0, 0, 205_000.0, 0, -60.0, 7_000_000.0)),
}


@pytest.mark.parametrize("name", BOXES)
def test_areas_are_those_of_geodesic_polygons(name: str) -> None:
    crs, transform = BOXES[name]
    box = GeoBox(shape=(400, 300), transform=transform, crs=pyproj.CRS(crs).to_wkt())
    areas = row_areas(box)
    assert areas is not None
    window = Window(row_off=350, col_off=100, height=50, width=100)
    found = areas(window)
    assert found.shape == (50,)
    steps = np.linspace(0, 1, 40)
    edge = [(100 + 100 * s, 350) for s in steps] + [(200, 350 + 50 * s) for s in steps]
    edge += [(200 - 100 * s, 400) for s in steps] + [(100, 400 - 50 * s) for s in steps]
    to_degrees = pyproj.Transformer.from_crs(box.crs, pyproj.CRS(crs).geodetic_crs, always_xy=True)
    lon, lat = to_degrees.transform(*np.array([box.world(*corner) for corner in edge]).T)
    true, _ = pyproj.CRS(crs).get_geod().polygon_area_perimeter(lon, lat)
    assert found.sum() * 100 == pytest.approx(abs(true), rel=2e-5)


def test_no_place_no_area() -> None:
    assert row_areas(GeoBox(shape=(4, 4))) is None
    assert row_areas(GeoBox(shape=(4, 4), transform=(2.0, 0, 5.0, 0, -2.0, 5.0))) is None
    local = 'LOCAL_CS["here",UNIT["metre",1]]'
    assert row_areas(GeoBox(shape=(4, 4), transform=(2.0, 0, 5.0, 0, -2.0, 5.0), crs=local)) is None
