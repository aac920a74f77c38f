"""Stores on an object store: the same bytes as on the disk, killed and resumed, one run at a time."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

import geoseg
from geoseg.errors import MissingExtraError, OutputError, OutputExistsError, OutputLockedError
from geoseg.raster.locks import hold
from geoseg.raster.places import location_of
from geoseg.raster.zarr_store import open_store
from tests.killing import start
from tests.s3 import BUCKET, S3Server, s3_server
from tests.scenes import random_pixels, write_scene

OPTIONS: dict[str, Any] = {"tile": 96, "threads": 1, "device": "cpu"}


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
    scene = write_scene(tmp_path / "scene.tif", random_pixels((200, 300)))
    target = f"{s3}/map.zarr" if kind == "s3" else f"memory://{tmp_path.name}/map.zarr"
    local = tmp_path / "map.zarr"
    geoseg.predict(scene, outputs=local, model=tiny_bundle, **OPTIONS)
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
    if kind == "memory":  # the same code, and S3's part in it is slow
        geoseg.predict(scene, outputs=target, model=tiny_bundle, overwrite=True, **OPTIONS)
        assert without_root(objects(target)) == without_root(files(local))


@pytest.mark.slow
@pytest.mark.timeout(900)  # some twenty runs
def test_killed_at_any_request_the_same_command_goes_on(
    tmp_path: Path, tiny_bundle: Path, s3: str, server: S3Server
) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((290, 290)))
    errors = tmp_path / "stderr"

    def begin(name: str) -> BaseProcess:
        command = ["predict", str(scene), "-m", str(tiny_bundle), "--tile", "96", "--threads", "1", "-q"]
        return start([*command, "-o", f"{s3}/{name}.zarr"], stderr=errors, environment=server.environment)

    process = begin("once")
    process.join()
    assert process.exitcode == 0, errors.read_text()
    first = len(server.requests)
    random = np.random.default_rng(3)
    kills = 0
    for _ in range(40):
        begun = len(server.requests)
        last = begun + int(random.integers(20, first * 3 // 4))
        process = begin("often")
        victim = process

        def kill(count: int, last: int = last, victim: BaseProcess = victim) -> None:
            if count >= last and victim.is_alive():
                victim.kill()

        server.on_request = kill
        process.join()
        server.on_request = None
        assert process.exitcode in (0, -signal.SIGKILL), errors.read_text()
        if process.exitcode == 0:
            break
        kills += 1
        if _root(server, "often") is not None:  # whole as soon as it can be opened
            assert without_root(objects(f"{s3}/often.zarr")) == without_root(objects(f"{s3}/once.zarr"))
    assert process.exitcode == 0
    assert kills >= 3
    assert without_root(objects(f"{s3}/often.zarr")) == without_root(objects(f"{s3}/once.zarr"))
    assert {name.split("/")[1] for name in objects(s3)} == {"once.zarr", "often.zarr"}
    written = [path for kind, path in server.requests if kind == "PUT" and ".often.zarr.part" in path]
    for marker in {path for path in written if "/.geoseg-done/" in path}:
        row, col = marker.rpartition("/")[2].split(".")
        shard = f"{marker.partition('/.geoseg-done/')[0]}/c/{row}/{col}"
        assert shard not in written[written.index(marker) :], "a finished tile was written again"
    assert "Traceback" not in errors.read_text()
    assert "secret" not in errors.read_text()


def _root(server: S3Server, name: str) -> str | None:
    """The request that gave a store its name."""
    return next((p for kind, p in server.requests if kind == "COPY" and p.endswith(f"/{name}.zarr/zarr.json")), None)


def test_two_runs_on_one_store_the_second_is_refused(tmp_path: Path, tiny_bundle: Path, s3: str) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((100, 100)))
    target = f"{s3}/map.zarr"
    with hold([location_of(target)]):
        with pytest.raises(OutputLockedError, match=rf"{target} is being written by process {os.getpid()} on"):
            geoseg.predict(scene, outputs=target, model=tiny_bundle, **OPTIONS)
        assert list(objects(s3)) == ["/.map.zarr.lock/holder"]


@pytest.mark.parametrize(
    ("target", "change", "said"),
    [
        ("s3://no-such-bucket/map.zarr", {}, "bucket does not exist"),
        ("s3://maps/map.zarr", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "credentials"),
        ("s3://maps/map.tif", {}, "only a .zarr can"),
        ("s3://maps/folder/", {}, "only a .zarr can"),
        ("s3://name:password@maps/map.zarr", {}, "AWS_ACCESS_KEY_ID"),
        ("s3://maps/a*b/map.zarr", {}, "name another"),
        ("nonsense://maps/map.zarr", {}, "nonsense"),
    ],
)
def test_urls_that_cannot_be_are_one_line_before_any_work(
    tmp_path: Path, tiny_bundle: Path, s3: str, monkeypatch: pytest.MonkeyPatch, target: str, change: Any, said: str
) -> None:
    import s3fs

    scene = write_scene(tmp_path / "scene.tif", random_pixels((100, 100)))
    for name, value in change.items():
        monkeypatch.delenv(name) if not value else monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(OutputError, match=said) as caught:
        geoseg.predict(scene, outputs=target, model=tiny_bundle, **OPTIONS)
    s3fs.S3FileSystem.clear_instance_cache()
    assert "\n" not in str(caught.value)
    assert "password@" not in str(caught.value)


def test_without_the_package_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    def missing(protocol: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'geoseg\[s3\]'"):
        open_store("s3://maps/map.zarr")
