"""The location that a path or URL means, and what lies there."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

from geoseg.errors import OutputError
from geoseg.raster.local_folder import LocalFolder
from geoseg.raster.locations import CLAIM, OWN, Location


def location_of(place: str | os.PathLike[str] | Location) -> Location:
    """The location of a path or URL.

    Raises:
        OutputError: for a URL that no store can be at: credentials, wildcards or a chain in it.
        MissingExtraError: if its file system is not installed.
    """
    if not isinstance(place, str | os.PathLike):
        return place
    text = os.fspath(place)
    if text.startswith("file://"):
        return LocalFolder(Path(unquote(text.removeprefix("file://"))))
    if not is_store_url(text):
        return LocalFolder(Path(text))
    from geoseg.raster.remote_folder import RemoteFolder  # not at the top: fsspec is for those who use it

    return RemoteFolder(text.rstrip("/"))


def part_of(target: Location) -> Location:
    """Where the unfinished store of an output lies, hidden beside it."""
    return target.sibling(f".{target.name}.part.zarr")


def is_store_url(place: str | os.PathLike[str]) -> bool:
    """True if ``place`` is a URL of a file system that is not this machine's."""
    text = os.fspath(place)
    return "://" in text and not text.startswith("file://")


def was_created(place: str | os.PathLike[str] | Location) -> bool:
    """True if ``create_store`` got to its end at ``place``, whatever happened to it since; False for anything else."""
    where = location_of(place)
    return any(OWN.encode() in (where.read(name) or b"") for name in ("zarr.json", ".zattrs"))


def absent(place: Location) -> str:
    """What to say where no store is."""
    part = part_of(place)
    unfinished = (
        f", but an unfinished one ({part.name}): give the command that writes it again" if part.exists() else ""
    )
    return f"{place}: no such store{unfinished}"


def is_claimed(place: Location) -> bool:
    """True if what lies at ``place`` was put there by ``create_store``, whole or not."""
    return place.read(CLAIM) is not None or was_created(place)


def refuse_strangers(place: Location) -> None:
    """Stops before anything that geoseg did not write is deleted.

    Raises:
        OutputError: if something else is at ``place``.
    """
    if not is_claimed(place) and not place.is_empty():
        raise OutputError(f"{place} is there and no class store that geoseg wrote; move it away or name another output")
