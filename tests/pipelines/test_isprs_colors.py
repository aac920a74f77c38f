"""Colours of the ISPRS labels to class ids, and class maps to colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import Affine

from geoseg.geometry.geobox import GeoBox
from isprs.benchmarks import LEGEND, POTSDAM, VAIHINGEN
from isprs.colors import Tally, snap, write_class_map
from tests.scenes import UTM, write_scene


def test_the_official_splits_have_the_scenes_that_are_published() -> None:
    assert (len(POTSDAM.train), len(POTSDAM.test)) == (24, 14)
    assert (len(VAIHINGEN.train), len(VAIHINGEN.test)) == (16, 17)
    for benchmark in (POTSDAM, VAIHINGEN):
        assert len({*benchmark.train, *benchmark.test}) == len(benchmark.train) + len(benchmark.test)
        assert set(benchmark.held_out) < set(benchmark.train)


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1), st.integers(0, 127))
def test_a_colour_goes_to_the_nearest_corner_within_the_tolerance(
    pixels: list[tuple[int, int, int]], tolerance: int
) -> None:
    """The judge looks at every corner and takes the one whose farthest channel is nearest."""
    colors = np.array(pixels, np.uint8)
    ids, tally = snap(colors.T[:, None], tolerance=tolerance)
    expected, snapped, unknown, boundary = [], 0, 0, 0
    cube = [(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)]
    for color in colors.astype(int).tolist():
        far, corner = min((max(abs(a - b) for a, b in zip(color, c, strict=True)), c) for c in cube)
        known = far <= tolerance and corner != (255, 0, 255)
        snapped += known and far > 0
        unknown += not known
        boundary += known and corner == (0, 0, 0)
        expected.append(LEGEND.colors.index(corner) if known and corner in LEGEND.colors else 255)
    assert ids[0].tolist() == expected
    assert (tally.snapped, tally.unknown, tally.boundary) == (snapped, unknown, boundary)
    assert tally.classes == tuple(expected.count(i) for i in LEGEND.ids)
    assert sum(tally.classes) + tally.boundary + tally.unknown == len(pixels)


def test_the_colours_of_the_distributed_labels_are_told_at_the_default_tolerance() -> None:
    """A car of 6_7, cyan and white of 4_12; a magenta is no class however pure."""
    colors = np.array([(252, 255, 0), (9, 222, 221), (225, 227, 227), (255, 0, 255)], np.uint8)
    ids, tally = snap(colors.T[:, None])
    assert ids.tolist() == [[4, 2, 0, 255]]
    assert (tally.snapped, tally.farthest, tally.unknown) == (3, 34, 1)
    assert Tally.from_json(tally.to_json()) == tally
    assert Tally.total([tally, tally]).classes == (2, 0, 2, 0, 2, 0)


def test_a_coarser_map_is_painted_on_the_scenes_own_grid_by_nearest_neighbour(tmp_path: Path) -> None:
    classes = np.array([[0, 1, 2], [3, 4, 255]], np.uint8)
    coarse = write_scene(
        tmp_path / "classes.tif",
        classes[None],
        transform=Affine(4.0, 0.0, 500_000.0, 0.0, -4.0, 4_000_000.0),
        nodata=255,
    )
    with rasterio.open(coarse) as raster:
        crs = raster.crs.to_wkt()
    a, b, c, d, e, f = UTM[:6]
    grid = GeoBox(shape=(4, 6), transform=(a, b, c, d, e, f), crs=crs)
    write_class_map(coarse, tmp_path / "painted" / "class.tif", grid=grid)
    with rasterio.open(tmp_path / "painted" / "class.tif") as painted:
        assert painted.transform == UTM
        colors = painted.read()
    fine = classes.repeat(2, axis=0).repeat(2, axis=1)
    black = (0, 0, 0)
    expected = [[LEGEND.colors[i] if i != 255 else black for i in row] for row in fine.tolist()]
    np.testing.assert_array_equal(colors, np.array(expected, np.uint8).transpose(2, 0, 1))
