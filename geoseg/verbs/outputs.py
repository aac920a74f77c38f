"""Where a run's results go: the default names, folders, and what lies beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.errors import OutputError
from geoseg.raster.local_folder import LocalFolder
from geoseg.raster.locations import Location
from geoseg.raster.places import is_store_url, location_of, part_of
from geoseg.raster.styles import style_paths
from geoseg.raster.urls import is_url, refuse_credentials
from geoseg.verbs.digests import MAP_ENDING

_COG_SUFFIXES = (".tif", ".tiff")

VECTOR_SUFFIXES = (".gpkg", ".parquet", ".fgb", ".geojson")
"""Of files of polygons."""

_ENDINGS = {"preview": (".png",), "stac": (".json",), "report": (".html", ".htm")}
_NAMES = {"preview": "the quick look", "stac": "the STAC item", "report": "the report"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """The files one run writes; at least one of ``cog``, ``zarr`` and ``vectors`` is there."""

    cog: Path | None
    zarr: Path | str | None
    """A folder, or the URL of a store."""
    preview: Path | None = None
    vectors: tuple[Path, ...] = ()
    """Files of polygons."""
    stac: Path | None = None
    """The STAC item that describes the others."""
    report: Path | None = None
    """The page to look at."""
    zarr_format: int = 3
    """Of the store; one of Zarr 2 on a disk has a style for QGIS."""

    @property
    def rasters(self) -> tuple[Path, ...]:
        """Those that QGIS opens as rasters."""
        store = self.zarr if self.zarr_format == 2 and isinstance(self.zarr, Path) else None
        return tuple(path for path in (self.cog, store) if path is not None)

    @property
    def styles(self) -> tuple[Path, ...]:
        """What lies beside rasters and polygons, as ``.aux.xml`` does: replaced and counted as whole only with them."""
        found: list[Path] = []
        for path in self.rasters:
            found += style_paths(path, kind="raster")
        for path in self.vectors:
            found += style_paths(path, kind="vector")
        return tuple(dict.fromkeys(found))  # those of one stem share theirs

    @property
    def store(self) -> Location | None:
        """Where the Zarr store goes."""
        return None if self.zarr is None else location_of(self.zarr)

    @property
    def part(self) -> Location:
        """The unfinished store, hidden beside the Zarr target, or beside the first other one where there is none."""
        return part_of(location_of(self.zarr or self.cog or self.vectors[0]))

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that are plain files, styles included."""
        named = (p for p in (self.cog, *self.vectors, self.preview, self.stac, self.report) if p is not None)
        return (*named, *self.styles)

    @property
    def paths(self) -> tuple[Path | str, ...]:
        """All of them but the styles, which follow from the others."""
        found = (self.cog, self.zarr, *self.vectors, self.preview, self.stac, self.report)
        return tuple(p for p in found if p is not None)

    @property
    def places(self) -> tuple[Location, ...]:
        """All of them, as what is locked and tidied."""
        return tuple(location_of(p) for p in self.paths)


def stem_of(scene: str) -> str:
    """The scene's name without folder, query and suffix."""
    return Path(scene.split("?")[0].rstrip("/")).stem or "scene"


def choose_outputs(
    scene: str,
    wanted: Sequence[str | os.PathLike[str]],
    *,
    preview: str | os.PathLike[str] | None = None,
    stac: str | os.PathLike[str] | None = None,
    report: str | os.PathLike[str] | None = None,
) -> Outputs:
    """The outputs of a scene.

    Args:
        scene: path or URL.
        wanted: ``*.tif``, ``*.zarr`` and polygon targets, or one folder; a ``.zarr`` may be a URL (``s3://…``); empty
            for ``<stem>_classes.tif`` and ``<stem>_classes.zarr`` beside the scene (in the current folder for a URL).
        preview: a quick-look PNG.
        stac: a STAC item, ``*.json``.
        report: a page, ``*.html``.

    Raises:
        OutputError: for an unknown suffix, two targets of one kind, a file that cannot be at a URL, or a target with
            credentials in its name.
        SceneError: if the scene's name holds credentials.
    """
    refuse_credentials(scene)
    beside = {"preview": preview, "stac": stac, "report": report}
    for named in (*wanted, *(path for path in beside.values() if path is not None)):
        refuse_credentials(named, what="the output", error=OutputError)
    extra: dict[str, Any] = {
        kind: None if path is None else _local(path, what=_NAMES[kind], endings=_ENDINGS[kind])
        for kind, path in beside.items()
    }
    if not wanted:
        folder = Path.cwd() if is_url(scene) or not Path(scene).exists() else Path(scene).parent
        return _in_folder(scene, folder, extra)
    if len(wanted) == 1 and _is_folder(wanted[0]):
        return _in_folder(scene, _local(wanted[0], what="the folder of a .tif and a .zarr"), extra)
    cog: Path | None = None
    store: Path | str | None = None
    vectors: list[Path] = []
    for target in wanted:
        suffix = Path(target).suffix.lower()
        if suffix in _COG_SUFFIXES:
            _refuse_second(cog, target)
            cog = _local(target, what="the .tif")
        elif suffix == ".zarr":
            _refuse_second(store, target)
            where = location_of(os.fspath(target).rstrip("/"))
            store = where.path if isinstance(where, LocalFolder) else str(where)
        elif suffix in VECTOR_SUFFIXES:
            _refuse_second(next((v for v in vectors if v.suffix.lower() == suffix), None), target)
            vectors.append(_local(target, what="a file of polygons"))
        else:
            raise OutputError(
                f"cannot tell what to write to {target}: outputs end in .tif or .zarr, {', '.join(VECTOR_SUFFIXES)}"
                " for polygons, or in / for a folder"
            )
    return Outputs(cog=cog, zarr=store, vectors=tuple(vectors), **extra)


def _refuse_second(found: Path | str | None, target: str | os.PathLike[str]) -> None:
    if found is not None:
        raise OutputError(f"two outputs of one kind, {found} and {target}: give one of each")


def _local(target: str | os.PathLike[str], *, what: str, endings: tuple[str, ...] = ()) -> Path:
    if endings and Path(target).suffix.lower() not in endings:
        raise OutputError(f"{what} {os.fspath(target)} must end in {endings[0]}")
    if is_store_url(target):
        raise OutputError(f"{what} cannot be at a URL ({os.fspath(target)}): only a .zarr can; give a local path")
    where = location_of(target)
    assert isinstance(where, LocalFolder)
    return where.path


def _is_folder(target: str | os.PathLike[str]) -> bool:
    text = os.fspath(target)
    if is_store_url(text):
        return text.endswith("/") and not text.rstrip("/").endswith(".zarr")
    return text.endswith(("/", os.sep)) or (Path(text).is_dir() and Path(text).suffix != ".zarr")


def _in_folder(scene: str, folder: Path, extra: Mapping[str, Any]) -> Outputs:
    stem = f"{stem_of(scene)}{MAP_ENDING}"
    return Outputs(cog=folder / f"{stem}.tif", zarr=folder / f"{stem}.zarr", **extra)
