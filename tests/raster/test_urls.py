"""Names of what lies on a network: secrets in them are refused, and never repeated."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

import geoseg
from geoseg.errors import BundleError, OutputError, SceneError, SceneReadError
from geoseg.raster.datasets import open_dataset, reason
from geoseg.raster.urls import refuse_credentials, without_credentials

SECRET = "s3cr3tPart"

WITH_SECRETS = [
    f"https://anna:{SECRET}@example.org/a.tif",
    f"https://{SECRET}@example.org/a.tif",
    f"https://anna:x/{SECRET}@example.org/a.tif",
    f"https://anna:x#{SECRET}@example.org/a.tif",
    f"/vsicurl/https://anna:{SECRET}@example.org/a.tif",
    f"/vsizip//vsicurl/https://anna:{SECRET}@example.org/a.zip/a.tif",
    f"zip+https://anna:{SECRET}@example.org/a.zip!a.tif",
    f"/vsicurl?url=https%3A%2F%2Fanna%3A{SECRET}%40example.org%2Fa.tif",
    f"/vsicurl?header.Authorization=Bearer%20{SECRET}&url=https%3A%2F%2Fexample.org%2Fa.tif",
    f"https://b.s3.amazonaws.com/a.tif?X-Amz-Credential={SECRET}&X-Amz-Date=1",
    f"https://b.s3.amazonaws.com/a.tif?X-Amz-Date=1&X-Amz-Signature={SECRET}",
    f"https://b.s3.amazonaws.com/a.tif?X-Amz-Security-Token={SECRET}",
    f"https://b.s3.amazonaws.com/a.tif?AWSAccessKeyId=1&Signature={SECRET}",
    f"/vsicurl?url={quote(f'https://b.s3.amazonaws.com/a.tif?X-Amz-Signature={SECRET}', safe='')}",
    f"https://x.blob.core.windows.net/c/a.tif?sv=2024&sig={SECRET}",
    f"https://storage.googleapis.com/b/a.tif?X-Goog-Signature={SECRET}",
    f"https://example.org/a.tif?token={SECRET}",
    f"https://example.org/a.tif?x=1&ACCESS_TOKEN={SECRET}",
    f"https://example.org/a.tif?api-key={SECRET}",
    f"https://example.org/a.tif?key={SECRET}",
    f"s3://anna:{SECRET}@bucket/a.tif",
    f"abfs://c:{SECRET}@account.dfs.core.windows.net/a.tif",
    f"simplecache::s3://anna:{SECRET}@bucket/a.zarr",
    f"PG:host=example.org user=anna password='{SECRET}' table=t",
    f"<GDAL_WMS><Service><ServerUrl>https://example.org</ServerUrl></Service><UserPwd>{SECRET}</UserPwd></GDAL_WMS>",
]

WITHOUT = [
    "https://example.org/a.tif",
    "https://example.org:8443/b@2x/a.tif",
    "http://[::1]:8080/a.tif",
    "https://example.org/a.tif?version=3&tile=4",
    "https://example.org/wms?service=WMS&layers=keys&format=image/tiff",
    "https://example.org/token=4/key=3/a.tif",
    "/vsis3/bucket/a.tif",
    "s3://bucket/folder/a.zarr",
    "abfs://container@account.dfs.core.windows.net/a.tif",
    "sftp://anna@example.org/a.zarr",
    "/data/key=3/token=4/a.tif",
    "/data/anna@example.org/a.tif",
    "C:/data/a.tif",
    "file://C:/data/a.tif",
    "NETCDF:a.nc:classes",
    "<VRTDataset rasterXSize='1' rasterYSize='1'/>",
]


@pytest.mark.parametrize("uri", WITH_SECRETS)
def test_a_name_with_a_secret_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(SceneError) as caught:
        refuse_credentials(uri)
    message = str(caught.value)
    assert SECRET not in message
    assert "\n" not in message
    assert any(way in message for way in ("AWS_", "GDAL_HTTP_USERPWD", "AZURE_STORAGE_SAS_TOKEN", "GOOGLE_"))


@pytest.mark.parametrize("uri", WITHOUT)
def test_other_names_pass(uri: str) -> None:
    refuse_credentials(uri)
    assert without_credentials(uri) == uri


@given(
    user=st.text("abcXYZ019._~-", min_size=1),
    password=st.text("abcXYZ019._~-/:!$&'()*+,;=%#?", min_size=8),
)
def test_no_password_passes(user: str, password: str) -> None:
    if password.split("/")[0].split("?")[0].split("#")[0].isdigit():
        return  # `https://user:80/x@y` is a host and a port
    with pytest.raises(SceneError) as caught:
        refuse_credentials(f"https://{user}:{password}@example.org/a.tif")
    assert password not in str(caught.value)


@pytest.mark.parametrize("uri", WITH_SECRETS)
def test_every_way_in_refuses(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for call, error in (
        (lambda: open_dataset(uri), SceneError),
        (lambda: geoseg.predict(uri), SceneError),
        (lambda: geoseg.plan(uri), SceneError),
        (lambda: geoseg.predict("a.tif", reference=uri), SceneError),
        (lambda: geoseg.predict("a.tif", outputs=[f"{uri}.zarr"]), OutputError),
        (lambda: geoseg.predict("a.tif", model=uri), BundleError),
        (lambda: geoseg.evaluate(uri, "a.tif"), SceneError),
        (lambda: geoseg.evaluate("a.tif", uri), SceneError),
    ):
        with pytest.raises(error, match="credentials in its name") as caught:
            call()
        assert SECRET not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_gdal_says_is_cleaned() -> None:
    """A server may have sent GDAL on to a signed URL, which GDAL then names."""
    error = SceneReadError(f"HTTP 403 for https://a:{SECRET}@b/c.tif?x=1&X-Amz-Signature={SECRET}&y=2 and more")
    assert reason(error) == "HTTP 403 for https://***@b/c.tif?x=1&X-Amz-Signature=***&y=2 and more"
