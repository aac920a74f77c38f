"""Nearest neighbour between grids: judged by GDAL's warper, and never a matter of the window."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import rasterio.warp
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling

from geoseg.errors import GridError
from geoseg.geometry.geobox import GeoBox, GroundControlPoint
from geoseg.geometry.nearest import nearest_pixels, overlaps
from geoseg.geometry.windows import Window

UTM40 = rasterio.CRS.from_epsg(32640).to_wkt()
MERCATOR = rasterio.CRS.from_epsg(3857).to_wkt()
DEGREES = rasterio.CRS.from_epsg(4326).to_wkt()
SOURCE = GeoBox(shape=(60, 50), transform=(0.7, 0.0, 330_000.1, 0.0, -0.7, 2_790_000.3), crs=UTM40)
ROTATED = GeoBox(shape=(60, 50), transform=(0.6, 0.3, 330_000.1, 0.3, -0.6, 2_790_000.3), crs=UTM40)


def centred(shape: tuple[int, int], *, size: float, crs: str) -> GeoBox:
    """A grid around the middle of SOURCE in another CRS; ``size`` in its units."""
    middle = rasterio.warp.transform(UTM40, crs, [330_017.6], [2_789_979.3])
    x, y = middle[0][0] - size * shape[1] / 2, middle[1][0] + size * shape[0] / 2
    return GeoBox(shape=shape, transform=(size, 0.0, x, 0.0, -size, y), crs=crs)


@pytest.mark.parametrize("source", [SOURCE, ROTATED], ids=["upright", "rotated"])
@pytest.mark.parametrize(
    "target",
    [
        centred((70, 80), size=0.31, crs=UTM40),
        centred((30, 20), size=2.33, crs=UTM40),
        centred((70, 80), size=0.41, crs=MERCATOR),
        centred((40, 40), size=8.1e-6, crs=DEGREES),
    ],
    ids=["finer", "coarser", "mercator", "degrees"],
)
def test_it_is_what_gdal_warps(source: GeoBox, target: GeoBox) -> None:
    values = np.arange(1, 60 * 50 + 1, dtype=np.uint16).reshape(60, 50)
    warped, _ = rasterio.warp.reproject(
        values,
        np.zeros(target.shape, np.uint16),
        src_crs=source.crs,
        src_transform=rasterio.Affine(*source.transform),
        dst_crs=target.crs,
        dst_transform=rasterio.Affine(*target.transform),
        resampling=Resampling.nearest,
        tolerance=0,
    )
    rows, cols = nearest_pixels(Window.whole(target.shape), target=target, source=source)
    inside = (rows >= 0) & (rows < 60) & (cols >= 0) & (cols < 50)
    found = np.where(inside, values[np.clip(rows, 0, 59), np.clip(cols, 0, 49)], 0)
    assert (found > 0).any()
    # GDAL decides a centre that lies on a border by the last bit of a double
    assert (found != warped).sum() <= 2


@settings(deadline=None)
@given(
    row=st.integers(-5, 60), col=st.integers(-5, 60), height=st.integers(1, 20), width=st.integers(1, 20),
    target=st.sampled_from([SOURCE, ROTATED, centred((70, 80), size=0.41, crs=MERCATOR)]),
)  # fmt: skip
def test_the_window_never_matters(row: int, col: int, height: int, width: int, target: GeoBox) -> None:
    outer = Window(row_off=-5, col_off=-5, height=90, width=90)
    window = Window(row_off=row, col_off=col, height=height, width=width)
    for whole, part in zip(
        nearest_pixels(outer, target=target, source=SOURCE),
        nearest_pixels(window, target=target, source=SOURCE),
        strict=True,
    ):
        wanted = np.broadcast_to(whole, outer.shape)[window.within(outer)]
        np.testing.assert_array_equal(np.broadcast_to(part, window.shape), wanted)


@given(st.floats(0.05, 30), st.floats(-1e7, 1e7), st.integers(1, 6))
def test_ties_fall_right_and_down_everywhere(size: float, offset: float, half: int) -> None:
    source = GeoBox(shape=(400, 400), transform=(size, 0.0, offset, 0.0, -size, -offset), crs=UTM40)
    target = source.resampled(ratio_x=2 * half, ratio_y=2 * half)
    rows, cols = nearest_pixels(Window.whole(target.shape), target=target, source=source)
    np.testing.assert_array_equal(rows[:, 0], 2 * half * np.arange(target.shape[0]) + half)
    np.testing.assert_array_equal(cols[0], 2 * half * np.arange(target.shape[1]) + half)


def test_same_grid_is_the_identity() -> None:
    rows, cols = nearest_pixels(Window.whole(ROTATED.shape), target=ROTATED, source=ROTATED)
    np.testing.assert_array_equal(np.broadcast_to(rows, (60, 50)), np.broadcast_to(np.arange(60)[:, None], (60, 50)))
    np.testing.assert_array_equal(np.broadcast_to(cols, (60, 50)), np.broadcast_to(np.arange(50)[None], (60, 50)))


def test_overlap_is_seen_from_the_smaller_grid_too() -> None:
    wide = GeoBox(shape=(60_000, 50_000), transform=(0.7, 0.0, 320_000.0, 0.0, -0.7, 2_800_000.0), crs=UTM40)
    away = GeoBox(shape=(60, 50), transform=(0.7, 0.0, 400_000.0, 0.0, -0.7, 2_800_000.0), crs=UTM40)
    assert overlaps(wide, SOURCE)
    assert overlaps(SOURCE, wide)
    assert not overlaps(SOURCE, away)


def test_what_cannot_be_projected_lies_nowhere() -> None:
    past_the_pole = GeoBox(shape=(4, 4), transform=(1.0, 0.0, 0.0, 0.0, -1.0, 93.0), crs=DEGREES)
    world = GeoBox(shape=(400, 400), transform=(100_000.0, 0.0, -2e7, 0.0, -100_000.0, 2e7), crs=MERCATOR)
    rows, cols = nearest_pixels(Window.whole((4, 4)), target=past_the_pole, source=world)
    assert (rows[:3] == -1).all()
    assert (cols[:3] == -1).all()
    assert (cols[3] >= 200).all()


def test_grids_without_a_transform_are_refused() -> None:
    points = (GroundControlPoint(row=0, col=0, x=1, y=1),)
    with pytest.raises(GridError, match="gdalwarp"):
        nearest_pixels(Window.whole((2, 2)), target=SOURCE, source=GeoBox(shape=(2, 2), gcps=points, crs=UTM40))
    flat = GeoBox(shape=(2, 2), transform=(0.0, 0.0, 1.0, 0.0, 0.0, 1.0))
    with pytest.raises(GridError, match="no area"):
        nearest_pixels(Window.whole((2, 2)), target=SOURCE, source=flat)
