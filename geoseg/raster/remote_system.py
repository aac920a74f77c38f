"""File systems that fsspec knows: opened by URL, listed piece by piece, objects deleted many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import fsspec

from geoseg.errors import MissingExtraError, OutputError

_BATCH = 500
"""Objects copied or deleted by one call: what is listed at once, not what is sent at once."""

_PACKAGES = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3")}
"""Packages of file systems that an extra of geoseg brings, and its name."""


def file_system(url: str, *, own_loop: bool = True) -> tuple[Any, str]:
    """The file system of a URL and the path in it; listings are never kept, as others write there too.

    Args:
        url: where.
        own_loop: True for calls from plain code; False for zarr, which brings its own event loop.

    Raises:
        MissingExtraError: if the file system's package is not installed.
        OutputError: if nobody knows the scheme.
    """
    scheme = url.partition("://")[0]
    try:
        known = getattr(fsspec.get_filesystem_class(scheme), "async_impl", False)
        options = {} if own_loop or not known else {"asynchronous": True}
        system, path = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        way = f"pip install 'geoseg[{package[1]}]'" if package else " ".join(str(error).split())
        raise MissingExtraError(f"{scheme}:// needs the package {package[0] if package else '?'}: {way}") from error
    except ValueError as error:
        raise OutputError(f"{url}: {error}; stores go to a folder, s3:// or another file system of fsspec's") from error
    if not own_loop and not known:
        from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

        system = AsyncFileSystemWrapper(system, asynchronous=True)
    return system, path


def files_below(system: Any, folder: str, *, skip: str | None = None) -> Iterator[tuple[str, int | None]]:
    """Name and bytes of all files below a folder, one listing in memory at a time."""
    try:
        entries = system.ls(folder, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        name = entry["name"].rstrip("/")
        if name in (folder, skip):  # a file instead of a folder, or an object that stands for one
            continue
        if entry["type"] == "directory":
            yield from files_below(system, name, skip=skip)
        else:
            yield name, entry.get("size")


def remove_files(system: Any, files: list[str]) -> None:
    """Delete files in one call; those that are not there are passed over."""
    try:
        system.rm(files)
    except FileNotFoundError:
        for file in files:
            with suppress(FileNotFoundError):
                system.rm_file(file)


def batches(names: Iterable[str]) -> Iterator[list[str]]:
    """The names in lists that one call takes."""
    rest = iter(names)
    while some := list(islice(rest, _BATCH)):
        yield some
