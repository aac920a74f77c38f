"""Stores on an object store: the same bytes as on the disk, killed and resumed, one run at a time."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
import zarr

import geoseg
from geoseg.errors import OutputExistsError
from tests.s3 import BUCKET, S3Server, s3_server
from tests.scenes import random_pixels, write_scene

OPTIONS: dict[str, Any] = {"tile": 112, "threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def s3(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of its own on the server, which the environment points to."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.requests.clear()
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


def objects(folder: str) -> dict[str, bytes]:
    """Every object under a URL."""
    import fsspec

    system, path = fsspec.core.url_to_fs(folder, use_listings_cache=False)
    names = system.find(path) if system.exists(path) else []
    return {name.removeprefix(path): system.cat_file(name) for name in names}


def files(folder: Path) -> dict[str, bytes]:
    return {f"/{p.relative_to(folder).as_posix()}": p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def without_root(found: dict[str, bytes]) -> dict[str, bytes]:
    """What does not say which options the run had."""
    return {name: data for name, data in found.items() if name != "/zarr.json"}


@pytest.mark.parametrize("kind", ["s3", "memory"])
def test_a_store_at_a_url_is_the_one_on_the_disk(
    tmp_path: Path, tiny_bundle: Path, s3: str, server: S3Server, kind: str
) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((600, 700)))
    target = f"{s3}/map.zarr" if kind == "s3" else f"memory://{tmp_path.name}/map.zarr"
    local = tmp_path / "map.zarr"
    geoseg.predict(scene, outputs=local, model=tiny_bundle, reference=None, **OPTIONS)
    cog = tmp_path / "map.tif"
    result = geoseg.predict(scene, outputs=[cog, target], model=tiny_bundle, preview=tmp_path / "look.png", **OPTIONS)
    assert result.outputs == (str(cog), target, str(tmp_path / "look.png"))
    folder = target.rpartition("/")[0]
    assert without_root(objects(target)) == without_root(files(local))
    assert {name.split("/")[1] for name in objects(folder)} == {"map.zarr"}
    with xr.open_zarr(target) as found, xr.open_zarr(local) as wanted:
        assert found.classes.identical(wanted.classes)
        assert found.attrs["geoseg_plan_digest"] == wanted.attrs["geoseg_plan_digest"]
    truth = tmp_path / "truth.tif"
    truth.write_bytes(cog.read_bytes())
    scored = geoseg.evaluate(target, truth)
    assert scored.miou == 1.0
    assert zarr.open_group(target, mode="r").attrs["metrics"]["miou"] == 1.0
    with pytest.raises(OutputExistsError, match="--overwrite"):
        geoseg.predict(scene, outputs=target, model=tiny_bundle, **OPTIONS)
    geoseg.predict(scene, outputs=target, model=tiny_bundle, overwrite=True, **OPTIONS)
    assert without_root(objects(target)) == without_root(files(local))
