"""Label rasters of every kind read as class ids, on their own grid and on others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geoseg.errors import GridError, LegendError, SceneError, SceneReadError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window, split
from geoseg.legend import Legend
from geoseg.raster import label_reading
from geoseg.raster.labels import LabelInfo, LabelRecipe, inspect_labels, read_labels

LEGEND = Legend.from_json(
    [
        {"id": 0, "name": "building", "color": [60, 16, 152]},
        {"id": 1, "name": "land", "color": [132, 41, 246]},
        {"id": 2, "name": "road", "color": [110, 193, 228]},
        {"id": 7, "name": "water", "color": [0, 0, 0]},
    ]
)
UTM40 = rasterio.CRS.from_epsg(32640).to_wkt()
SHAPE = (40, 56)


def truth(shape: tuple[int, int] = SHAPE, *, ignore: bool = True, seed: int = 0) -> np.ndarray:
    """Class ids in blocks of some pixels, 255 here and there."""
    values = np.array([*LEGEND.ids, 255] if ignore else LEGEND.ids, np.uint8)
    blocks = np.random.default_rng(seed).choice(values, size=(shape[0] // 4 + 1, shape[1] // 4 + 1))
    return np.kron(blocks, np.ones((4, 4), np.uint8))[: shape[0], : shape[1]]


def as_colors(ids: np.ndarray) -> np.ndarray:
    """(3, h, w) legend colours; 255 becomes a colour that no class has."""
    table = np.full((256, 3), 255, np.uint8)
    for c in LEGEND:
        table[c.id] = c.color
    return np.moveaxis(table[ids], -1, 0)


def write(
    path: Path,
    pixels: np.ndarray,
    *,
    transform: tuple[float, ...] | None = None,
    crs: str | None = None,
    colormap: Mapping[int, tuple[int, ...]] | None = None,
    valid: np.ndarray | None = None,
    **options: Any,
) -> str:
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    place = {} if transform is None else {"transform": rasterio.Affine(*transform), "crs": crs}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(
        path, "w", driver="PNG" if path.suffix == ".png" else "GTiff", count=pixels.shape[0], height=pixels.shape[1],
        width=pixels.shape[2], dtype=pixels.dtype, **place, **options,
    ) as out:  # fmt: skip
        if colormap is not None:
            out.write_colormap(1, colormap)
        out.write(pixels)
        if valid is not None:
            out.write_mask(valid)
    return str(path)


def whole(info: LabelInfo) -> np.ndarray:
    return read_labels(info.recipe, Window.whole(info.geobox.shape))


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_index_rasters(tmp_path: Path, suffix: str) -> None:
    uri = write(tmp_path / f"a{suffix}", truth())
    info = inspect_labels(uri, legend=LEGEND)
    assert (info.recipe.encoding, info.notes, info.geobox.shape) == ("index", (), SHAPE)
    np.testing.assert_array_equal(whole(info), truth())


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "int32", "int64", "float32", "float64"])
def test_any_type_of_number_holds_ids(tmp_path: Path, dtype: str) -> None:
    pixels = truth().astype(dtype)
    nodata = 250 if dtype.startswith("u") else -9999
    pixels[:3] = nodata
    wanted = truth()
    wanted[:3] = 255
    info = inspect_labels(write(tmp_path / "a.tif", pixels, nodata=nodata), legend=LEGEND)
    np.testing.assert_array_equal(whole(info), wanted)


def test_nan_is_not_scored(tmp_path: Path) -> None:
    pixels = truth(ignore=False).astype("float32")
    pixels[4:6] = np.nan
    found = whole(inspect_labels(write(tmp_path / "a.tif", pixels), legend=LEGEND))
    assert (found == 255).sum() == 2 * SHAPE[1]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_values_the_legend_lacks_are_named_and_counted(tmp_path: Path, dtype: str) -> None:
    pixels = truth(ignore=False).astype(dtype)
    pixels[0, :5], pixels[1, :3] = 9, 3
    info = inspect_labels(write(tmp_path / "a.tif", pixels), legend=LEGEND)
    with pytest.raises(LegendError, match=r"9(\.0)? \(5 pixels\), 3(\.0)? \(3 pixels\).*\[0, 1, 2, 7\]"):
        whole(info)
    lenient = whole(inspect_labels(info.recipe.uri, legend=LEGEND, strict=False))
    assert (lenient == 255).sum() == 8


@pytest.mark.parametrize("value", [-1, 256, 263, 70_000])
def test_large_and_negative_values_do_not_wrap_around(tmp_path: Path, value: int) -> None:
    pixels = truth().astype("int32")
    pixels[0, 0] = value  # 263 is 7 in eight bits
    info = inspect_labels(write(tmp_path / "a.tif", pixels), legend=LEGEND)
    with pytest.raises(LegendError, match=rf" {value} \(1 pixel\)"):
        whole(info)


def test_a_fraction_is_no_id(tmp_path: Path) -> None:
    pixels = truth().astype("float32")
    pixels[0, 0] = 1.5
    with pytest.raises(LegendError, match=r"1\.5 \(1 pixel\)"):
        whole(inspect_labels(write(tmp_path / "a.tif", pixels), legend=LEGEND))


def test_nodata_and_masks_are_not_scored(tmp_path: Path) -> None:
    ids = truth(ignore=False)
    info = inspect_labels(write(tmp_path / "nodata.tif", ids, nodata=7), legend=LEGEND)
    np.testing.assert_array_equal(whole(info), np.where(ids == 7, 255, ids))
    assert "'water'" in info.notes[0]
    valid = np.random.default_rng(1).random(SHAPE) < 0.5
    masked = write(tmp_path / "mask.tif", ids, valid=valid)
    np.testing.assert_array_equal(whole(inspect_labels(masked, legend=LEGEND)), np.where(valid, ids, 255))
    alpha = np.where(valid, 200, 0).astype(np.uint8)
    cases: list[tuple[str, dict[str, Any]]] = [(".png", {}), (".tif", {"alpha": "YES"})]
    for suffix, options in cases:
        grey = write(tmp_path / f"alpha{suffix}", np.stack([ids, alpha]), **options)
        np.testing.assert_array_equal(whole(inspect_labels(grey, legend=LEGEND)), np.where(valid, ids, 255))


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_colours(tmp_path: Path, suffix: str) -> None:
    ids = truth()
    info = inspect_labels(write(tmp_path / f"a{suffix}", as_colors(ids)), legend=LEGEND)
    assert info.recipe.encoding == "color"
    assert f"{(ids == 255).mean():.2%}" in info.notes[0]
    np.testing.assert_array_equal(whole(info), ids)
    alpha = np.where(np.arange(ids.size).reshape(SHAPE) % 3, 255, 0).astype(np.uint8)
    info = inspect_labels(write(tmp_path / f"b{suffix}", np.concatenate([as_colors(ids), alpha[None]])), legend=LEGEND)
    np.testing.assert_array_equal(whole(info), np.where(alpha, ids, 255))


def test_nodata_counts_beside_alpha(tmp_path: Path) -> None:
    """And black, nodata here, is a colour of the legend."""
    ids = truth()
    alpha = np.where(np.arange(ids.size).reshape(SHAPE) % 3, 255, 0).astype(np.uint8)
    uri = write(tmp_path / "a.tif", np.concatenate([as_colors(ids), alpha[None]]), nodata=0)
    np.testing.assert_array_equal(
        whole(inspect_labels(uri, legend=LEGEND)), np.where((alpha > 0) & (ids != 7), ids, 255)
    )


def test_colours_in_another_order_of_bands(tmp_path: Path) -> None:
    uri = write(tmp_path / "bgr.tif", as_colors(truth())[::-1].copy(), photometric="RGB")
    with rasterio.open(uri, "r+") as dataset:
        kinds = rasterio.enums.ColorInterp
        dataset.colorinterp = (kinds.blue, kinds.green, kinds.red)
    np.testing.assert_array_equal(whole(inspect_labels(uri, legend=LEGEND)), truth())


def test_colours_that_are_not_the_legends(tmp_path: Path) -> None:
    with pytest.raises(LegendError, match="no pixel of a sample"):
        inspect_labels(write(tmp_path / "a.tif", np.stack([truth() // 2 + 1] * 3)), legend=LEGEND)
    twins = Legend.from_json([{"id": i, "name": str(i), "color": [60, 16, 152]} for i in range(2)])
    with pytest.raises(LegendError, match="same"):
        inspect_labels(write(tmp_path / "b.tif", as_colors(truth())), legend=twins)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_palettes(tmp_path: Path, suffix: str) -> None:
    """Numbers are ids, whatever the colours, unless the colours are the legend's and say something else."""
    ids = truth(ignore=False)
    pascal = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 7: (128, 128, 128), 255: (224, 224, 192)}
    info = inspect_labels(write(tmp_path / f"pascal{suffix}", truth(), colormap=pascal), legend=LEGEND)
    assert (info.recipe.encoding, info.notes) == ("index", ())
    np.testing.assert_array_equal(whole(info), truth())

    own = {c.id: c.color for c in LEGEND} | {255: (0, 0, 0)}  # black is also the colour of a class
    cases: list[dict[str, Any]] = [{}, {"nodata": 255}]
    for options in cases:
        info = inspect_labels(write(tmp_path / f"own{suffix}", truth(), colormap=own, **options), legend=LEGEND)
        assert info.recipe.encoding == "index"
        np.testing.assert_array_equal(whole(info), truth())

    numbers = np.zeros(256, np.uint8)
    numbers[[0, 1, 2, 7]] = [2, 0, 1, 3]  # as a program that saves colours with a palette numbers them
    quantised = {int(numbers[c.id]): c.color for c in LEGEND} | {4: (1, 2, 3)}
    pixels = numbers[ids]
    pixels[0, :2] = 4
    info = inspect_labels(write(tmp_path / f"quantised{suffix}", pixels, colormap=quantised), legend=LEGEND)
    assert info.recipe.encoding == "palette"
    assert "colours" in info.notes[0]
    wanted = ids.copy()
    wanted[0, :2] = 255
    np.testing.assert_array_equal(whole(info), wanted)


def test_colours_decide_where_numbers_would_do_as_well(tmp_path: Path) -> None:
    legend = Legend.from_json([{"id": i, "name": c.name, "color": c.color} for i, c in enumerate(LEGEND)])
    ids = np.random.default_rng(0).integers(0, 4, SHAPE, np.uint8)
    turned = {3 - c.id: c.color for c in legend}
    info = inspect_labels(write(tmp_path / "a.png", 3 - ids, colormap=turned), legend=legend)
    assert info.recipe.encoding == "palette"
    np.testing.assert_array_equal(whole(info), ids)


def test_only_0_and_255_is_remarked_on(tmp_path: Path) -> None:
    pixels = np.where(truth() == 0, np.uint8(255), np.uint8(0))
    info = inspect_labels(write(tmp_path / "a.png", pixels), legend=LEGEND)
    assert "255" in info.notes[0]


def test_what_is_no_label_raster(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="5 bands"):
        inspect_labels(write(tmp_path / "a.tif", np.zeros((5, 8, 8), np.uint8)), legend=LEGEND)
    with pytest.raises(SceneError, match="complex"):
        inspect_labels(write(tmp_path / "b.tif", np.zeros((8, 8), np.complex64)), legend=LEGEND)
    with pytest.raises(SceneReadError, match=r"gone\.tif"):
        inspect_labels(str(tmp_path / "gone.tif"), legend=LEGEND)


def test_a_file_that_fails_mid_read_names_the_window(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.choice(np.array(LEGEND.ids, np.uint8), size=(900, 700))
    path = Path(write(tmp_path / "a.tif", pixels, tiled=True, blockxsize=64, blockysize=64, compress="deflate"))
    info = inspect_labels(str(path), legend=LEGEND)
    data = bytearray(path.read_bytes())
    start = len(data) // 3
    data[start : start + 4000] = bytes(4000)  # GDAL writes the directory first
    path.write_bytes(data)
    with pytest.raises(SceneReadError, match="rows 0-900, columns 0-700"):
        whole(info)
    with pytest.raises(SceneReadError, match="cannot read"):
        inspect_labels(str(path), legend=LEGEND)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(-20, 60), st.integers(-20, 60), st.integers(0, 50), st.integers(0, 50))
def test_a_window_is_a_part_of_the_whole(
    tmp_path: Path, suffix: str, row: int, col: int, height: int, width: int
) -> None:
    path = tmp_path / f"a{suffix}"
    uri = str(path) if path.exists() else write(path, truth())
    outer = Window(row_off=-20, col_off=-20, height=160, width=160)
    padded = np.full(outer.shape, 255, np.uint8)
    padded[20 : 20 + SHAPE[0], 20 : 20 + SHAPE[1]] = truth()
    window = Window(row_off=row, col_off=col, height=height, width=width)
    found = read_labels(inspect_labels(uri, legend=LEGEND).recipe, window)
    np.testing.assert_array_equal(found, padded[window.within(outer)])
    found[...] = 0  # what is kept of a PNG must not be what is handed out


def test_a_replaced_png_is_read_anew(tmp_path: Path) -> None:
    for seed in (1, 2):
        uri = write(tmp_path / "a.png", truth(seed=seed))
        np.testing.assert_array_equal(whole(inspect_labels(uri, legend=LEGEND)), truth(seed=seed))


PLACED = GeoBox(shape=(300, 420), transform=(0.7, 0.0, 330_000.1, 0.0, -0.7, 2_790_000.3), crs=UTM40)
GRIDS = {
    "finer": replace(PLACED, shape=(500, 600), transform=(0.31, 0.0, 330_050.0, 0.0, -0.31, 2_789_950.0)),
    "coarser": PLACED.resampled(ratio_x=1.7, ratio_y=2.0),
    "larger": replace(PLACED, shape=(400, 500), transform=(0.9, 0.0, 329_970.0, 0.0, -0.9, 2_790_030.0)),
    "rotated": replace(PLACED, shape=(300, 300), transform=(0.6, 0.2, 330_010.0, 0.2, -0.6, 2_789_990.0)),
}


@pytest.mark.parametrize("name", sorted(GRIDS))
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_on_another_grid_a_whole_read_is_the_windows(tmp_path: Path, name: str, suffix: str) -> None:
    """And it is rasterio's own nearest neighbour."""
    grid, ids = GRIDS[name], truth(PLACED.shape)
    if suffix == ".tif":
        uri = write(tmp_path / "a.tif", ids, transform=PLACED.transform, crs=UTM40)
        info = inspect_labels(uri, legend=LEGEND, onto=grid)
    else:  # not placed: it lies on the grid that the map's was made from
        info = inspect_labels(write(tmp_path / "a.png", ids), legend=LEGEND, onto=grid, native=PLACED)
    assert info.geobox == grid
    assert "nearest neighbour" in info.notes[0]
    found = whole(info)
    for window in split(grid.shape, size=(97, 131)):
        np.testing.assert_array_equal(
            read_labels(info.recipe, window), found[window.within(Window.whole(grid.shape))], err_msg=str(window)
        )
    warped, _ = rasterio.warp.reproject(
        ids, np.full(grid.shape, 255, np.uint8), src_crs=UTM40, dst_crs=UTM40, tolerance=0, init_dest_nodata=False,
        src_transform=rasterio.Affine(*PLACED.transform), dst_transform=rasterio.Affine(*grid.transform),
    )  # fmt: skip
    assert (found != 255).mean() > 0.2
    if name == "coarser":  # every row is a tie there: GDAL falls either way, by the last bit of a double
        cols = ((np.arange(grid.shape[1]) + 0.5) * 1.7).astype(int)
        np.testing.assert_array_equal(found[:, cols < 420], ids[1::2][:, cols[cols < 420]])
        assert (found[:, cols >= 420] == 255).all()
    else:
        assert (found != warped).mean() < 1e-4


def test_many_source_pixels_under_one_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = write(tmp_path / "a.tif", truth(PLACED.shape), transform=PLACED.transform, crs=UTM40)
    info = inspect_labels(uri, legend=LEGEND, onto=PLACED.resampled(ratio_x=9.3, ratio_y=7.1))
    wanted, sizes = whole(info), []
    read = label_reading._read_ids

    def watched(recipe: LabelRecipe, window: Window) -> np.ndarray:
        sizes.append(window.pixels)
        return read(recipe, window)

    monkeypatch.setattr(label_reading, "_MAX_SOURCE_PIXELS", 500)
    monkeypatch.setattr(label_reading, "_read_ids", watched)
    np.testing.assert_array_equal(whole(info), wanted)
    assert max(sizes) <= 500


def test_grids_that_are_the_same_are_not_resampled(tmp_path: Path) -> None:
    placed = write(tmp_path / "a.tif", truth(), transform=PLACED.transform, crs=UTM40)
    grid = replace(PLACED, shape=SHAPE)
    assert inspect_labels(placed, legend=LEGEND, onto=grid).recipe.grid is None
    info = inspect_labels(write(tmp_path / "a.png", truth()), legend=LEGEND, onto=grid)
    assert info.recipe.grid is None
    assert "pixel by pixel" in info.notes[0]
    np.testing.assert_array_equal(whole(info), truth())


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.png", truth())
    with pytest.raises(GridError, match=r"56 x 40 pixels, the map 420 x 300"):
        inspect_labels(plain, legend=LEGEND, onto=PLACED)
    with pytest.raises(GridError, match=r"56 x 40"):
        inspect_labels(plain, legend=LEGEND, onto=GRIDS["coarser"], native=PLACED)
    with pytest.raises(GridError, match=r"56 x 40"):
        inspect_labels(plain, legend=LEGEND, onto=GeoBox(shape=(41, 56)))
    away = replace(PLACED, transform=(0.7, 0.0, 400_000.0, 0.0, -0.7, 2_790_000.0))
    placed = write(tmp_path / "a.tif", truth(PLACED.shape), transform=away.transform, crs=UTM40)
    with pytest.raises(GridError, match="elsewhere"):
        inspect_labels(placed, legend=LEGEND, onto=PLACED)


def test_the_real_labels(shared_data: Path) -> None:
    legend = Legend.numbered(5)
    for file in sorted((shared_data / "dubai").glob("tile[24]_mask.png")):
        info = inspect_labels(str(file), legend=legend)
        assert info.recipe.encoding == "index"
        assert set(np.unique(whole(info)).tolist()) <= {0, 1, 2, 3, 4, 255}
    info = inspect_labels(str(shared_data / "banepa" / "banepa_train_mask.tif"), legend=Legend.numbered(2))
    assert info.geobox.is_placed
    assert set(np.unique(whole(info)).tolist()) == {0, 1}
    monterey = next(iter(sorted((shared_data / "monterey").rglob("*.png"))), None)
    if monterey is not None:
        ids = Legend.from_json([{"id": i, "name": str(i)} for i in range(1, 12)])
        assert whole(inspect_labels(str(monterey), legend=ids)).shape == (608, 608)
