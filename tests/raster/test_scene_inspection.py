"""What is decided about a scene from its header: bands, place on the ground, grid, and what the user is told."""

from __future__ import annotations

import json
import math
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import rasterio.shutil
from rasterio.control import GroundControlPoint as RasterioPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC
from rasterio.transform import Affine

from geoseg.errors import SceneError, SceneReadError
from geoseg.geometry.geobox import IDENTITY, GeoBox
from geoseg.geometry.windows import Window
from geoseg.raster.pixel_size import choose_grid
from geoseg.raster.scene import SceneRecipe, inspect_scene, read_window

# rasterio warns when the tests themselves write scenes without georeferencing.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

METRES = Affine(0.5, 0, 5e5, 0, -0.5, 4e6)


def write(
    path: Path, pixels: npt.NDArray[Any], *, colours: list[ColorInterp] | None = None, **profile: Any
) -> npt.NDArray[Any]:
    """A GeoTIFF of (C, H, W) pixels; returns them."""
    shape = {"count": pixels.shape[0], "height": pixels.shape[1], "width": pixels.shape[2], "dtype": pixels.dtype}
    with rasterio.open(path, "w", driver="GTiff", **{**shape, **profile}) as target:
        target.write(pixels)
        if colours is not None:
            target.colorinterp = colours
    return pixels


def ramp(bands: int, height: int = 6, width: int = 9, dtype: str = "uint8") -> npt.NDArray[Any]:
    return (np.arange(bands * height * width).reshape(bands, height, width) % 251 + 1).astype(dtype)


def read(recipe: SceneRecipe, shape: tuple[int, int]) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    return read_window(recipe, Window.whole(shape))


RGBN_A = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined, ColorInterp.alpha]
A_RGB = [ColorInterp.alpha, ColorInterp.red, ColorInterp.green, ColorInterp.blue]


@pytest.mark.parametrize(
    ("count", "colours", "bands", "bidx", "chosen", "note"),
    [
        # as many bands as the model takes
        (3, None, 3, None, (1, 2, 3), None),
        (1, None, 1, None, (1,), None),
        # more: the first ones that are not alpha, said so
        (5, RGBN_A, 3, None, (1, 2, 3), "of 4 bands the first 3 are read"),
        (4, A_RGB, 3, None, (2, 3, 4), None),
        (4, A_RGB, 2, None, (2, 3), "of 3 bands the first 2 are read"),
        # no model: everything but alpha
        (5, RGBN_A, None, None, (1, 2, 3, 4), None),
        # the user's choice, in the user's order, repeated if wanted; alpha as data too
        (5, RGBN_A, 3, (4, 1, 1), (4, 1, 1), None),
        (5, RGBN_A, None, (5,), (5,), None),
    ],
)
def test_bands(
    tmp_path: Path,
    count: int,
    colours: list[ColorInterp] | None,
    bands: int | None,
    bidx: tuple[int, ...] | None,
    chosen: tuple[int, ...],
    note: str | None,
) -> None:
    path = tmp_path / "scene.tif"
    pixels = write(path, ramp(count), colours=colours, crs="EPSG:32633", transform=METRES)
    info = inspect_scene(path, bands=bands, bidx=bidx)
    assert info.recipe.bidx == chosen
    assert info.count == count
    assert [line for line in info.notes if "bands" in line] == (
        [] if note is None else [f"{note}; --bidx chooses others"]
    )
    np.testing.assert_array_equal(read(info.recipe, info.geobox.shape)[0], pixels[[b - 1 for b in chosen]])


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"bands": 5}, "has 3 band(s) beside 1 alpha, the model takes 5"),
        ({"bands": 3, "bidx": (1, 2)}, "--bidx names 2 band(s), the model takes 3"),
        ({"bidx": (0, 1)}, "--bidx asks for band(s) [0], the file has 1 to 4"),
        ({"bidx": (5,)}, "--bidx asks for band(s) [5], the file has 1 to 4"),
        ({"bidx": ()}, "--bidx asks for band(s) none"),
        ({"max_pixels": 53}, "9 x 6 pixels are 54, the limit is 53: raise --max-pixels"),
        ({"max_block_mb": 0}, "one block (9 x 6 pixels, 4 band(s) of uint8) decodes to"),
        ({"resolution": "coarse"}, 'resolution must be "auto" or "native"'),
    ],
)
def test_refused(tmp_path: Path, options: dict[str, Any], fragment: str) -> None:
    path = tmp_path / "scene.tif"
    write(path, ramp(4), colours=A_RGB)
    with pytest.raises(SceneError) as caught:
        inspect_scene(path, **options)
    assert fragment in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pixels_at_the_limit_are_read(tmp_path: Path) -> None:
    write(tmp_path / "scene.tif", ramp(4))
    assert inspect_scene(tmp_path / "scene.tif", max_pixels=54).geobox.shape == (6, 9)


def test_many_bands_need_a_choice(tmp_path: Path) -> None:
    path = tmp_path / "many.tif"
    write(path, np.ones((1001, 2, 2), np.uint8), interleave="band")
    with pytest.raises(SceneError, match=r"has 1,001 bands: say with --bidx"):
        inspect_scene(path)
    assert inspect_scene(path, bidx=(1001, 7)).recipe.bidx == (1001, 7)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(SceneReadError, match=r"nowhere\.tif: no such file$"):
        inspect_scene(tmp_path / "nowhere.tif")


@pytest.mark.parametrize("name", ["a folder", "text.tif"])
def test_what_is_no_raster_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a folder").mkdir()
    (tmp_path / "text.tif").write_text("not a raster")
    with pytest.raises(SceneReadError, match=r"cannot be opened as a raster") as caught:
        inspect_scene(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_stored_dtype_is_kept(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "scene.tif"
    stored = write(path, ramp(2, dtype=dtype) if dtype != "int8" else ramp(2).astype("int8"))
    info = inspect_scene(path)
    pixels, valid = read(info.recipe, info.geobox.shape)
    assert info.dtype == dtype
    assert pixels.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(pixels, stored)
    assert valid.all()


def test_bands_of_two_dtypes_are_read_as_one_that_holds_both(tmp_path: Path) -> None:
    one = write(tmp_path / "a.tif", ramp(1, dtype="uint16"))
    two = write(tmp_path / "b.tif", -ramp(1, dtype="int16"))
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{band}"><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
        "</VRTRasterBand>"
        for band, (kind, name) in enumerate((("UInt16", "a.tif"), ("Int16", "b.tif")), start=1)
    )
    path = tmp_path / "two.vrt"
    path.write_text(f'<VRTDataset rasterXSize="9" rasterYSize="6">{bands}</VRTDataset>')
    info = inspect_scene(path)
    assert info.dtype == "int32"
    assert "bands of uint16, int16 are read as int32" in info.notes
    np.testing.assert_array_equal(read(info.recipe, (6, 9))[0], np.concatenate([one.astype("i4"), two]))


def test_a_palette_is_expanded_only_for_three_bands(tmp_path: Path) -> None:
    entries = write(tmp_path / "entries.tif", np.array([[[0, 1, 2], [2, 1, 9]]], np.uint8))
    table = "".join(
        f'<Entry c1="{red}" c2="{green}" c3="{blue}" c4="{alpha}"/>'
        for red, green, blue, alpha in ((10, 20, 30, 255), (40, 50, 60, 255), (70, 80, 90, 0))
    )
    path = tmp_path / "palette.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="3" rasterYSize="2"><VRTRasterBand dataType="Byte" band="1">'
        f"<ColorInterp>Palette</ColorInterp><ColorTable>{table}</ColorTable><SimpleSource>"
        '<SourceFilename relativeToVRT="1">entries.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
        "</VRTRasterBand></VRTDataset>"
    )
    info = inspect_scene(path, bands=3)
    assert info.recipe.palette
    assert any("palette" in line for line in info.notes)
    pixels, valid = read(info.recipe, (2, 3))
    assert pixels[:, 0, 1].tolist() == [40, 50, 60]
    assert pixels[:, 1, 2].tolist() == [0, 0, 0]  # an entry nobody defined
    assert valid.tolist() == [[True, True, False], [False, True, True]]  # entry 2 is transparent
    plain = inspect_scene(path, bands=1)
    assert not plain.recipe.palette
    np.testing.assert_array_equal(read(plain.recipe, (2, 3))[0], entries)


class TestPlace:
    def test_crs_and_rotated_transform(self, tmp_path: Path) -> None:
        c, s = 0.5 * math.cos(math.radians(30)), 0.5 * math.sin(math.radians(30))
        transform = Affine(c, s, 5e5, s, -c, 4e6)
        write(tmp_path / "scene.tif", ramp(1), crs="EPSG:32633", transform=transform)
        info = inspect_scene(tmp_path / "scene.tif")
        np.testing.assert_allclose(info.native.transform, tuple(transform)[:6], rtol=1e-12)
        assert info.native.is_rotated
        assert info.native.crs is not None
        assert "UTM zone 33N" in info.native.crs
        assert info.notes == ()
        assert info.gsd is not None
        assert info.gsd == pytest.approx((0.5, 0.5), rel=1e-3)

    def test_none_at_all(self, tmp_path: Path) -> None:
        write(tmp_path / "scene.tif", ramp(1))
        info = inspect_scene(tmp_path / "scene.tif", gsd=1.0)
        assert info.geobox == GeoBox(shape=(6, 9))
        assert info.gsd is None
        assert info.recipe.grid is None
        assert len(info.notes) == 2
        assert info.notes[0].startswith("no CRS")
        assert info.notes[1].startswith("of unknown ground resolution")

    def test_a_transform_without_crs_is_kept(self, tmp_path: Path) -> None:
        write(tmp_path / "scene.tif", ramp(1), transform=METRES)
        assert inspect_scene(tmp_path / "scene.tif").geobox.transform == tuple(METRES)[:6]

    def test_gcps(self, tmp_path: Path) -> None:
        points = [RasterioPoint(row=r, col=c, x=10 + c, y=50 - r, z=5) for r, c in ((0, 0), (0, 9), (6, 0), (6, 9))]
        write(tmp_path / "scene.tif", ramp(1), gcps=points, crs="EPSG:4326")
        info = inspect_scene(tmp_path / "scene.tif", gsd=1.0)
        assert info.recipe.grid is None
        assert info.native.transform == IDENTITY
        assert [(p.row, p.col, p.x, p.y, p.z) for p in info.native.gcps] == [
            (p.row, p.col, p.x, p.y, p.z) for p in points
        ]
        assert info.native.crs is not None
        assert any("placed by GCPs or RPCs" in line for line in info.notes)

    def test_rpcs(self, tmp_path: Path) -> None:
        terms = [0.25] * 20
        rpc = RPC(1.0, 50.0, 9.0, 3.0, terms, terms, 10.0, 180.0, 4.0, 2.0, terms, terms, 1.0, 2.0, 0.1, 0.2)
        write(tmp_path / "scene.tif", ramp(1), rpcs=rpc)
        info = inspect_scene(tmp_path / "scene.tif", gsd=1.0)
        found = dict(info.native.rpcs)
        assert float(found["LAT_OFF"]) == rpc.lat_off
        assert len(found["LINE_NUM_COEFF"].split()) == 20
        assert list(found) == sorted(found)
        assert info.recipe.grid is None
        assert any("placed by GCPs or RPCs" in line for line in info.notes)


class TestGrid:
    @pytest.mark.parametrize(
        ("gsd", "resolution", "resampled"),
        [
            (None, "auto", False),
            # within 25 % either way
            (0.5, "auto", False),
            (0.62, "auto", False),
            (0.41, "auto", False),
            # beyond
            (0.63, "auto", True),
            (0.39, "auto", True),
            (5.0, "auto", True),
            (5.0, "native", False),
            # a pixel cut into more than 16 x 16 shows nothing
            (0.032, "auto", True),
            (0.031, "auto", False),
        ],
    )
    def test_which(self, tmp_path: Path, gsd: float | None, resolution: str, resampled: bool) -> None:
        write(tmp_path / "scene.tif", ramp(1, 60, 90), crs="EPSG:32633", transform=METRES)
        info = inspect_scene(tmp_path / "scene.tif", gsd=gsd, resolution=resolution)
        assert (info.recipe.grid is not None) == resampled
        assert info.geobox == (info.recipe.grid or info.native)
        if resampled:
            assert gsd is not None
            # The centre of the resampled grid is not quite the file's: the projection's scale differs by 1e-9.
            assert info.geobox.gsd() == pytest.approx((gsd, gsd), rel=1e-6)
            height, width = info.geobox.shape
            assert info.gsd is not None
            assert (height, width) == (math.ceil(60 * info.gsd[1] / gsd), math.ceil(90 * info.gsd[0] / gsd))
            assert any("resampled from 0.5 x 0.5 m" in line for line in info.notes)
        elif gsd is not None and not 0.4 < gsd < 0.625:
            assert any("not resampled" in line for line in info.notes)

    def test_web_mercator_is_measured_on_the_ground(self, tmp_path: Path) -> None:
        # 2 map metres at 60 degrees north are 1 metre on the ground.
        north = 6378137.0 * math.log(math.tan(math.pi / 4 + math.radians(60) / 2))
        write(tmp_path / "scene.tif", ramp(1), crs="EPSG:3857", transform=Affine(2, 0, 0, 0, -2, north))
        info = inspect_scene(tmp_path / "scene.tif", gsd=1.0)
        assert info.gsd == pytest.approx((1.0, 1.0), rel=0.01)
        assert info.recipe.grid is None

    def test_max_pixels_counts_the_grid_that_is_read(self, tmp_path: Path) -> None:
        write(tmp_path / "scene.tif", ramp(1, 60, 90), crs="EPSG:32633", transform=METRES)
        assert inspect_scene(tmp_path / "scene.tif", gsd=5.0, max_pixels=70).geobox.shape == (7, 10)
        with pytest.raises(SceneError, match="max-pixels"):
            inspect_scene(tmp_path / "scene.tif", gsd=5.0, max_pixels=69)


@pytest.mark.parametrize("nodata", [None, 0.0, -9999.5, math.nan, math.inf])
def test_a_recipe_travels(tmp_path: Path, nodata: float | None) -> None:
    write(tmp_path / "scene.tif", ramp(3, 60, 90, "float32"), crs="EPSG:32633", transform=METRES)
    recipe = inspect_scene(tmp_path / "scene.tif", gsd=1.0, nodata=nodata).recipe
    # A NaN equals nothing, so what is compared is what is read.
    for copy in (pickle.loads(pickle.dumps(recipe)), SceneRecipe.from_json(json.loads(json.dumps(recipe.to_json())))):
        assert repr(copy) == repr(recipe)
        assert recipe.grid is not None
        for mine, its in zip(read(recipe, recipe.grid.shape), read(copy, recipe.grid.shape), strict=True):
            np.testing.assert_array_equal(mine, its)


def test_a_vrt_and_a_path_object_read_like_the_file(tmp_path: Path) -> None:
    stored = write(tmp_path / "scene.tif", ramp(3), crs="EPSG:32633", transform=METRES)
    rasterio.shutil.copy(tmp_path / "scene.tif", tmp_path / "scene.vrt", driver="VRT")
    info = inspect_scene(os.fspath(tmp_path / "scene.vrt"))
    np.testing.assert_array_equal(read(info.recipe, (6, 9))[0], stored)


@pytest.mark.parametrize("resolution", ["native", "auto"])
def test_large_pixels_are_told_without_powers_of_ten(resolution: str) -> None:
    native = GeoBox(shape=(9, 9), transform=(2950.4, 0.0, 0.0, 0.0, -3050.0, 0.0), crs="anything")
    _, notes = choose_grid(native, native_gsd=(2950.4, 3050.0), gsd=0.7, resolution=resolution)
    assert notes[0].startswith("2,950 x 3,050 m per pixel")
