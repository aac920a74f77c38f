"""Areas and lengths against geodesics, in CRSs of every kind."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely

from geoseg.geometry.geobox import GeoBox, GroundControlPoint, Transform
from geoseg.polygons.ground import densify, ground_of
from tests.polygons.maps import shapes, smooth, traced

CASES: dict[str, tuple[int, Transform]] = {
    "UTM": (32633, (20.0, 0.0, 420_000.0, 0.0, -20.0, 5_000_000.0)),
    "degrees": (4326, (0.001, 0.0, 10.0, 0.0, -0.001, 60.0)),
    "large degrees": (4326, (0.5, 0.0, 100.0, 0.0, -0.5, 80.0)),
    "web Mercator": (3857, (100.0, 0.0, 1e6, 0.0, -100.0, 8e6)),
    "polar": (3413, (5000.0, 0.0, -150_000.0, 0.0, -5000.0, 150_000.0)),
    "across the antimeridian": (32660, (500.0, 0.0, 780_000.0, 0.0, -500.0, 2_000_000.0)),
    "Mercator across the antimeridian": (3832, (500.0, 0.0, 3_325_000.0, 0.0, -500.0, 2_000_000.0)),
    "gradians": (4807, (0.01, 0.0, 3.0, 0.0, -0.01, 55.0)),
    "feet": (2263, (30.0, 0.0, 990_000.0, 0.0, -30.0, 200_000.0)),
    "rotated": (32633, (15.0, 7.0, 500_000.0, 7.0, -15.0, 5_000_000.0)),
}


@pytest.mark.parametrize("case", CASES)
def test_areas_and_perimeters_are_the_geodesic_ones(case: str) -> None:
    code, transform = CASES[case]
    classes = smooth(60, seed=3, noise=0.001)
    crs = pyproj.CRS.from_epsg(code)
    ground, notes = ground_of(GeoBox(shape=classes.shape, transform=transform, crs=crs.to_wkt()))
    assert (notes, ground.unit) == ((), "m")
    regions = traced(classes, 25)
    areas, perimeters = ground.measure(regions)
    geod = crs.get_geod()
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    unit = np.degrees(crs.geodetic_crs.axis_info[0].unit_conversion_factor)
    for number in np.argsort(-regions.facts.pixels)[:12]:
        polygon = shapely.segmentize(shapes(regions)[number], 0.2)
        there = shapely.transform(polygon, lambda xy: unit * np.column_stack(to_degrees.transform(*ground.world(xy).T)))
        signed = [geod.polygon_area_perimeter(*shapely.get_coordinates(r).T) for r in shapely.get_rings(there)]
        area = abs(signed[0][0]) - sum(abs(a) for a, _ in signed[1:])
        assert areas[number] == pytest.approx(area, rel=5e-5)
        length = sum(length for _, length in signed)
        assert perimeters[number] == pytest.approx(length, rel=2e-4 if case == "large degrees" else 5e-5)


def test_a_square_in_web_mercator_is_smaller_on_the_ground() -> None:
    """Where people go wrong: at 60 degrees north a square metre of EPSG:3857 is a quarter of one."""
    y = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(0, 60)[1]
    box = GeoBox(shape=(10, 10), transform=(1.0, 0.0, 0.0, 0.0, -1.0, y + 5), crs=pyproj.CRS.from_epsg(3857).to_wkt())
    ground, _ = ground_of(box)
    area, perimeter = ground.measure(traced(np.zeros((10, 10), np.uint8), 4))
    assert area[0] == pytest.approx(25, rel=0.01)
    assert perimeter[0] == pytest.approx(20, rel=0.01)
    ones = ground.pixel_areas(np.arange(10), np.arange(10))
    assert ones.sum() == pytest.approx(area[0] / 10, rel=1e-6)


@pytest.mark.parametrize(
    ("box", "why"),
    [
        (GeoBox(shape=(9, 9)), "no CRS"),
        (GeoBox(shape=(9, 9), crs='LOCAL_CS["site",UNIT["metre",1]]', transform=(1.0, 0, 5, 0, -1.0, 5)), "no ground"),
        (GeoBox(shape=(9, 9), gcps=(GroundControlPoint(row=0, col=0, x=1, y=2),)), "GCPs"),
    ],
)
def test_where_nothing_tells_the_size_of_a_pixel_pixels_are_counted(box: GeoBox, why: str) -> None:
    ground, (note,) = ground_of(box)
    assert why in note
    assert "area_px" in note
    classes = np.zeros((9, 9), np.uint8)
    classes[3:5, 3:6] = 1
    regions = traced(classes, 4)
    area, perimeter = ground.measure(regions)
    found = dict(zip(regions.facts.classes.tolist(), zip(area, perimeter, strict=True), strict=True))
    assert found == {0: (75.0, 46.0), 1: (6.0, 10.0)}
    np.testing.assert_array_equal(ground.pixel_areas(np.arange(3), np.arange(3)), 1)


def test_long_edges_are_cut_and_no_others() -> None:
    square = np.array([[0.0, 0.0], [0.0, 10.0], [130.0, 10.0], [130.0, 0.0]])
    coords, rings = densify(square, np.array([0, 4]), longest=64)
    assert rings.tolist() == [0, 8]
    assert np.abs(np.diff(coords, axis=0)).max() <= 64
    assert {tuple(v) for v in square} <= {tuple(v) for v in coords.tolist()}
