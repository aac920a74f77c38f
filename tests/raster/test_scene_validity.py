"""Which pixels hold data. rasterio's ``dataset_mask`` is the oracle, joined by what it leaves out (NaN, two rules)."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.errors import NodataShadowWarning, NotGeoreferencedWarning
from rasterio.io import MemoryFile

from geoseg.errors import GeosegError
from geoseg.geometry.windows import Window
from geoseg.raster import file_reading, header
from geoseg.raster.datasets import raster_environment
from geoseg.raster.scene import inspect_scene, read_window

# rasterio warns when the tests themselves write scenes without georeferencing.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

Array = npt.NDArray[Any]
RGBA = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
SHAPE = (11, 13)


def tiff(
    pixels: Array, *, nodata: float | None = None, alpha: Array | None = None, inside: Array | None = None
) -> MemoryFile:
    """A GeoTIFF in memory, with whatever tells its valid pixels."""
    stored = pixels if alpha is None else np.concatenate([pixels, alpha[None]])
    memory = MemoryFile()
    shape = {"count": stored.shape[0], "height": stored.shape[1], "width": stored.shape[2], "dtype": stored.dtype}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), memory.open(driver="GTiff", nodata=nodata, **shape) as target:
        target.write(stored)
        if alpha is not None:
            target.colorinterp = [*RGBA[: pixels.shape[0]], ColorInterp.alpha]
        if inside is not None:
            target.write_mask(inside)
    return memory


def scattered(seed: int, bands: int, dtype: str) -> Array:
    """Few different values, so that bands agree and differ by chance; the last ones are extreme."""
    values = np.array([0, 1, 2, 250], dtype)
    return np.random.default_rng(seed).choice(values, (bands, *SHAPE))


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "int32", "float32", "float64"]),
    bands=st.integers(1, 3),
    how=st.sampled_from(["all", "nodata", "alpha", "mask"]),
    nodata=st.sampled_from([0.0, 2.0, -9999.0, 1e10, float("nan"), -3.4e38]),
)
def test_like_dataset_mask(seed: int, dtype: str, bands: int, how: str, nodata: float) -> None:
    if how == "alpha":  # GDAL flags it in these files only; tests below have others
        bands, dtype = (3 if bands == 2 else bands), ("uint8" if bands == 1 else "uint16")
    if how == "nodata" and not np.issubdtype(dtype, np.floating):
        limits = np.iinfo(dtype)
        nodata = min(max(nodata, limits.min), limits.max) if np.isfinite(nodata) else 1.0
    pixels = scattered(seed, bands, dtype)
    flag = np.random.default_rng(seed + 1).random(SHAPE) < 0.5
    if how == "nodata":
        pixels[:, flag] = np.dtype(dtype).type(nodata)
    with tiff(
        pixels,
        nodata=nodata if how == "nodata" else None,
        alpha=flag.astype(dtype) if how == "alpha" else None,
        inside=flag if how == "mask" else None,
    ) as memory:
        info = inspect_scene(memory.name)
        read, valid = read_window(info.recipe, Window.whole(SHAPE))
        with rasterio.open(memory.name) as dataset:
            expected = dataset.dataset_mask() != 0
    assert info.valid_from == how
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize("folder", ["georef", "layout"])
def test_like_dataset_mask_on_real_files(shared_data: Path, folder: str) -> None:
    compared = 0
    for path in sorted((shared_data / "awkward" / folder).iterdir()):
        try:
            info = inspect_scene(path)
        except GeosegError:
            continue  # test_awkward_scenes.py says which
        pixels, valid = read_window(info.recipe, Window.whole(info.geobox.shape))
        with raster_environment(), ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("ignore", NodataShadowWarning)
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = stack.enter_context(rasterio.open(path))
            expected = dataset.dataset_mask() != 0
            if info.dtype.startswith("float"):
                expected &= np.isfinite(dataset.read(list(info.recipe.bidx))).all(axis=0)
            np.testing.assert_array_equal(pixels, dataset.read(list(info.recipe.bidx)), err_msg=path.name)
        np.testing.assert_array_equal(valid, expected, err_msg=path.name)
        compared += 1
    assert compared > 5


def test_a_pixel_is_nodata_only_where_all_chosen_bands_say_so() -> None:
    pixels = np.array([[[0, 0, 5]], [[0, 7, 0]], [[9, 0, 0]]], np.uint8)
    with tiff(pixels, nodata=0) as memory:
        for bidx in [(1, 2, 3), (1, 2), (3,), (2, 3)]:
            _, valid = read_window(inspect_scene(memory.name, bidx=bidx).recipe, Window.whole((1, 3)))
            np.testing.assert_array_equal(valid, (pixels[[b - 1 for b in bidx]] != 0).any(axis=0))


def test_the_users_nodata_replaces_the_files() -> None:
    pixels = np.array([[[0, 5, 7]]], np.uint8)
    with tiff(pixels, nodata=0) as memory:
        info = inspect_scene(memory.name, nodata=7)
        assert info.nodata == 7
        assert read_window(info.recipe, Window.whole((1, 3)))[1].tolist() == [[True, True, False]]
        outside = inspect_scene(memory.name, nodata=-1).recipe
        assert read_window(outside, Window.whole((1, 3)))[1].all()
        nan = inspect_scene(memory.name, nodata=float("nan")).recipe
        assert read_window(nan, Window.whole((1, 3)))[1].all()


def test_the_users_nodata_adds_to_a_mask() -> None:
    pixels = np.array([[[0, 5, 7]]], np.uint8)
    with tiff(pixels, inside=np.array([[True, False, True]])) as memory:
        recipe = inspect_scene(memory.name, nodata=7).recipe
        assert read_window(recipe, Window.whole((1, 3)))[1].tolist() == [[True, False, False]]


def test_one_nan_or_infinity_makes_a_pixel_invalid() -> None:
    pixels = np.array([[[1, np.nan, 3, 4]], [[1, 2, np.inf, -9]]], np.float32)
    with tiff(pixels, nodata=-9) as memory:
        both = inspect_scene(memory.name)
        assert both.valid_from == "nodata"
        assert read_window(both.recipe, Window.whole((1, 4)))[1].tolist() == [[True, False, False, True]]
        second = inspect_scene(memory.name, bidx=(2,)).recipe
        assert read_window(second, Window.whole((1, 4)))[1].tolist() == [[True, True, False, False]]


def test_nodata_and_alpha_each_invalidate_and_are_noted() -> None:
    pixels = np.array([[[0, 0, 5, 5]]] * 3, np.uint8)
    alpha = np.array([[0, 255, 0, 255]], np.uint8)
    with tiff(pixels, nodata=0, alpha=alpha) as memory:
        info = inspect_scene(memory.name, bands=3)
        assert info.recipe.bidx == (1, 2, 3)
        assert any("alpha (band 4)" in line for line in info.notes)
        assert read_window(info.recipe, Window.whole((1, 4)))[1].tolist() == [[False, False, False, True]]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_alpha_counts_in_files_where_gdal_does_not_flag_it(dtype: str) -> None:
    # GDAL's own flag is for the last of two or four bands of uint8 or uint16.
    pixels = np.full((4, 1, 2), 9)
    memory = MemoryFile()
    with memory.open(driver="GTiff", count=5, height=1, width=2, dtype=dtype) as target:
        target.write(np.concatenate([pixels, [[[0, 1]]]]).astype(dtype))
        target.colorinterp = [*RGBA[:3], ColorInterp.undefined, ColorInterp.alpha]
    with memory:
        info = inspect_scene(memory.name, bands=4)
        assert info.valid_from == "alpha"
        assert read_window(info.recipe, Window.whole((1, 2)))[1].tolist() == [[False, True]]


class Colourless:
    """A dataset whose colour interpretation fails ``times`` times, with an error that is none of rasterio's."""

    def __init__(self, dataset: Any, times: int) -> None:
        self._dataset = dataset
        self._left = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    @property
    def colorinterp(self) -> Any:
        if self._left:
            self._left -= 1
            raise CPLE_BaseError(1, 1, "left behind")
        return self._dataset.colorinterp


@pytest.mark.parametrize(("times", "chosen", "noted"), [(1, (1, 2, 3), False), (99, (1, 2, 3, 4), True)])
def test_colours_that_cannot_be_read_are_no_end(
    times: int, chosen: tuple[int, ...], noted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha = np.array([[0, 255]], np.uint8)
    with tiff(np.full((3, 1, 2), 9, np.uint8), alpha=alpha) as memory, rasterio.open(memory.name) as dataset:
        for room in (header, file_reading):
            monkeypatch.setattr(room, "open_dataset", lambda _: Colourless(dataset, times))
        info = inspect_scene(memory.name)
        assert info.recipe.bidx == chosen
        assert any("colour interpretation cannot be read" in line for line in info.notes) == noted
        # GDAL's flags still tell that the last band is alpha; read as data, it is not.
        assert read_window(info.recipe, Window.whole((1, 2)))[1].tolist() == [[4 in chosen, True]]


def test_an_external_file_of_valid_pixels_counts(tmp_path: Path) -> None:
    flag = np.random.default_rng(0).random(SHAPE) < 0.5
    path = tmp_path / "scene.tif"
    shape = {"count": 1, "height": SHAPE[0], "width": SHAPE[1], "dtype": "uint8"}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "w", driver="GTiff", **shape) as target:
        target.write(np.ones((1, *SHAPE), np.uint8))
        target.write_mask(flag)
    assert (tmp_path / "scene.tif.msk").exists()
    info = inspect_scene(path)
    assert info.valid_from == "mask"
    np.testing.assert_array_equal(read_window(info.recipe, Window.whole(SHAPE))[1], flag)


def test_bands_with_masks_of_their_own(tmp_path: Path) -> None:
    flags = np.random.default_rng(0).random((2, *SHAPE)) < 0.5
    shape = {"height": SHAPE[0], "width": SHAPE[1], "dtype": "uint8", "count": 2}
    for name, values in (("pixels", np.ones((2, *SHAPE))), ("flags", flags * 255)):
        with rasterio.open(tmp_path / f"{name}.tif", "w", driver="GTiff", **shape) as target:
            target.write(values.astype(np.uint8))

    def source(name: str, band: int) -> str:
        return (
            f'<SimpleSource><SourceFilename relativeToVRT="1">{name}.tif</SourceFilename>'
            f"<SourceBand>{band}</SourceBand></SimpleSource>"
        )

    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><MaskBand><VRTRasterBand dataType="Byte">'
        f"{source('flags', band)}</VRTRasterBand></MaskBand>{source('pixels', band)}</VRTRasterBand>"
        for band in (1, 2)
    )
    path = tmp_path / "scene.vrt"
    path.write_text(f'<VRTDataset rasterXSize="{SHAPE[1]}" rasterYSize="{SHAPE[0]}">{bands}</VRTDataset>')
    for bidx in [(1,), (2,), (1, 2)]:
        info = inspect_scene(path, bidx=bidx)
        assert info.valid_from == "mask"
        _, valid = read_window(info.recipe, Window.whole(SHAPE))
        np.testing.assert_array_equal(valid, flags[[b - 1 for b in bidx]].any(axis=0))


@pytest.mark.parametrize(("bands", "bidx"), [(4, None), (4, (1, 2, 3, 4)), (2, (4, 1))])
def test_an_alpha_band_that_is_read_as_data_makes_nothing_invalid(bands: int, bidx: tuple[int, ...] | None) -> None:
    """GDAL calls the fourth band of any plain four-band uint8 file alpha: near infrared, often enough."""
    near_infrared = np.array([[0, 255]], np.uint8)
    with tiff(np.full((3, 1, 2), 9, np.uint8), alpha=near_infrared) as memory:
        info = inspect_scene(memory.name, bands=bands, bidx=bidx)
        pixels, valid = read_window(info.recipe, Window.whole((1, 2)))
    assert valid.all()
    assert near_infrared[0].tolist() in pixels[:, 0].tolist()
    assert any("alpha too" in note for note in info.notes) == (bidx is None)
