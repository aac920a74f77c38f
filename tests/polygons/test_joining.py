"""Tiles make no difference: regions traced tile by tile are those of the whole array."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geoseg.polygons.chains import Vertices
from geoseg.polygons.regions import signed_areas
from tests.polygons.maps import Ids, judged, named, patterns, shapes, smooth, traced

PATTERNS = dict(patterns())

small_maps = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 255]))
)


def check(classes: Ids, tile: int) -> None:
    """The law itself."""
    regions = traced(classes, tile)
    polygons = shapes(regions)
    ids, expected = judged(classes)
    assert named(regions.facts.classes.tolist(), polygons) == named(ids, expected)
    assert shapely.is_valid(polygons).all()
    np.testing.assert_array_equal(shapely.area(polygons), regions.facts.pixels)


@given(small_maps, st.integers(1, 13))
@settings(max_examples=150)
def test_any_map_in_any_tiles_is_what_gdal_makes_of_the_whole(classes: Ids, tile: int) -> None:
    check(classes, tile)


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("tile", [1, 2, 3, 5, 8, 64])
def test_patterns(name: str, tile: int) -> None:
    check(PATTERNS[name], tile)


@pytest.mark.parametrize(("seed", "tile"), [(1, 64), (2, 100), (3, 250)])
def test_larger_maps(seed: int, tile: int) -> None:
    check(smooth(330, seed=seed), tile)


def test_the_spiral_winds() -> None:
    """Or it would test nothing: a path of one pixel's width, turned many times."""
    classes = PATTERNS["spiral"]
    regions = traced(classes, 4)
    assert len(regions) == 2
    assert len(regions.coords) > 60


@given(small_maps, st.integers(1, 13), st.integers(0, 100))
@settings(max_examples=60)
def test_facts_do_not_depend_on_tiles(classes: Ids, tile: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = rng.choice(np.array([0, 50, 99, 255], np.uint8), classes.shape)
    cut, whole = (traced(classes, t, confidence=confidence).facts for t in (tile, 50))
    order, other = np.argsort(cut.first), np.argsort(whole.first)
    for name in ("classes", "pixels", "first", "percent", "measured"):
        np.testing.assert_array_equal(getattr(cut, name)[order], getattr(whole, name)[other])
    known = (confidence != 255) & (classes != 255)
    assert whole.percent.sum() == confidence[known].sum()
    assert whole.measured.sum() == known.sum()
    np.testing.assert_array_equal(classes.ravel()[whole.first], whole.classes)


@given(small_maps, st.integers(1, 13))
@settings(max_examples=100)
def test_with_junctions_neighbours_share_their_vertices(classes: Ids, tile: int) -> None:
    regions = traced(classes, tile, vertices=Vertices(junctions=True))
    polygons = shapes(regions)
    assert shapely.coverage_is_valid(polygons)
    ids, expected = judged(classes)
    assert named(regions.facts.classes.tolist(), shapely.simplify(polygons, 0)) == named(
        ids, shapely.simplify(expected, 0)
    )


def test_without_junctions_they_do_not() -> None:
    """What the option is for."""
    assert not shapely.coverage_is_valid(shapes(traced(smooth(60, seed=1), 20)))


@pytest.mark.parametrize("tile", [3, 7, 40])
def test_vertices_at_every_few_pixels_are_the_scenes(tile: int) -> None:
    classes = np.zeros((30, 40), np.uint8)
    classes[4:28, 5:39] = 1
    coords = [set(map(tuple, traced(classes, t, vertices=Vertices(every=8)).coords.tolist())) for t in (tile, 64)]
    assert coords[0] == coords[1]
    assert {(0, 8), (8, 0), (40, 24), (8, 4), (16, 28)} <= coords[0]
    assert (7, 4) not in coords[0]


def test_rings_run_as_polygons_want_them() -> None:
    regions = traced(PATTERNS["rings"], 5)
    outer = np.zeros(len(regions.rings) - 1, np.bool_)
    outer[regions.parts[:-1]] = True
    np.testing.assert_array_equal(signed_areas(regions.coords, regions.rings) < 0, outer)
    assert outer.sum() < len(outer)


def test_threads_change_nothing_not_even_the_order() -> None:
    classes = smooth(200, seed=4)
    one, four = (traced(classes, 32, threads=t) for t in (1, 4))
    np.testing.assert_array_equal(one.coords, four.coords)
    np.testing.assert_array_equal(one.facts.first, four.facts.first)
