"""Simplified borders: a coverage before and after."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from geoseg.errors import PlanError
from geoseg.polygons.chains import Vertices
from geoseg.polygons.simplify import BYTES_PER_VERTEX, simplified
from tests.polygons.maps import named, shapes, smooth, traced

JUNCTIONS = Vertices(junctions=True)


@pytest.mark.parametrize("step", [(1.0, 1.0), (0.1, 0.3), (111.3, 30.9)])
def test_no_gaps_no_overlaps_and_the_same_ground(step: tuple[float, float]) -> None:
    classes = smooth(200, seed=5)
    regions = traced(classes, 64, vertices=JUNCTIONS)
    tolerance = 3 * max(step)
    made = simplified([regions], tolerance=tolerance, step=step, memory=1e9)
    before, after = shapes(regions), shapes(made)
    assert shapely.coverage_is_valid(after)
    assert shapely.is_valid(after).all()
    assert len(made.coords) < 0.6 * len(regions.coords)
    assert shapely.area(after).sum() == shapely.area(before).sum()
    assert set(map(tuple, made.coords.tolist())) <= set(map(tuple, regions.coords.tolist()))
    np.testing.assert_array_equal(made.facts.first, np.sort(regions.facts.first))
    np.testing.assert_array_equal(made.facts.pixels, regions.facts.pixels[np.argsort(regions.facts.first)])


@pytest.mark.parametrize("seed", [17, 29])
def test_a_vertex_on_an_edge_is_seen_to_be_on_it(seed: int) -> None:
    """In metres these maps gave polygons that touch themselves: a rounding error beside an edge is on it in the end."""
    regions = traced(smooth(250, seed=seed), 125, vertices=JUNCTIONS)
    made = simplified([regions], tolerance=2 * 1.0004, step=(1.0004, 1.0004), memory=1e9)
    assert shapely.is_valid(shapes(made)).all()


def test_tiles_change_nothing() -> None:
    classes = smooth(150, seed=6)
    found = []
    for tile in (32, 50, 200):
        made = simplified([traced(classes, tile, vertices=JUNCTIONS)], tolerance=2, step=(1, 1), memory=1e9)
        found.append(named(made.facts.classes.tolist(), shapes(made)))
    assert found[0] == found[1] == found[2]


def test_outer_rings_come_first_and_run_counter_clockwise() -> None:
    made = simplified([traced(smooth(120, seed=7), 50, vertices=JUNCTIONS)], tolerance=4, step=(1, 1), memory=1e9)
    flipped = shapely.transform(shapes(made), lambda xy: xy * (1, -1))
    rings = shapely.get_exterior_ring(flipped)
    assert shapely.is_ccw(rings).all()
    assert (shapely.get_num_interior_rings(flipped) > 0).any()


def test_too_many_vertices_are_refused_with_the_numbers() -> None:
    regions = traced(smooth(100, seed=8), 50, vertices=JUNCTIONS)
    most = len(regions.coords) - 1
    with pytest.raises(PlanError, match=f"{most:,} vertices.*--min-area"):
        simplified([regions], tolerance=1, step=(1, 1), memory=most * BYTES_PER_VERTEX)
