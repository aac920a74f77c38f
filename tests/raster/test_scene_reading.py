"""Windows read as the file holds them, on any thread, with few reads; and what is said when a file fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.env import get_gdal_config
from rasterio.transform import Affine

from geoseg.errors import SceneError, SceneReadError
from geoseg.geometry.windows import Window, split
from geoseg.raster import datasets, file_reading
from geoseg.raster.datasets import close_datasets, open_dataset, raster_environment
from geoseg.raster.scene import SceneInfo, SceneRecipe, inspect_scene, read_window
from geoseg.raster.urls import is_url

# rasterio warns when the tests themselves write scenes without georeferencing.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

SHAPE = (70, 90)


@pytest.fixture(scope="module")
def pixels() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (4, *SHAPE), np.uint8)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, pixels: npt.NDArray[np.uint8]) -> Path:
    """Four bands with a file of valid pixels beside them."""
    path = tmp_path_factory.mktemp("scenes") / "scene.tif"
    profile: dict[str, Any] = {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "deflate"}
    profile["photometric"] = "minisblack"  # else GDAL takes four bands of uint8 for RGB and alpha
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=4,
            height=SHAPE[0],
            width=SHAPE[1],
            dtype="uint8",
            crs="EPSG:32633",
            transform=Affine(0.5, 0, 5e5, 0, -0.5, 4e6),
            **profile,
        ) as target,
    ):
        target.write(pixels)
        target.write_mask(pixels[0] > 60)
    assert path.with_name("scene.tif.msk").exists()
    return path


@settings(deadline=None, max_examples=60)
@given(data=st.data(), bidx=st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_a_window_is_that_part_of_the_scene(
    path: Path, pixels: npt.NDArray[np.uint8], data: st.DataObject, bidx: list[int]
) -> None:
    row_off, col_off = data.draw(st.integers(0, SHAPE[0])), data.draw(st.integers(0, SHAPE[1]))
    window = Window(
        row_off=row_off,
        col_off=col_off,
        height=data.draw(st.integers(0, SHAPE[0] - row_off)),
        width=data.draw(st.integers(0, SHAPE[1] - col_off)),
    )
    rows, columns = window.within(Window.whole(SHAPE))
    read, valid = read_window(inspect_scene(path, bidx=bidx).recipe, window)
    np.testing.assert_array_equal(read, pixels[[b - 1 for b in bidx], rows, columns])
    np.testing.assert_array_equal(valid, pixels[0, rows, columns] > 60)
    assert read.dtype == np.uint8
    assert valid.dtype == np.bool_


@pytest.mark.parametrize("offsets", [(-1, 0), (0, -1), (1, 0), (0, 1)])
@pytest.mark.parametrize("gsd", [None, 1.0])
def test_a_window_outside_the_grid_is_refused(path: Path, offsets: tuple[int, int], gsd: float | None) -> None:
    info = inspect_scene(path, gsd=gsd)
    height, width = info.geobox.shape
    window = Window(row_off=offsets[0], col_off=offsets[1], height=height, width=width)
    with pytest.raises(SceneError, match=f"outside the scene of {width} x {height}"):
        read_window(info.recipe, window)


class CountingDataset:
    """A dataset that counts what is read of it."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.reads: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def read(self, bands: Any, **options: Any) -> Any:
        self.reads.append(bands)
        return self._dataset.read(bands, **options)

    def read_masks(self, bands: Any, **options: Any) -> Any:
        self.reads.append("valid")
        return self._dataset.read_masks(bands, **options)


@pytest.mark.parametrize("gsd", [None, 1.0])
def test_one_read_for_the_bands_and_one_for_validity(
    path: Path, gsd: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = inspect_scene(path, bidx=(3, 1), gsd=gsd)
    counting = CountingDataset(open_dataset(path))
    monkeypatch.setattr(file_reading, "open_dataset", lambda _: counting)
    read_window(info.recipe, Window(row_off=3, col_off=5, height=20, width=30))
    assert counting.reads == [[3, 1], "valid"]


@pytest.mark.parametrize("gsd", [None, 1.0])
def test_threads_read_what_one_thread_reads(path: Path, gsd: float | None) -> None:
    info = inspect_scene(path, gsd=gsd)
    windows = list(split(info.geobox.shape, size=(7, 11))) * 4
    alone = [read_window(info.recipe, window) for window in windows]
    start = threading.Barrier(4)

    def read_all(_: int) -> list[tuple[Any, Any]]:
        start.wait()
        return [read_window(info.recipe, window) for window in windows]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(read_all, range(4)):
            for (one, one_valid), (other, other_valid) in zip(alone, found, strict=True):
                assert one.tobytes() == other.tobytes()
                assert one_valid.tobytes() == other_valid.tobytes()


class TestHandles:
    def test_one_per_thread(self, path: Path) -> None:
        mine = open_dataset(path)
        assert open_dataset(str(path)) is mine
        with ThreadPoolExecutor(1) as pool:
            its = pool.submit(open_dataset, path).result()
        assert its is not mine

    def test_the_least_recently_used_is_closed(self, path: Path, tmp_path: Path) -> None:
        close_datasets()
        copies = [Path(shutil.copy(path, tmp_path / f"{i}.tif")) for i in range(datasets.HANDLES_PER_THREAD + 1)]
        handles = [open_dataset(copy) for copy in copies[:-1]]
        open_dataset(copies[0])  # used again, so the second is now the oldest
        open_dataset(copies[-1])
        assert [handle.closed for handle in handles] == [False, True] + [False] * (len(handles) - 2)

    def test_all_are_closed_on_request_and_reading_goes_on(self, path: Path) -> None:
        recipe = inspect_scene(path).recipe
        before = read_window(recipe, Window.whole(SHAPE))
        handle = open_dataset(path)
        close_datasets()
        assert handle.closed
        np.testing.assert_array_equal(read_window(recipe, Window.whole(SHAPE))[0], before[0])

    def test_a_file_written_anew_is_opened_anew(self, tmp_path: Path) -> None:
        target = tmp_path / "scene.tif"
        for value in (1, 2):
            with rasterio.open(target, "w", driver="GTiff", count=1, height=2, width=value, dtype="uint8") as out:
                out.write(np.full((1, 2, value), value, np.uint8))
            info = inspect_scene(target)
            assert read_window(info.recipe, Window.whole((2, value)))[0].tolist() == [[[value] * value] * 2]


class TestFailures:
    @pytest.fixture
    def cut_short(self, path: Path, tmp_path: Path) -> SceneInfo:
        """A scene whose header is whole and whose last pixels are missing."""
        target = tmp_path / "cut.tif"
        with rasterio.open(path) as source:
            pixels = source.read([1])
        shape = {"count": 1, "height": SHAPE[0], "width": SHAPE[1], "dtype": "uint8"}
        with rasterio.open(target, "w", driver="GTiff", tiled=True, blockxsize=32, blockysize=16, **shape) as out:
            out.write(pixels)
        whole = target.read_bytes()
        target.write_bytes(whole[: len(whole) - 32 * 16])
        return inspect_scene(target)

    def test_the_window_and_the_file_are_named(self, cut_short: SceneInfo) -> None:
        good = Window(row_off=0, col_off=0, height=16, width=32)
        read_window(cut_short.recipe, good)
        handle = open_dataset(cut_short.recipe.uri)
        with pytest.raises(SceneReadError, match=r"cut\.tif: reading rows 60-70, columns 70-90 failed: \S+") as caught:
            read_window(cut_short.recipe, Window(row_off=60, col_off=70, height=10, width=20))
        assert "\n" not in str(caught.value)
        assert "previous exception" not in str(caught.value)
        assert handle.closed  # the next attempt opens the file anew
        read_window(cut_short.recipe, good)  # what is whole can still be read

    def test_a_scene_that_vanished_is_said_to_be_missing(self, path: Path, tmp_path: Path) -> None:
        copy = Path(shutil.copy(path, tmp_path / "copy.tif"))
        recipe = inspect_scene(copy).recipe
        copy.unlink()
        with pytest.raises(SceneReadError, match="no such file"):
            read_window(recipe, Window.whole(SHAPE))

    def test_gdals_chatter_reaches_no_terminal(self, shared_data: Path, capfd: pytest.CaptureFixture[str]) -> None:
        damaged = shared_data / "awkward" / "broken" / "irs_fuzz_inf_loop_000028.tif"
        info = inspect_scene(damaged)
        with ThreadPoolExecutor(1) as pool, pytest.raises(SceneReadError):
            pool.submit(read_window, info.recipe, Window.whole(info.geobox.shape)).result()
        assert capfd.readouterr() == ("", "")


class TestEnvironment:
    def test_the_block_cache_is_in_megabytes_and_for_all_threads(self, path: Path) -> None:
        with raster_environment(96):
            with ThreadPoolExecutor(1) as pool:
                pool.submit(inspect_scene, path).result()
                assert int(pool.submit(get_gdal_config, "GDAL_CACHEMAX").result()) == 96 * 2**20
            assert int(get_gdal_config("GDAL_CACHEMAX")) == 96 * 2**20
        read_window(inspect_scene(path).recipe, Window.whole(SHAPE))
        assert int(get_gdal_config("GDAL_CACHEMAX")) == 96 * 2**20
        with raster_environment(datasets.DEFAULT_CACHE_MB):
            pass

    def test_it_decorates(self) -> None:
        @raster_environment(32)
        def size() -> int:
            return int(get_gdal_config("GDAL_CACHEMAX"))

        assert size() == 32 * 2**20
        assert size() == 32 * 2**20

    @pytest.mark.parametrize("megabytes", [0, 129])
    def test_sizes_that_are_no_small_cache_are_refused(self, megabytes: int) -> None:
        with pytest.raises(ValueError, match="1 to 128 MB"), raster_environment(megabytes):
            pass

    def test_the_callers_settings_are_left_alone(self, path: Path) -> None:
        with rasterio.Env(GDAL_NUM_THREADS="3"):
            inspect_scene(path)
            assert get_gdal_config("GDAL_NUM_THREADS") == 3


# Serves a folder by byte ranges, as an object store does, and prints what it is asked for. In a process of its own:
# rasterio holds the interpreter while GDAL opens a URL, so a thread of this one would never answer.
SERVER = """
import re, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.path, flush=True)
        file = Path(sys.argv[1]) / self.path.lstrip("/")
        if not file.is_file():
            return self.send_error(404)
        body = file.read_bytes()
        wanted = re.match(r"bytes=(\\d+)-(\\d+)", self.headers.get("Range", ""))
        first, last = (int(wanted[1]), min(int(wanted[2]), len(body) - 1)) if wanted else (0, len(body) - 1)
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[first : last + 1])

    do_HEAD = do_GET

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


class TestUrls:
    @pytest.fixture
    def server(self, path: Path) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-c", SERVER, str(path.parent)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            yield process
            close_datasets()
            process.kill()

    @pytest.fixture
    def address(self, server: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert server.stdout is not None
        return f"http://127.0.0.1:{server.stdout.readline().strip()}"

    def test_a_url_reads_like_the_file(self, server: subprocess.Popen[str], address: str, path: Path) -> None:
        info, local = inspect_scene(f"{address}/scene.tif"), inspect_scene(path)
        assert info.valid_from == local.valid_from == "mask"  # which lies in a file of its own
        assert info.geobox == local.geobox
        for one, other in zip(
            read_window(info.recipe, Window.whole(SHAPE)), read_window(local.recipe, Window.whole(SHAPE)), strict=True
        ):
            np.testing.assert_array_equal(one, other)
        described = Path(shutil.copy(path, path.with_name("described.tif")))
        described.with_name("described.tif.aux.xml").write_text(
            '<PAMDataset><PAMRasterBand band="1"><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>'
        )
        assert inspect_scene(f"{address}/described.tif").nodata == 7
        server.kill()
        asked = server.communicate()[0].split()
        assert "/scene.tif" in asked
        assert "/" not in asked  # the folder is not listed

    def test_a_missing_one_is_refused(self, address: str) -> None:
        with pytest.raises(SceneReadError, match=r"cannot be opened as a raster: .*404"):
            inspect_scene(f"{address}/nowhere.tif")


def test_a_scene_without_georeferencing_raises_no_warning(tmp_path: Path) -> None:
    target = tmp_path / "plain.tif"
    with rasterio.open(target, "w", driver="GTiff", count=1, height=2, width=3, dtype="uint8") as out:
        out.write(np.ones((1, 2, 3), np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_window(inspect_scene(target, gsd=1.0).recipe, Window.whole((2, 3)))


@pytest.mark.parametrize(
    ("uri", "remote"),
    [
        ("https://example.org/a.tif", True),
        ("s3://bucket/a.tif", True),
        ("/vsicurl/https://example.org/a.tif", True),
        ("a.tif", False),
        ("/data/a.tif", False),
        ("file:///data/a.tif", False),
        ("zip://a.zip!a.tif", False),
        ("/vsimem/a.tif", False),
    ],
)
def test_what_is_a_url(uri: str, remote: bool) -> None:
    assert is_url(uri) == remote


def test_a_recipe_may_be_written_by_hand(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    read, _ = read_window(SceneRecipe(uri=str(path), bidx=(2,)), Window.whole(SHAPE))
    np.testing.assert_array_equal(read, pixels[1:2])
