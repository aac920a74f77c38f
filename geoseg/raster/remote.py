"""How scenes on a network are read: GDAL's names and settings for them, and the threads that read them.

Credentials are not among the settings. GDAL looks for them itself, in the environment, ``~/.aws`` and ``~/.netrc``;
rasterio's sessions, which would copy them into its options, are kept out by giving it GDAL's own names.
"""

from __future__ import annotations

import configparser
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from rasterio._path import _parse_path, _vsi_path

from geoseg.raster.urls import is_url

REMOTE_CACHE_MB = 128
"""GDAL's block cache where a scene is read over a network: it spares fetching again what neighbouring tiles share."""

FETCHING_BYTES = 64 * 2**20
"""What fetching holds besides: curl's regions (16 MB) and the ranges of one window on their way."""

READERS = 4
"""Threads that fetch, in a process. A scene has one of them to itself, see :func:`on_reader`."""

# The time-outs matter to every thread: rasterio holds the interpreter's lock while GDAL opens.
_HTTP_OPTIONS = {
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
}

# Beside a TIFF, GDAL asks a server for some forty files that satellites' vendors might have put there. These are what
# geoseg reads: a mask, georeferencing and statistics, overviews, RPCs.
_SIDECARS = (".msk", ".aux.xml", ".ovr", ".rpb", "_rpc.txt")

_SIMPLE_VSI = ("/vsicurl/", "/vsis3/", "/vsigs/", "/vsiaz/", "/vsioss/")

_Result = TypeVar("_Result")


def gdal_name(uri: str) -> str:
    """What GDAL calls a path or URL: ``/vsis3/bucket/key`` for ``s3://bucket/key``; most names are left as they are."""
    if not is_url(uri) or uri.startswith("/vsi"):
        return uri
    return str(_vsi_path(_parse_path(uri)))


def remote_options() -> dict[str, str]:
    """GDAL's settings for a network: time-outs, retries, and the endpoint of S3 if the environment names another.

    What the user has set in the environment goes before.
    """
    return {name: value for name, value in {**_HTTP_OPTIONS, **_s3_options()}.items() if name not in os.environ}


def sidecar_options(name: str) -> dict[str, str]:
    """Settings under which a remote TIFF of that GDAL name is opened: few requests for files that may lie beside it."""
    suffix = Path(name).suffix.lower()
    if suffix not in (".tif", ".tiff") or not name.startswith(_SIMPLE_VSI) or "?" in name:
        return {}
    option = "CPL_VSIL_CURL_ALLOWED_EXTENSIONS"
    return {} if option in os.environ else {option: ",".join((suffix, *_SIDECARS))}


def on_reader(uri: str, read: Callable[[], _Result]) -> _Result:
    """What ``read`` gives, on the one thread of this process that reads ``uri``.

    GDAL keeps decoded blocks per open dataset, and datasets belong to threads: tiles read on several threads would
    each fetch the blocks on their common border. Ranges of one window are fetched at once all the same.
    """
    return _reader(os.getpid(), zlib.crc32(uri.encode()) % READERS).submit(read).result()


@cache
def _reader(pid: int, index: int) -> ThreadPoolExecutor:  # noqa: ARG001 - part of the key
    """One thread; a forked process, which has none of its parent's, gets its own."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"geoseg-fetch-{index}")


def _s3_options() -> dict[str, str]:
    """What AWS's own tools go by and GDAL does not know: the endpoint, and another file of credentials."""
    options = {}
    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE")
    if file:
        options["CPL_AWS_CREDENTIALS_FILE"] = file
    if "AWS_S3_ENDPOINT" in os.environ or os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return options
    url = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or _configured_endpoint()
    if not url:
        return options
    parts = urlsplit(url if "://" in url else f"https://{url}")
    options["AWS_S3_ENDPOINT"] = f"{parts.netloc}{parts.path.rstrip('/')}"
    options["AWS_HTTPS"] = "NO" if parts.scheme == "http" else "YES"
    if not (parts.hostname or "").endswith(".amazonaws.com"):
        options["AWS_VIRTUAL_HOSTING"] = "FALSE"  # other servers rarely have a name for every bucket
    return options


def _configured_endpoint() -> str | None:
    file = Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
    try:
        changed = file.stat().st_mtime_ns
    except OSError:
        return None
    profile = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"
    return _endpoint_in(file, changed, profile)


@cache
def _endpoint_in(file: Path, changed: int, profile: str) -> str | None:  # noqa: ARG001 - part of the key
    """``endpoint_url`` of a profile, or of ``s3`` in the services it names, in a file as it was when last changed."""
    config = configparser.RawConfigParser(strict=False)
    try:
        config.read(file, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return None  # GDAL reads it for itself, and says what it misses
    section = profile if profile == "default" and config.has_section("default") else f"profile {profile}"
    services = f"services {config.get(section, 'services', fallback='')}"
    nested = [line.partition("=") for line in config.get(services, "s3", fallback="").splitlines()]
    own = {name.strip(): value.strip() for name, _, value in nested}
    return own.get("endpoint_url") or config.get(section, "endpoint_url", fallback=None)
