"""Scenes that lie on servers, and the servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rasterio.shutil import copy

from geoseg.raster.datasets import close_datasets
from tests.remote.servers import WebServer, faulty, nginx, s3_server
from tests.scenes import random_pixels, write_scene


@pytest.fixture(autouse=True)
def no_user_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of this machine's own configuration has a say."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.1")
    yield
    close_datasets()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``large.tif``, a COG of 2048 x 2048 pixels in blocks of 128, and ``small.tif``, of 512 x 512."""
    found = tmp_path_factory.mktemp("served")
    for name, side in (("large", 2048), ("small", 512)):
        plain = write_scene(found / "plain.tif", random_pixels((side, side), seed=side))
        copy(str(plain), str(found / f"{name}.tif"), driver="COG", blocksize=128, compress="DEFLATE")
        plain.unlink()
    return found


@pytest.fixture
def web(folder: Path, tmp_path: Path) -> Iterator[WebServer]:
    work = tmp_path / "nginx"
    work.mkdir()
    with nginx(folder, work) as server:
        yield server


@pytest.fixture
def faulty_address(folder: Path) -> Iterator[str]:
    with faulty(folder) as address:
        yield address


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("moto")) as address:
        yield address
