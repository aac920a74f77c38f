"""A scene on a grid of another CRS: GDAL's warper as the oracle, positions true to PROJ, the same bytes everywhere."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject
from scipy.ndimage import gaussian_filter

from geoseg.errors import SceneError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.raster import file_reading, mosaic_reading, warp
from geoseg.raster.crs import area_around, operation_between, transformer_of, turn_of
from geoseg.raster.mosaic import inspect_mosaic
from geoseg.raster.mosaic_recipe import MosaicRecipe
from geoseg.raster.scene import SceneInfo, inspect_scene, read_window
from geoseg.raster.warp import Warp
from tests.raster.test_mosaic import at, check_windows, holed
from tests.scenes import UTM, random_pixels, write_scene

Array = npt.NDArray[Any]
ROTATED = Affine(1.9, 0.6, UTM.c, 0.6, -1.9, UTM.f)


def whole(info: SceneInfo) -> tuple[Array, Array]:
    return read_window(info.recipe, Window.whole(info.geobox.shape))


def smooth(shape: tuple[int, int], *, bands: int = 3, dtype: str = "uint8", sigma: float = 6) -> Array:
    """Smooth random pixels from 1."""
    noise = gaussian_filter(np.random.default_rng(5).normal(size=(bands, *shape)), (0, sigma, sigma))
    span = np.iinfo(dtype).max - 5 if np.issubdtype(dtype, np.integer) else 1000
    return ((noise - noise.min()) / np.ptp(noise) * span + 2).astype(dtype)


def gdal(pixels: Array, info: SceneInfo, *, transform: Affine = UTM, crs: str = "EPSG:32633", **options: Any) -> Array:
    """What GDAL's warper gives on the grid of ``info``."""
    expected = np.zeros((len(pixels), *info.geobox.shape), pixels.dtype)
    reproject(
        pixels,
        expected,
        src_transform=transform,
        src_crs=crs,
        dst_transform=Affine(*info.geobox.transform),
        dst_crs=info.geobox.crs,
        src_nodata=0,
        dst_nodata=0,
        resampling=Resampling.bilinear,
        tolerance=0,
        **options,
    )
    return expected


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:4326", "EPSG:32632", "EPSG:3035", "EPSG:3413"])
@pytest.mark.parametrize("transform", [UTM, ROTATED], ids=["north-up", "rotated"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_like_gdals_warper(tmp_path: Path, crs: str, transform: Affine, dtype: str) -> None:
    pixels = smooth((150, 220), dtype=dtype)
    pixels[:, 40:60, 70:110] = 0
    scene = write_scene(tmp_path / "scene.tif", pixels, transform=transform, nodata=0)
    info = inspect_mosaic([scene], dst_crs=crs)
    found, valid = whole(info)
    expected = gdal(pixels, info, transform=transform, XSCALE=1, YSCALE=1)  # else it takes a turn for a change of size
    known = (expected != 0).any(axis=0)
    assert (valid != known).sum() <= 3  # centres on an edge, to rounding
    both = valid & known
    assert both.sum() > 0.8 * (150 * 220 - 800)
    limit = 1 if dtype == "uint8" else 0.02 * 1000
    assert np.abs(found.astype(float) - expected)[:, both].max() <= limit
    assert np.abs(found.astype(float) - expected)[:, both].mean() <= limit / 20
    # nothing of the scene is left out by the grid
    assert not valid[0].any()
    assert not valid[-1].any()
    assert not valid[:, 0].any()
    assert not valid[:, -1].any()


CRS = st.sampled_from(["EPSG:3857", "EPSG:4326", "EPSG:32632", "EPSG:3413", "EPSG:32633"])


@settings(max_examples=15)
@given(
    target=CRS,
    places=st.lists(
        st.tuples(st.floats(-20, 90), st.floats(-20, 90), st.sampled_from([0.3, 1.0])), min_size=1, max_size=3
    ),
    gsd=st.sampled_from([None, None, 7.7]),
    data=st.data(),
)
def test_any_window_gives_the_bytes_of_the_whole(
    target: str, places: list[tuple[float, float, float]], gsd: float | None, data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        files = [
            write_scene(Path(folder) / f"{i}.tif", holed((61, 53), i), transform=at(row, col, size=size), nodata=0)
            for i, (row, col, size) in enumerate(places)
        ]
        rotated = write_scene(Path(folder) / "rotated.tif", holed((40, 30), 9), transform=ROTATED, nodata=0)
        check_windows(inspect_mosaic([*files, rotated], dst_crs=target, gsd=gsd).recipe, data)


def test_blocks_and_strips_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = write_scene(tmp_path / "scene.tif", holed((150, 220), 1), nodata=0)
    for gsd in (None, 9.0):
        info = inspect_mosaic([scene], dst_crs="EPSG:3857", gsd=gsd)
        at_once = whole(info)
        monkeypatch.setattr(warp, "BLOCK", 37)
        monkeypatch.setattr(file_reading, "STRIP_BYTES", 3000)
        mosaic_reading._indexes.clear()
        for one, other in zip(at_once, whole(info), strict=True):
            assert one.tobytes() == other.tobytes()
        monkeypatch.undo()
        mosaic_reading._indexes.clear()


@pytest.mark.parametrize(
    ("source", "target", "step", "north"),
    [
        ("EPSG:32633", "EPSG:3857", 2.0, 5_000_000.0),
        ("EPSG:32633", "EPSG:4326", 30.0, 5_000_000.0),
        ("EPSG:4326", "EPSG:3413", 0.01, 60.0),
        ("EPSG:4326", "EPSG:3413", 0.1, 89.9),  # near the pole only PROJ itself is true enough
        ("EPSG:4326", "EPSG:54009", 0.1, 60.0),
        ("EPSG:32633", "EPSG:3035", 250.0, 5_000_000.0),
    ],
)
def test_the_lattice_is_true_to_proj(tmp_path: Path, source: str, target: str, step: float, north: float) -> None:
    """At most a twentieth of a pixel of the source from where PROJ puts each centre."""
    transform = Affine(step, 0.0, 5.0 if source == "EPSG:4326" else 400_000.0, 0.0, -step, north)
    crs = "ESRI:54009" if target == "EPSG:54009" else target
    scene = write_scene(tmp_path / "scene.tif", random_pixels((300, 200), bands=1), crs=source, transform=transform)
    recipe = inspect_mosaic([scene], dst_crs=crs).recipe
    assert isinstance(recipe, MosaicRecipe)
    layer = recipe.layers[0]
    assert layer.operation is not None
    found = Warp(
        grid=recipe.grid,
        source=layer.grid,
        transformer=transformer_of(layer.operation),
        turn=turn_of(layer.grid.crs),
    )
    window = Window.whole(recipe.grid.shape)
    columns, rows = np.meshgrid(np.arange(window.width) + 0.5, np.arange(window.height) + 0.5)
    exact = [n.reshape(window.shape) for n in found.exact(columns.ravel(), rows.ravel())]
    inside = (exact[0] > 0) & (exact[0] < 200) & (exact[1] > 0) & (exact[1] < 300)
    assert inside.any()
    for mine, right in zip(found.positions(window), exact, strict=True):
        assert np.abs(mine - right)[inside].max() <= 0.05
    x, y = pyproj.Transformer.from_crs(crs, source, always_xy=True).transform(
        *(Affine(*recipe.grid.transform) @ (columns[inside], rows[inside]))
    )
    straight = ~Affine(*layer.grid.transform) @ (np.asarray(x), np.asarray(y))
    np.testing.assert_allclose(straight[0], exact[0][inside], atol=1e-4)


def test_a_scene_already_there_is_copied(tmp_path: Path) -> None:
    pixels = holed((40, 50), 2)
    scene = write_scene(tmp_path / "scene.tif", pixels, nodata=0)
    info, plain = inspect_mosaic([scene], dst_crs="EPSG:32633"), inspect_scene(scene)
    assert info.geobox == plain.geobox
    for one, other in zip(whole(info), whole(plain), strict=True):
        np.testing.assert_array_equal(one, other)


def test_files_of_the_wanted_crs_lend_their_grid(tmp_path: Path) -> None:
    """The first file is warped onto the grid of the second, which is copied bit for bit."""
    other = write_scene(
        tmp_path / "a.tif", holed((40, 50), 1), crs="EPSG:3857", transform=Affine(2, 0, 1.67e6, 0, -2, 4.32e6)
    )
    pixels = np.maximum(random_pixels((40, 50)), 1)
    scene = write_scene(tmp_path / "b.tif", pixels, nodata=0)
    info = inspect_mosaic([other, scene], dst_crs="EPSG:32633")
    assert info.geobox.transform[0] == 2.0
    row, col = (round(v) for v in (~Affine(*info.geobox.transform) @ (UTM.c, UTM.f))[::-1])
    found, valid = read_window(info.recipe, Window(row_off=row, col_off=col, height=40, width=50))
    first, known = read_window(inspect_mosaic([other], dst_crs="EPSG:32633").recipe, Window.whole((1, 1)))
    assert valid.all()
    assert first.shape == (3, 1, 1)
    assert known.shape == (1, 1)
    np.testing.assert_array_equal(found, pixels)
    assert "1 file(s) warped to EPSG:32633" in info.notes


def test_much_finer_scenes_are_averaged_first(tmp_path: Path) -> None:
    """A chequerboard of pixels comes out grey, not as a pattern of its own; smooth pixels as GDAL has them."""
    board = np.indices((400, 400)).sum(axis=0)[None] % 2 * 200 + 20
    scene = write_scene(tmp_path / "board.tif", board.astype(np.uint8))
    info = inspect_mosaic([scene], dst_crs="EPSG:3857", gsd=16.0)
    assert isinstance(info.recipe, MosaicRecipe)
    assert min(info.recipe.layers[0].prefilter) > 7
    pixels, valid = whole(info)
    inner = pixels[0, 5:-5, 5:-5][valid[5:-5, 5:-5]]
    assert np.abs(inner.astype(int) - 120).max() <= 4
    fine = smooth((400, 400), sigma=16)
    scene = write_scene(tmp_path / "smooth.tif", fine, nodata=0)
    info = inspect_mosaic([scene], dst_crs="EPSG:3857", gsd=8.0)
    pixels, valid = whole(info)
    expected = gdal(fine, info)
    both = valid & (expected != 0).any(axis=0)
    assert both.sum() > 0.95 * valid.sum()
    difference = np.abs(pixels.astype(int) - expected)[:, both]
    assert difference.mean() < 1
    assert np.percentile(difference, 99) <= 2


def test_what_has_no_place_is_nodata(tmp_path: Path) -> None:
    """Half of a global raster lies outside the domain of an orthographic view; its rim is exact."""
    world = write_scene(
        tmp_path / "world.tif",
        np.full((3, 90, 180), 50, np.uint8),
        crs="EPSG:4326",
        transform=Affine(2.0, 0.0, -180.0, 0.0, -2.0, 90.0),
    )
    info = inspect_mosaic([world], dst_crs="+proj=ortho +lat_0=40 +lon_0=10 +type=crs")
    pixels, valid = whole(info)
    assert valid.any()
    assert not valid.all()
    assert (pixels[:, valid] == 50).all()
    a, _, c, _, e, f = info.geobox.transform
    rows, columns = np.indices(valid.shape) + 0.5
    x, y = a * columns + c, e * rows + f
    radius = np.hypot(x, y)
    assert valid[radius < 6_100_000].mean() > 0.97  # the poles' own row and the seam at 180 may be missing
    assert not valid[radius > 6_400_000].any()


@pytest.mark.parametrize("target", ["EPSG:4326", "EPSG:32601"])
def test_across_the_antimeridian(tmp_path: Path, target: str) -> None:
    """Degrees go on past 180, and a scene in such degrees is found from metres."""
    pixels = smooth((100, 160))
    if target == "EPSG:4326":
        crs, transform = "EPSG:32601", Affine(500.0, 0.0, 260_000.0, 0.0, -500.0, 5_000_000.0)
    else:
        crs, transform = "EPSG:4326", Affine(0.005, 0.0, 179.6, 0.0, -0.005, 45.0)
    scene = write_scene(tmp_path / "scene.tif", pixels, crs=crs, transform=transform, nodata=0)
    info = inspect_mosaic([scene], dst_crs=target)
    _, valid = whole(info)
    assert valid.mean() > 0.85
    assert max(info.geobox.shape) < 300
    if target == "EPSG:4326":
        left, right = info.geobox.transform[2], info.geobox.world(info.geobox.shape[1], 0)[0]
        assert right - left < 2


def test_a_scene_torn_by_the_edge_of_a_crs_is_refused(tmp_path: Path) -> None:
    transform = Affine(500.0, 0.0, 260_000.0, 0.0, -500.0, 5_000_000.0)
    scene = write_scene(tmp_path / "scene.tif", random_pixels((60, 160)), crs="EPSG:32601", transform=transform)
    with pytest.raises(SceneError, match=r"EPSG:3857 the scene would be torn over .* choose a CRS made for the place"):
        inspect_mosaic([scene], dst_crs="EPSG:3857")


@pytest.mark.parametrize(
    ("profile", "target", "message"),
    [
        ({"crs": None}, "EPSG:3857", "scene.tif: no CRS, so nothing leads to EPSG:3857"),
        ({}, "EPSG:99999", "--dst-crs 'EPSG:99999': no CRS that GDAL knows"),
        ({}, "nonsense", "--dst-crs 'nonsense': no CRS that GDAL knows"),
        ({"transform": None}, "EPSG:3857", "scene.tif: has no transform, --dst-crs needs to know"),
        ({"crs": 'LOCAL_CS["here",UNIT["metre",1]]'}, "EPSG:3857", "PROJ knows no way from here to EPSG:3857"),
    ],
)
def test_what_cannot_be_warped(tmp_path: Path, profile: dict[str, Any], target: str, message: str) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((9, 9)), **profile)
    with pytest.raises(SceneError, match=message):
        inspect_mosaic([scene], dst_crs=target)


def test_an_operation_without_its_grids_is_said() -> None:
    british, world = (pyproj.CRS(f"EPSG:{code}").to_wkt() for code in (27700, 4326))
    operation, notes = operation_between(british, world, (-3.0, 53.0, -2.0, 54.0))
    assert "helmert" in operation or "hgridshift" in operation
    if "hgridshift" not in operation:
        assert "PROJ's best operation needs" in notes[0]


def test_a_grid_of_another_crs_keeps_square_pixels_on_the_ground(tmp_path: Path) -> None:
    north = Affine(2.0, 0.0, 500_000.0, 0.0, -2.0, 7_000_000.0)
    scene = write_scene(tmp_path / "scene.tif", random_pixels((60, 60)), transform=north)
    for target in ("EPSG:4326", "EPSG:3857", "EPSG:3035"):
        info = inspect_mosaic([scene], dst_crs=target)
        assert isinstance(info.geobox, GeoBox)
        assert info.gsd == pytest.approx((2.0, 2.0), rel=0.03), target


def test_a_real_scene_is_warped_like_gdal_and_the_same_in_every_window(shared_data: Path) -> None:
    path = shared_data / "banepa" / "banepa_train.tif"
    info = inspect_mosaic([path], dst_crs="EPSG:32645")
    window = Window(row_off=1500, col_off=900, height=700, width=900)
    pixels, valid = read_window(info.recipe, window)
    assert valid.all()
    part, _ = read_window(info.recipe, Window(row_off=1811, col_off=1203, height=97, width=301))
    np.testing.assert_array_equal(part, pixels[:, 311:408, 303:604])
    grid = Affine(*info.geobox.transform)
    expected = np.zeros_like(pixels)
    with rasterio.open(path) as source:
        reproject(
            rasterio.band(source, [1, 2, 3]),
            expected,
            dst_transform=Affine(grid.a, 0, grid.c + 900 * grid.a, 0, grid.e, grid.f + 1500 * grid.e),
            dst_crs="EPSG:32645",
            resampling=Resampling.bilinear,
            tolerance=0,
            XSCALE=1,
            YSCALE=1,
        )
    difference = np.abs(pixels.astype(int) - expected)
    assert difference.mean() < 0.3
    assert np.percentile(difference, 99.9) <= 4


@pytest.mark.parametrize(("lon", "lat"), [(-80.5, 25.5), (-150.5, 64.5), (-79.5, 23.0)])
def test_the_operation_is_that_of_the_place(lon: float, lat: float) -> None:
    """NAD27 to WGS 84 is another shift in Florida, in Alaska and in Cuba."""
    old, new = (pyproj.CRS(f"EPSG:{code}").to_wkt() for code in (4267, 4326))
    box = GeoBox(shape=(100, 100), transform=(0.001, 0.0, lon, 0.0, -0.001, lat), crs=old)
    area = area_around(box)
    assert area is not None
    found = transformer_of(operation_between(old, new, area)[0]).transform(lon, lat)
    expected = pyproj.Transformer.from_crs(
        old, new, always_xy=True, area_of_interest=pyproj.aoi.AreaOfInterest(*area)
    ).transform(lon, lat)
    assert found == pytest.approx(expected, abs=1e-4)  # several of about 10 m are on offer
    assert found != (lon, lat)
