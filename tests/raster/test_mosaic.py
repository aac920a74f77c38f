"""Many files as one scene: rasterio's merge as the oracle, the same bytes in every window, order kept."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from rasterio.merge import merge
from rasterio.shutil import copy as copy_raster
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject

from geoseg.errors import SceneError, SceneReadError
from geoseg.geometry.windows import Window
from geoseg.raster import file_reading, mosaic_reading
from geoseg.raster.mosaic import inspect_mosaic
from geoseg.raster.mosaic_recipe import MosaicRecipe
from geoseg.raster.recipe import Recipe, recipe_from_json
from geoseg.raster.scene import SceneInfo, inspect_scene, read_window
from tests.scenes import UTM, random_pixels, write_scene

Array = npt.NDArray[Any]


def whole(info: SceneInfo) -> tuple[Array, Array]:
    return read_window(info.recipe, Window.whole(info.geobox.shape))


def at(row: float, col: float, *, size: float = 1.0) -> Affine:
    """The transform of a file whose corner lies at pixels (row, col) of the common grid."""
    return Affine(2.0 * size, 0.0, UTM.c + 2.0 * col, 0.0, -2.0 * size, UTM.f - 2.0 * row)


def holed(shape: tuple[int, int], seed: int, *, share: float = 0.2) -> Array:
    """Random pixels from 1, with nodata 0 in some."""
    pixels = np.maximum(random_pixels(shape, seed=seed), 1)
    pixels[:, np.random.default_rng(seed).random(shape) < share] = 0
    return pixels


def check_windows(recipe: Recipe, data: st.DataObject, *, count: int = 4) -> None:
    """Any window gives the bytes of the whole."""
    assert isinstance(recipe, MosaicRecipe)
    height, width = recipe.grid.shape
    pixels, valid = read_window(recipe, Window.whole((height, width)))
    for _ in range(count):
        row, col = data.draw(st.integers(0, height - 1), "row"), data.draw(st.integers(0, width - 1), "column")
        window = Window(
            row_off=row,
            col_off=col,
            height=data.draw(st.integers(1, height - row), "height"),
            width=data.draw(st.integers(1, width - col), "width"),
        )
        rows, columns = window.within(Window.whole((height, width)))
        part, known = read_window(recipe, window)
        assert part.tobytes() == pixels[:, rows, columns].tobytes()
        np.testing.assert_array_equal(known, valid[rows, columns])


PLACES = st.lists(
    st.tuples(st.integers(-40, 60), st.integers(-40, 60), st.integers(1, 40), st.integers(1, 40)),
    min_size=2,
    max_size=6,
)


@settings(max_examples=25)
@given(places=PLACES, data=st.data())
def test_files_on_one_grid_are_merged_bit_for_bit(places: list[tuple[int, int, int, int]], data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        files = [
            write_scene(Path(folder) / f"{i}.tif", holed((h, w), i), transform=at(row, col), nodata=0)
            for i, (row, col, h, w) in enumerate(places)
        ]
        info = inspect_mosaic(files)
        pixels, valid = whole(info)
        expected, transform = merge(files, method="first", nodata=0)
        assert Affine(*info.geobox.transform) == transform
        np.testing.assert_array_equal(pixels, expected)  # gaps and holes hold 0 in both
        np.testing.assert_array_equal(valid, (expected != 0).any(axis=0))
        assert isinstance(info.recipe, MosaicRecipe)
        assert len(info.recipe.layers) == 1
        check_windows(info.recipe, data)


@pytest.mark.parametrize("gsd", [None, 5.3, 2.0, 1.1])
def test_a_scene_cut_into_files_is_the_scene(tmp_path: Path, gsd: float | None) -> None:
    pixels = holed((200, 300), 3, share=0.01)
    one = inspect_scene(write_scene(tmp_path / "whole.tif", pixels, nodata=0), gsd=gsd)
    files = [
        write_scene(
            tmp_path / f"{row}-{col}.tif", pixels[:, row : row + 90, col : col + 130], transform=at(row, col), nodata=0
        )
        for row in (0, 90, 180)
        for col in (0, 130, 260)
    ]
    many = inspect_mosaic(files[::-1], gsd=gsd)
    assert many.geobox.difference(one.geobox) is None
    (pixels_many, valid_many), (pixels_one, valid_one) = whole(many), whole(one)
    np.testing.assert_array_equal(valid_many, valid_one)
    np.testing.assert_array_equal(pixels_many[:, valid_one], pixels_one[:, valid_one])


def test_other_pixel_sizes_and_shifts_are_resampled_like_gdal(tmp_path: Path) -> None:
    base = np.full((3, 20, 20), 9, np.uint8)
    for name, size, row, col in (
        ("coarse", 1.7321, 30.0, 7.0),
        ("fine", 0.3707, 30.0, 7.0),
        ("shifted", 1.0, 30.4, 7.3),
    ):
        other = holed((61, 51), 4, share=0.03)
        files = [
            write_scene(tmp_path / "base.tif", base, nodata=0),
            write_scene(tmp_path / f"{name}.tif", other, transform=at(row, col, size=size), nodata=0),
        ]
        info = inspect_mosaic(files)
        pixels, valid = whole(info)
        expected = np.zeros_like(pixels)
        reproject(
            other,
            expected,
            src_transform=at(row, col, size=size),
            src_crs="EPSG:32633",
            dst_transform=Affine(*info.geobox.transform),
            dst_crs="EPSG:32633",
            src_nodata=0,
            dst_nodata=0,
            resampling=Resampling.bilinear,
            tolerance=0,
            XSCALE=size,
            YSCALE=size,
        )
        known = (expected != 0).any(axis=0)
        known[:20, :20] = False
        np.testing.assert_array_equal(pixels[:, :20, :20], base, err_msg=name)
        rows, columns = np.nonzero(known & valid)
        assert len(rows) > 50, name
        np.testing.assert_array_equal(valid[20:], known[20:], err_msg=name)
        assert np.abs(pixels.astype(int) - expected)[:, rows, columns].max() <= 1, name


@settings(max_examples=12)
@given(
    places=st.lists(
        st.tuples(st.floats(-30, 40), st.floats(-30, 40), st.sampled_from([0.4, 1.0, 1.0, 2.3])), min_size=2, max_size=5
    ),
    gsd=st.sampled_from([None, 6.1, 0.9]),
    data=st.data(),
)
def test_any_window_of_files_on_several_grids_gives_the_bytes_of_the_whole(
    places: list[tuple[float, float, float]], gsd: float | None, data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        files = [
            write_scene(Path(folder) / f"{i}.tif", holed((31, 23), i), transform=at(row, col, size=size), nodata=0)
            for i, (row, col, size) in enumerate(places)
        ]
        check_windows(inspect_mosaic(files, gsd=gsd).recipe, data)


def test_the_order_counts_across_grids(tmp_path: Path) -> None:
    """Of three files over one another the first wins, whichever grid it is on."""
    values = {"a": (at(0, 0), 10), "b": (at(0.5, 0.5), 20), "c": (at(0, 0), 30)}
    files = {
        name: write_scene(tmp_path / f"{name}.tif", np.full((1, 9, 9), value, np.uint8), transform=transform)
        for name, (transform, value) in values.items()
    }
    for order in ("abc", "bac", "cba", "acb", "cab", "bca"):
        info = inspect_mosaic([files[name] for name in order])
        pixels, valid = whole(info)
        assert pixels[0, 4, 4] == values[order[0]][1], order
        # where the first has a hole the second wins, though the third may lie on the first one's grid
        holed_first = np.full((1, 9, 9), values[order[0]][1], np.uint8)
        holed_first[0, 2:7, 2:7] = 0
        first = write_scene(tmp_path / "first.tif", holed_first, transform=values[order[0]][0], nodata=0)
        pixels, valid = whole(inspect_mosaic([first, *(files[name] for name in order[1:])]))
        assert pixels[0, 4, 4] == values[order[1]][1], order
        assert valid[4, 4]


def test_validity_of_every_kind_lets_the_next_file_through(tmp_path: Path) -> None:
    hole = np.zeros((9, 9), bool)
    hole[2:5, 3:6] = True
    colours = np.full((3, 9, 9), 50, np.uint8)
    nodata = np.where(hole, 0, colours)
    alpha = np.concatenate([colours, np.where(hole, 0, 255)[None].astype(np.uint8)])
    firsts = [
        write_scene(tmp_path / "nodata.tif", nodata, nodata=0),
        write_scene(tmp_path / "alpha.tif", alpha, photometric="RGB", alpha="YES"),
        write_scene(tmp_path / "mask.tif", colours, valid=~hole),
    ]
    entries = np.where(hole, 1, 0)[None].astype(np.uint8)
    palette = write_scene(tmp_path / "palette.tif", entries, nodata=1)
    with rasterio.open(palette, "r+") as target:
        target.colorinterp = [ColorInterp.palette]
        target.write_colormap(1, {0: (50, 50, 50, 255), 1: (0, 0, 0, 255)})
    copy_raster(firsts[0], tmp_path / "scene.vrt", driver="VRT")
    below = write_scene(tmp_path / "below.tif", np.full((3, 9, 12), 77, np.uint8))
    for first in [*firsts, palette, tmp_path / "scene.vrt"]:
        pixels, valid = whole(inspect_mosaic([first, below], bands=3))
        expected = np.where(np.pad(hole, ((0, 0), (0, 3)), constant_values=True), 77, 50)
        np.testing.assert_array_equal(pixels, np.broadcast_to(expected, (3, 9, 12)), err_msg=first.name)
        assert valid.all()


def test_only_files_that_meet_the_window_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [
        write_scene(
            tmp_path / f"{i:03}.tif", np.full((1, 8, 8), i + 1, np.uint8), transform=at(8 * (i // 10), 8 * (i % 10))
        )
        for i in range(100)
    ]
    info = inspect_mosaic(files)
    opened: list[str] = []
    read: Callable[..., Any] = file_reading.read_file_window

    def counting(recipe: Any, window: Window) -> Any:
        opened.append(Path(recipe.uri).stem)
        return read(recipe, window)

    monkeypatch.setattr(mosaic_reading, "read_file_window", counting)
    mosaic_reading._indexes.clear()
    pixels, _ = read_window(info.recipe, Window(row_off=12, col_off=4, height=12, width=4))
    assert opened == ["010", "020"]
    assert set(np.unique(pixels)) == {11, 21}


def test_what_an_earlier_file_fills_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write_scene(tmp_path / f"{i}.tif", random_pixels((9, 9), seed=i)) for i in range(3)]
    info = inspect_mosaic(files)
    for file in files[1:]:
        file.unlink()
    np.testing.assert_array_equal(whole(info)[0], random_pixels((9, 9), seed=0))


def test_a_recipe_travels(tmp_path: Path) -> None:
    files = [
        write_scene(tmp_path / "a.tif", random_pixels((20, 30)), nodata=0),
        write_scene(tmp_path / "b.tif", random_pixels((20, 30), seed=1), transform=at(3.3, 20), nodata=0),
        write_scene(tmp_path / "c.tif", random_pixels((20, 30), seed=2), crs="EPSG:32632", transform=UTM),
    ]
    recipe = inspect_mosaic(files, dst_crs="EPSG:32633", nodata=float("nan")).recipe
    for copy in (pickle.loads(pickle.dumps(recipe)), recipe_from_json(json.loads(json.dumps(recipe.to_json())))):
        assert copy == recipe
        assert hash(copy) == hash(recipe)
        assert copy.to_json() == recipe.to_json()
    other = inspect_mosaic(files[::-1], dst_crs="EPSG:32633").recipe
    assert other != recipe


def test_a_changed_file_is_another_stamp(tmp_path: Path) -> None:
    files = [
        write_scene(tmp_path / f"{i}.tif", random_pixels((9, 9), seed=i), transform=at(0, 9 * i)) for i in range(3)
    ]
    before = inspect_mosaic(files).stamp
    assert inspect_mosaic(files).stamp == before
    write_scene(files[1], random_pixels((9, 9), seed=7), transform=at(0, 9))
    assert inspect_mosaic(files).stamp != before


def test_dtypes_are_joined_and_said(tmp_path: Path) -> None:
    files = [
        write_scene(tmp_path / "a.tif", np.full((1, 5, 5), 200, np.uint8)),
        write_scene(tmp_path / "b.tif", np.full((1, 5, 5), 40_000, np.uint16), transform=at(0, 5)),
    ]
    info = inspect_mosaic([*files, files[0]])
    assert info.dtype == "uint16"
    assert "files of uint8, uint16 are read as uint16" in info.notes
    assert "1 file(s) named more than once count once" in info.notes
    assert whole(info)[0][0, 0].tolist() == [200] * 5 + [40_000] * 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"crs": "EPSG:32632"},
            r"2 different CRS \(EPSG:32633: .*a.tif; EPSG:32632: .*b.tif\): choose one with",
        ),
        ({"crs": None}, r"2 different CRS .*no CRS: .*b.tif\): give every file its CRS"),
        ({"transform": Affine(1.9, 0.6, UTM.c, 0.6, -1.9, UTM.f)}, r"b.tif: rotated.*--dst-crs"),
        ({"transform": Affine(2.0, 0.0, UTM.c, 0.0, 2.0, UTM.f)}, r"b.tif: rotated, or their rows run another way"),
        ({"bands": 2}, r"different numbers of bands \(3: .*a.tif; 2: .*b.tif\)"),
        ({"transform": None}, r"b.tif: has no transform"),
        ({"gcps": True}, r"b.tif: is placed by GCPs, a mosaic needs a transform"),
        ({"missing": True}, r"b.tif: no such file"),
        ({"broken": True}, r"b.tif: cannot be opened"),
    ],
)
def test_files_that_do_not_go_together(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    first = write_scene(tmp_path / "a.tif", random_pixels((9, 9)))
    second = tmp_path / "b.tif"
    if "broken" in change:
        second.write_bytes(b"II*\0 not a TIFF")
    elif "missing" not in change:
        profile = {k: v for k, v in change.items() if k in ("crs", "transform")}
        if "gcps" in change:
            points = [rasterio.control.GroundControlPoint(r, c, c * 2.0, -r * 2.0) for r in (0, 9) for c in (0, 9)]
            profile = {"gcps": points, "transform": None}
        write_scene(second, random_pixels((9, 9), bands=change.get("bands", 3)), **profile)
    with pytest.raises((SceneError, SceneReadError), match=message):
        inspect_mosaic([first, second])


def test_too_many_pixels_between_far_files(tmp_path: Path) -> None:
    files = [
        write_scene(tmp_path / "a.tif", random_pixels((9, 9))),
        write_scene(tmp_path / "b.tif", random_pixels((9, 9)), transform=at(0, 1_000_000)),
    ]
    with pytest.raises(SceneError, match="1000009 x 9 pixels are 9,000,081, the limit is 1,000,000"):
        inspect_mosaic(files, max_pixels=1_000_000)
    with pytest.raises(SceneError, match="no files"):
        inspect_mosaic([])


def test_a_window_outside_is_refused(tmp_path: Path) -> None:
    files = [write_scene(tmp_path / f"{i}.tif", random_pixels((9, 9)), transform=at(0, 9 * i)) for i in range(2)]
    info = inspect_mosaic(files)
    with pytest.raises(SceneError, match="reaches outside the mosaic of 18 x 9 pixels"):
        read_window(info.recipe, Window(row_off=0, col_off=10, height=9, width=9))
    pixels, valid = read_window(info.recipe, Window(row_off=3, col_off=10, height=0, width=4))
    assert (pixels.shape, valid.shape) == ((3, 0, 4), (0, 4))
