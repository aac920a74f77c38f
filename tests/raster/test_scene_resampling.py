"""A scene read at another pixel size: the same bytes in every window, GDAL's warper as the oracle, no bleeding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject

from geoseg.errors import SceneError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window, split
from geoseg.raster import file_reading
from geoseg.raster.scene import SceneRecipe, inspect_scene, read_window

# rasterio warns when the tests themselves write scenes without georeferencing.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

Array = npt.NDArray[Any]
SHAPE = (67, 83)
BOX = GeoBox(shape=SHAPE, transform=(0.5, 0.0, 5e5, 0.0, -0.5, 4e6))
RATIOS = st.sampled_from([0.07, 0.3, 0.51, 0.9, 1.3, 1.7, 2.0, 5.03, 19.9, 70.0])


@contextmanager
def scene(
    pixels: Array, *, ratio: tuple[float, float], nodata: float | None = None, **options: Any
) -> Iterator[SceneRecipe]:
    """A recipe for ``pixels`` read with pixels ``ratio`` (rows, columns) times as large."""
    box = GeoBox(shape=(pixels.shape[1], pixels.shape[2]), transform=BOX.transform)
    shape = {"count": pixels.shape[0], "height": box.shape[0], "width": box.shape[1], "dtype": pixels.dtype}
    tiled = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    with MemoryFile() as memory:
        transform = Affine(*box.transform)
        with memory.open(driver="GTiff", transform=transform, nodata=nodata, **shape, **tiled) as target:
            target.write(pixels)
        yield SceneRecipe(
            uri=memory.name,
            bidx=tuple(range(1, pixels.shape[0] + 1)),
            grid=box.resampled(ratio_y=ratio[0], ratio_x=ratio[1]),
            **options,
        )


def whole(recipe: SceneRecipe) -> tuple[Array, Array]:
    assert recipe.grid is not None
    return read_window(recipe, Window.whole(recipe.grid.shape))


def holed(seed: int, dtype: str, bands: int = 2) -> Array:
    """Noise of the dtype's whole range (0 excepted); nodata 0 in a hole, and scattered over the left half."""
    rng = np.random.default_rng(seed)
    if np.issubdtype(dtype, np.floating):
        pixels = rng.normal(0, 1000, (bands, *SHAPE)).astype(dtype)
    else:
        pixels = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (bands, *SHAPE), dtype, endpoint=True)
    pixels[pixels == 0] = 1
    invalid = (rng.random(SHAPE) < 0.02) & (np.arange(SHAPE[1]) < SHAPE[1] // 2)
    invalid[10:30, 20:45] = True
    pixels[:, invalid] = 0
    return pixels


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 100),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "uint32", "float32", "float64"]),
    ratio=st.tuples(RATIOS, RATIOS),
    data=st.data(),
)
def test_any_window_gives_the_bytes_of_the_whole(
    seed: int, dtype: str, ratio: tuple[float, float], data: st.DataObject
) -> None:
    with scene(holed(seed, dtype), ratio=ratio, nodata=0) as recipe:
        assert recipe.grid is not None
        pixels, valid = whole(recipe)
        height, width = recipe.grid.shape
        assert pixels.shape == (2, height, width)
        for _ in range(5):
            row_off = data.draw(st.integers(0, height - 1), "row")
            col_off = data.draw(st.integers(0, width - 1), "column")
            window = Window(
                row_off=row_off,
                col_off=col_off,
                height=data.draw(st.integers(1, height - row_off), "height"),
                width=data.draw(st.integers(1, width - col_off), "width"),
            )
            rows, columns = window.within(Window.whole(recipe.grid.shape))
            part, part_valid = read_window(recipe, window)
            assert part.tobytes() == pixels[:, rows, columns].tobytes()
            np.testing.assert_array_equal(part_valid, valid[rows, columns])


@pytest.mark.parametrize("ratio", [0.3, 5.03])
def test_strips_do_not_show(ratio: float, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(holed(1, "uint8"), ratio=(ratio, ratio), nodata=0) as recipe:
        at_once = whole(recipe)
        monkeypatch.setattr(file_reading, "STRIP_BYTES", 2 * SHAPE[1] * 7)
        for one, other in zip(at_once, whole(recipe), strict=True):
            assert one.tobytes() == other.tobytes()


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 100),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "float32"]),
    ratio=st.tuples(RATIOS, RATIOS),
)
def test_like_gdals_warper(seed: int, dtype: str, ratio: tuple[float, float]) -> None:
    stored = holed(seed, dtype)
    with scene(stored, ratio=ratio, nodata=0) as recipe:
        pixels, valid = whole(recipe)
    assert recipe.grid is not None
    expected = np.zeros_like(pixels)
    reproject(
        stored,
        expected,
        src_transform=Affine(*BOX.transform),
        src_crs="EPSG:32633",
        dst_transform=Affine(*recipe.grid.transform),
        dst_crs="EPSG:32633",
        src_nodata=0,
        dst_nodata=0,
        resampling=Resampling.bilinear,
        tolerance=0,
        XSCALE=1 / ratio[1],  # constant: GDAL would take it from the sizes of each chunk
        YSCALE=1 / ratio[0],
    )
    # A value that comes out as 0 by chance is moved off nodata by GDAL, and only by GDAL.
    np.testing.assert_array_equal(valid, (expected != 0).any(axis=0))
    error = np.abs(pixels.astype(np.float64) - expected)[:, valid]
    if error.size:
        assert error.max() <= (1 if dtype != "float32" else 0.01)
        assert (error > 0.01).mean() < 0.05  # ties, which either side may round up


@settings(deadline=None, max_examples=30)
@given(ratio=st.tuples(RATIOS, RATIOS), dtype=st.sampled_from(["uint8", "uint16", "int16", "float32", "float64"]))
def test_a_constant_scene_stays_constant(ratio: tuple[float, float], dtype: str) -> None:
    value = 77 if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).max
    stored = np.full((1, *SHAPE), value, dtype)
    stored[0, 5:9, 3:60] = 0
    with scene(stored, ratio=ratio, nodata=0) as recipe:
        pixels, valid = whole(recipe)
    np.testing.assert_allclose(pixels[0][valid], value, rtol=1e-6 if dtype.startswith("float") else 0)


@settings(deadline=None, max_examples=20)
@given(ratio=st.tuples(RATIOS, RATIOS), filler=st.sampled_from([0.0, 1e30, float("nan"), float("-inf")]))
def test_what_invalid_pixels_hold_changes_nothing(ratio: tuple[float, float], filler: float) -> None:
    stored = holed(3, "float32")
    invalid = (stored == 0).all(axis=0)
    with scene(stored, ratio=ratio, nodata=0) as recipe:
        pixels, valid = whole(recipe)
    stored[:, invalid] = filler
    with scene(stored, ratio=ratio, nodata=filler) as recipe:
        again, valid_again = whole(recipe)
    np.testing.assert_array_equal(valid, valid_again)
    assert pixels[:, valid].tobytes() == again[:, valid].tobytes()


@pytest.mark.parametrize("ratio", [(0.4, 0.4), (1.3, 1.7), (3.1, 6.3)])
def test_palettes_are_taken_by_nearest_neighbour(tmp_path: Path, ratio: tuple[float, float]) -> None:
    entries = np.random.default_rng(0).integers(0, 5, SHAPE, np.uint8)
    table = {index: (index * 40, 255 - index, index, 255) for index in range(5)}
    path = tmp_path / "palette.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=1,
        height=SHAPE[0],
        width=SHAPE[1],
        dtype="uint8",
        transform=Affine(*BOX.transform),
        nodata=4,
    ) as target:
        target.write(entries, 1)
        target.write_colormap(1, table)
    grid = BOX.resampled(ratio_y=ratio[0], ratio_x=ratio[1])
    recipe = SceneRecipe(uri=str(path), bidx=(1,), palette=True, grid=grid)
    pixels, valid = whole(recipe)
    expected = np.full(grid.shape, 9, np.uint8)
    reproject(
        entries,
        expected,
        src_transform=Affine(*BOX.transform),
        src_crs="EPSG:32633",
        dst_transform=Affine(*grid.transform),
        dst_crs="EPSG:32633",
        dst_nodata=9,
        resampling=Resampling.nearest,
    )
    inside = expected != 9
    colours = np.array([table.get(index, (0, 0, 0, 0))[:3] for index in range(10)])
    np.testing.assert_array_equal(np.moveaxis(pixels, 0, -1)[inside], colours[expected][inside])
    np.testing.assert_array_equal(valid, inside & (expected != 4))
    for window in split(grid.shape, size=(7, 5)):
        rows, columns = window.within(Window.whole(grid.shape))
        part, part_valid = read_window(recipe, window)
        np.testing.assert_array_equal(part, pixels[:, rows, columns])
        np.testing.assert_array_equal(part_valid, valid[rows, columns])


def test_a_rotated_scene_keeps_its_rotation(tmp_path: Path) -> None:
    path = tmp_path / "rotated.tif"
    transform = Affine(0.4, 0.3, 5e5, 0.3, -0.4, 4e6)
    stored = holed(0, "uint8")
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=2,
        height=SHAPE[0],
        width=SHAPE[1],
        dtype="uint8",
        crs="EPSG:32633",
        transform=transform,
        nodata=0,
    ) as target:
        target.write(stored)
    info = inspect_scene(path, gsd=1.0)
    assert info.recipe.grid is not None
    assert info.geobox.is_rotated
    with scene(stored, ratio=tuple(info.geobox.transform[4] / -0.4 for _ in "yx"), nodata=0) as recipe:  # type: ignore[arg-type]
        straight = whole(recipe)
    for one, other in zip(whole(info.recipe), straight, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_grid_that_is_no_change_of_pixel_size_is_refused() -> None:
    with scene(holed(0, "uint8"), ratio=(2.0, 2.0)) as recipe:
        assert recipe.grid is not None
        moved = GeoBox(shape=recipe.grid.shape, transform=(1.0, 0.0, 5e5 + 1, 0.0, -1.0, 4e6))
        with pytest.raises(SceneError, match="no change of pixel size"):
            read_window(SceneRecipe(uri=recipe.uri, bidx=(1,), grid=moved), Window.whole((1, 1)))


def test_a_real_scene_in_tiles_is_the_scene_at_once(shared_data: Path) -> None:
    info = inspect_scene(shared_data / "banepa" / "banepa_predict.tif", gsd=1.0)
    assert info.recipe.grid is not None
    pixels, valid = whole(info.recipe)
    for window in split(info.geobox.shape, size=(97, 61)):
        rows, columns = window.within(Window.whole(info.geobox.shape))
        part, part_valid = read_window(info.recipe, window)
        assert part.tobytes() == pixels[:, rows, columns].tobytes()
        np.testing.assert_array_equal(part_valid, valid[rows, columns])
