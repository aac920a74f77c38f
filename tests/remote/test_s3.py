"""Scenes in S3: AWS's own settings are enough, and what is secret among them is written nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from geoseg.errors import SceneReadError
from geoseg.geometry.windows import Window
from geoseg.raster.reading import read_window
from geoseg.raster.remote import gdal_name, remote_options
from geoseg.raster.scene import inspect_scene

KEY_ID, SECRET, TOKEN = "AKIAQWERTZ", "sEcReTpArTaBc", "sEsSiOnToKeN"


@pytest.fixture(scope="module")
def bucket(s3: str, folder: Path) -> str:
    """The address of a server whose bucket ``scenes`` has ``folder/small.tif``."""
    for path, body in (("scenes", b""), ("scenes/folder/small.tif", (folder / "small.tif").read_bytes())):
        put = Request(f"{s3}/{path}", data=body, method="PUT", headers={"Content-Type": "image/tiff"})
        with urlopen(put, timeout=120) as answer:
            assert answer.status == 200
    return s3


@pytest.fixture
def credentials(bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return bucket


@pytest.mark.parametrize("uri", ["s3://scenes/folder/small.tif", "/vsis3/scenes/folder/small.tif"])
def test_a_scene_in_a_bucket_reads_like_the_file(credentials: str, folder: Path, uri: str) -> None:
    info, local = inspect_scene(uri), inspect_scene(folder / "small.tif")
    assert info.geobox == local.geobox
    window = Window.whole((512, 512))
    assert (read_window(info.recipe, window)[0] == read_window(local.recipe, window)[0]).all()


def test_what_is_not_there_is_said_in_a_line(credentials: str) -> None:
    for uri in ("s3://scenes/none.tif", "s3://nobucket/none.tif"):
        with pytest.raises(SceneReadError, match="does not exist") as caught:
            inspect_scene(uri)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("profile", ["one", "two"])
def test_a_profile_is_enough(bucket: str, profile: str, tmp_path: Path) -> None:
    """In a process of its own: GDAL reads the files once."""
    (tmp_path / "config").write_text(
        f"[profile one]\nregion = us-east-1\nendpoint_url = {bucket}\n"
        f"[profile two]\nregion = us-east-1\nservices = here\n[services here]\ns3 =\n  endpoint_url = {bucket}\n"
    )
    keys = f"aws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"
    (tmp_path / "credentials").write_text(f"[one]\n{keys}[two]\n{keys}")
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}
    code = (
        "from geoseg.raster.scene import inspect_scene\nassert inspect_scene('s3://scenes/folder/small.tif').count == 3"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **files, "AWS_PROFILE": profile}, check=True)


def test_secrets_are_written_nowhere(credentials: str, tiny_bundle: Path, tmp_path: Path) -> None:
    code = "from geoseg.cli import main; main()"
    command = [sys.executable, "-c", code, "predict", "s3://scenes/folder/small.tif", "-m", str(tiny_bundle)]
    command += ["-o", "map.tif", "-o", "map.zarr", "--preview", "look.png", "--debug", "--json", "--device", "cpu"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert json.loads(done.stdout)["scene"] == "s3://scenes/folder/small.tif"
    failed = subprocess.run([*command[:4], "s3://scenes/none.tif", "--debug"], cwd=tmp_path, capture_output=True)
    assert failed.returncode == 1
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(written) > 5
    everything = {"stdout": done.stdout, "stderr": done.stderr, "failed": failed.stdout + failed.stderr}
    everything |= {str(p): p.read_bytes() for p in written}
    for secret in (KEY_ID, SECRET, TOKEN):
        assert not [where for where, data in everything.items() if secret.encode() in data]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"AWS_ENDPOINT_URL": "http://h:9000"}, ("h:9000", "NO", "FALSE")),
        ({"AWS_ENDPOINT_URL": "http://h", "AWS_ENDPOINT_URL_S3": "https://s"}, ("s", "YES", "FALSE")),
        ({"AWS_ENDPOINT_URL_S3": "https://s3.eu.amazonaws.com/"}, ("s3.eu.amazonaws.com", "YES", None)),
        ({"AWS_ENDPOINT_URL": "http://h", "AWS_S3_ENDPOINT": "own"}, None),
        ({"AWS_ENDPOINT_URL": "http://h", "AWS_VIRTUAL_HOSTING": "TRUE"}, ("h", "NO", None)),
        ({"AWS_ENDPOINT_URL": "http://h", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, None),
    ],
)
def test_endpoints_of_aws_are_gdals(
    given: dict[str, str], expected: tuple[str, ...] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    options = remote_options()
    found = tuple(options.get(name) for name in ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING"))
    assert found == (expected or (None, None, None))


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://bucket/a/b.tif", "/vsis3/bucket/a/b.tif"),
        ("gs://bucket/b.tif", "/vsigs/bucket/b.tif"),
        ("az://container/b.tif", "/vsiaz/container/b.tif"),
        ("https://host/b.tif?x=1", "/vsicurl/https://host/b.tif?x=1"),
        ("/vsis3/bucket/b.tif", "/vsis3/bucket/b.tif"),
        ("zip+https://host/a.zip!b.tif", "/vsizip/vsicurl/https://host/a.zip/b.tif"),
        ("/data/b.tif", "/data/b.tif"),
    ],
)
def test_names(uri: str, name: str) -> None:
    assert gdal_name(uri) == name
