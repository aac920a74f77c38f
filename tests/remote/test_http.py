"""Scenes over HTTP: the same classes as from the file, few bytes and requests, and servers that fail."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch

import geoseg
from geoseg.errors import GeosegError, SceneReadError
from geoseg.geometry.windows import Window
from geoseg.raster.reading import read_window
from geoseg.raster.scene import inspect_scene
from geoseg.raster.zarr_store import open_store
from tests.remote.servers import WebServer, faulty, free_port
from tests.scenes import random_pixels, write_scene

OPTIONS: dict[str, Any] = {"patch_size": 192, "tile": 384, "batch_size": 4, "threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """A quick network that sees a little way."""
    torch.manual_seed(1)
    return torch.nn.Conv2d(3, 5, 3, padding=1)


def classes_of(path: Path) -> np.ndarray[Any, Any]:
    store = open_store(path)
    return store.read_classes(Window.whole(store.shape))


def full_resolution_bytes(path: Path) -> int:
    """Bytes of a TIFF's blocks, without its overviews."""
    with rasterio.open(path) as scene:
        rows, cols = -(-scene.height // 128), -(-scene.width // 128)
        sizes = (scene.get_tag_item(f"BLOCK_SIZE_{c}_{r}", "TIFF", bidx=1) for r in range(rows) for c in range(cols))
        return sum(int(size) for size in sizes)


def test_every_block_is_fetched_about_once(web: WebServer, network: torch.nn.Module, tmp_path: Path) -> None:
    local, remote = tmp_path / "local.zarr", tmp_path / "remote.zarr"
    geoseg.predict(web.folder / "large.tif", outputs=local, model=network, **OPTIONS)
    web.forget()
    result = geoseg.predict(f"{web.address}/large.tif", outputs=remote, model=network, **OPTIONS)
    requests = web.requests()
    assert result.plan.tile_count > 20
    np.testing.assert_array_equal(classes_of(remote), classes_of(local))
    fetched = sum(r.bytes_sent for r in requests)
    assert fetched <= 1.15 * full_resolution_bytes(web.folder / "large.tif")
    assert not [r for r in requests if r.path.endswith("/")]  # the folder is not listed
    assert {r.status for r in requests if r.path == "/large.tif"} == {200, 206}
    assert not [r for r in requests if r.method == "GET" and r.status == 200]  # never whole


def test_a_tile_of_a_large_scene_takes_a_small_share(web: WebServer, network: torch.nn.Module) -> None:
    plan = geoseg.plan(f"{web.address}/large.tif", model=network, **OPTIONS)
    planning = web.requests()
    assert sum(r.bytes_sent for r in planning) < 70_000
    assert len(planning) <= 20  # GDAL alone asks for forty files that might lie beside it
    size = (web.folder / "large.tif").stat().st_size
    web.forget()
    read_window(plan.recipe, plan.passes.read(plan.grid.tile(2, 2).core))
    assert 0 < sum(r.bytes_sent for r in web.requests()) < 0.1 * size


def test_masks_and_statistics_beside_a_scene_are_found(web: WebServer, tmp_path: Path) -> None:
    pixels = random_pixels((300, 200))
    valid = np.ones((300, 200), np.bool_)
    valid[50:90, 20:60] = False
    file = write_scene(web.folder / "masked.tif", pixels)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(file, "r+") as target:
        target.write_mask(valid)
    shutil.copy(file, web.folder / "described.tif")
    (web.folder / "described.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>'
    )
    assert (web.folder / "masked.tif.msk").exists()
    info = inspect_scene(f"{web.address}/masked.tif")
    assert info.valid_from == "mask"
    read, known = read_window(info.recipe, Window.whole((300, 200)))
    np.testing.assert_array_equal(read, pixels)
    np.testing.assert_array_equal(known, valid)
    assert inspect_scene(f"{web.address}/described.tif").nodata == 7


def test_a_scene_whose_name_says_nothing_is_read(web: WebServer) -> None:
    shutil.copy(web.folder / "small.tif", web.folder / "noname")
    local = inspect_scene(web.folder / "small.tif")
    for name in ("noname", "small.tif?version=3", "noname?file=small.tif"):
        info = inspect_scene(f"{web.address}/{name}")
        assert info.geobox == local.geobox
        read, _ = read_window(info.recipe, Window.whole((100, 100)))
        np.testing.assert_array_equal(read, read_window(local.recipe, Window.whole((100, 100)))[0])


def test_a_server_without_ranges_is_refused_in_a_line(faulty_address: str) -> None:
    with pytest.raises(SceneReadError, match="Range downloading not supported"):
        inspect_scene(f"{faulty_address}/whole/small.tif")


def test_a_password_comes_from_the_environment(
    faulty_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uri = f"{faulty_address}/auth/small.tif"
    with pytest.raises(SceneReadError, match="401"):
        inspect_scene(uri)
    (tmp_path / "netrc").write_text("machine 127.0.0.1\nlogin anna\npassword w0nder\n")
    for number, (name, value) in enumerate(
        (
            ("GDAL_HTTP_USERPWD", "anna:w0nder"),
            ("GDAL_HTTP_HEADERS", "Authorization: Basic YW5uYTp3MG5kZXI="),
            ("GDAL_HTTP_NETRC_FILE", str(tmp_path / "netrc")),
        )
    ):
        with monkeypatch.context() as given:
            given.setenv(name, value)
            assert inspect_scene(f"{uri}?try={number}").geobox.shape == (512, 512)


def test_what_is_not_given_is_said_in_a_line(faulty_address: str) -> None:
    for path, said in (("fine/none.tif", "404"), ("forbidden/small.tif", "403"), ("signed/small.tif", "403")):
        with pytest.raises(SceneReadError, match=said) as caught:
            inspect_scene(f"{faulty_address}/{path}")
        assert "\n" not in str(caught.value)
        assert "abcdef0123" not in str(caught.value)


def test_a_server_that_stumbles_is_asked_again(faulty_address: str, folder: Path) -> None:
    info = inspect_scene(f"{faulty_address}/stumbles/small.tif")
    read, _ = read_window(info.recipe, Window.whole((512, 512)))
    np.testing.assert_array_equal(
        read, read_window(inspect_scene(folder / "small.tif").recipe, Window.whole((512, 512)))[0]
    )


def test_a_server_that_stops_answering_is_given_up(faulty_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-outs are the user's if the environment names any."""
    monkeypatch.setenv("GDAL_HTTP_LOW_SPEED_TIME", "1")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    info = inspect_scene(f"{faulty_address}/slow/small.tif")
    with pytest.raises(SceneReadError, match="reading rows"):
        read_window(info.recipe, Window(row_off=300, col_off=300, height=200, width=200))


def test_a_run_whose_server_died_goes_on_later(folder: Path, network: torch.nn.Module, tmp_path: Path) -> None:
    local, remote = tmp_path / "local.zarr", tmp_path / "remote.zarr"
    geoseg.predict(folder / "large.tif", outputs=local, model=network, **OPTIONS)
    port = free_port()
    uri = f"http://127.0.0.1:{port}/dies/large.tif"
    with faulty(folder, last_range=20, port=port), pytest.raises(GeosegError, match="reading rows") as caught:
        geoseg.predict(uri, outputs=remote, model=network, retries=0, **OPTIONS)
    assert "\n" not in str(caught.value)
    assert not remote.exists()
    done = set(open_store(tmp_path / ".remote.zarr.part.zarr").done_keys())
    assert 0 < len(done) < 36
    with faulty(folder, port=port):
        result = geoseg.predict(uri, outputs=remote, model=network, **OPTIONS)
    assert result.predicted_pixels < 2048 * 2048  # what was finished is not done again
    np.testing.assert_array_equal(classes_of(remote), classes_of(local))
