"""Open rasters, one small cache of handles per thread, and the GDAL settings geoseg reads under.

GDAL handles may not be shared between threads, and opening a scene for every window is slow (a URL most of all), so
each thread keeps the few it used last. Every failure to open is a :class:`SceneReadError` of one line.
"""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.env import set_gdal_config
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.session import DummySession

from geoseg.errors import SceneReadError
from geoseg.raster.remote import gdal_name, remote_options, sidecar_options
from geoseg.raster.urls import is_url, refuse_credentials, without_credentials

DEFAULT_CACHE_MB = 64
"""GDAL's block cache until somebody asks for another size; its own default is 5 % of RAM."""

MAX_CACHE_MB = 128
"""Largest block cache geoseg asks for, MB."""

HANDLES_PER_THREAD = 8
"""Datasets a thread keeps open; the least recently used is closed."""

READ_FAILURES = (RasterioError, CPLE_BaseError, OSError, MemoryError)
"""What rasterio raises when a file is at fault. Some getters raise GDAL's own errors, which are no RasterioError."""

# A scene's folder is not listed (a listing of a bucket can take minutes); its `.msk` and `.aux.xml` are asked for by
# name, some of them long after the scene was opened. EMPTY_DIR would save those requests and lose what `.aux.xml`
# says.
_READDIR = {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE"}

_Stamp = tuple[int, int] | None


class _Handles(threading.local):
    """What one thread holds: open datasets by URI, and how deep it is inside :func:`raster_environment`."""

    def __init__(self) -> None:
        self.open: OrderedDict[str, tuple[_Stamp, DatasetReader]] = OrderedDict()
        self.depth = 0


class _Cache:
    """The block cache geoseg last asked GDAL for; GDAL has one per process."""

    megabytes: int | None = None


_handles = _Handles()

# `catch_warnings` swaps filters that all threads share; two at once could leave the wrong ones behind.
_warning_filters = threading.Lock()


@contextmanager
def raster_environment(cache_mb: int | None = None) -> Iterator[None]:
    """GDAL settings for this thread: quiet (GDAL's errors go to Python's loggers) and with a small block cache.

    Usable as a context and as a decorator; nests at no cost. rasterio's settings belong to a thread, so worker
    threads enter it themselves; every function of this room that reads does so anyway. The block cache is the
    exception: GDAL has one per process, and it keeps the size asked for last.

    Args:
        cache_mb: size of GDAL's block cache, 1-128 MB; None leaves what was asked for before (64 MB at first).

    Raises:
        ValueError: if ``cache_mb`` is out of range.
    """
    if cache_mb is not None and not 1 <= cache_mb <= MAX_CACHE_MB:
        raise ValueError(f"GDAL's block cache must be 1 to {MAX_CACHE_MB} MB, not {cache_mb}")
    if cache_mb is not None or _Cache.megabytes is None:
        _Cache.megabytes = cache_mb or DEFAULT_CACHE_MB
        # Not an option of the Env: it would put GDAL's default back when the first of several threads leaves.
        # In bytes: rasterio hands the number to GDALSetCacheMax64 as it is.
        set_gdal_config("GDAL_CACHEMAX", _Cache.megabytes * 2**20)
    if _handles.depth:
        yield
        return
    with rasterio.Env.from_defaults(session=DummySession(), **_READDIR, **remote_options()):
        _handles.depth += 1
        try:
            yield
        finally:
            _handles.depth -= 1


def open_dataset(uri: str | os.PathLike[str]) -> DatasetReader:
    """The open dataset of ``uri`` for the calling thread only: do not close it, do not hand it to another thread.

    A local file that has changed since is opened anew.

    Raises:
        SceneReadError: if it cannot be opened.
        SceneError: if its name holds credentials.
    """
    uri = os.fspath(uri)
    stamp = _stamp(uri)
    kept = _handles.open.get(uri)
    if kept is not None and kept[0] == stamp and not kept[1].closed:
        _handles.open.move_to_end(uri)
        return kept[1]
    forget_dataset(uri)
    dataset = _open(uri)
    _handles.open[uri] = (stamp, dataset)
    while len(_handles.open) > HANDLES_PER_THREAD:
        _, (_, oldest) = _handles.open.popitem(last=False)
        oldest.close()
    return dataset


def forget_dataset(uri: str | os.PathLike[str]) -> None:
    """Close the calling thread's handle of ``uri``, if it has one (after a failed read, say)."""
    kept = _handles.open.pop(os.fspath(uri), None)
    if kept is not None:
        kept[1].close()


def close_datasets() -> None:
    """Close every handle of the calling thread."""
    while _handles.open:
        _, (_, dataset) = _handles.open.popitem()
        dataset.close()


def reason(error: BaseException) -> str:
    """GDAL's own words for a failure, on one line; rasterio often hides them behind "see previous exception".

    Secrets in the URLs they name are left out: a server may have sent GDAL on to a signed one.
    """
    while error.__cause__ is not None and isinstance(error.__cause__, READ_FAILURES):
        error = error.__cause__
    return without_credentials(" ".join(str(error).split())) or type(error).__name__


def _open(uri: str) -> DatasetReader:
    refuse_credentials(uri, what="the raster")
    with raster_environment(), _warning_filters, warnings.catch_warnings():
        # A scene without georeferencing is fine; the inspection notes it.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            return _open_remote(gdal_name(uri)) if is_url(uri) else rasterio.open(uri)
        except READ_FAILURES as error:
            if _is_plain_path(uri) and not Path(uri).exists():
                raise SceneReadError(f"{uri}: no such file") from error
            raise SceneReadError(f"{uri}: cannot be opened as a raster: {reason(error)}") from error


def _open_remote(name: str) -> DatasetReader:
    with rasterio.Env(session=DummySession(), **sidecar_options(name)):
        dataset = rasterio.open(name)
        dataset.rpcs  # noqa: B018 - GDAL looks once for the files that might hold them: here, where it looks for few
        return dataset


def _is_plain_path(uri: str) -> bool:
    """True unless GDAL sees more in it than a path: a URL, ``/vsizip/…``, ``NETCDF:…``, a VRT's XML."""
    return not uri.startswith(("/vsi", "<")) and re.match(r"\w{2,}:", uri) is None


def _stamp(uri: str) -> _Stamp:
    """What changes when a local file is rewritten; None for anything else."""
    try:
        status = os.stat(uri)  # noqa: PTH116 (runs for every window: half the cost of Path.stat)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size
