"""Manifests: which scenes a batch has, their references and where their maps go; checked before any work."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from geoseg.errors import ManifestError
from geoseg.raster.stac import is_stac
from geoseg.raster.urls import is_url, refuse_credentials
from geoseg.verbs.batch_sources import SCENE_SUFFIXES, Record, read_records
from geoseg.verbs.digests import MAP_ENDING, without_maps
from geoseg.verbs.outputs import stem_of

Kind = Literal["cog", "zarr", "preview", "gpkg"]
"""What a batch writes for each scene: a GeoTIFF, a Zarr store, a quick look, polygons in a GeoPackage."""
KINDS: tuple[Kind, ...] = get_args(Kind)

_SUFFIXES = {"cog": ".tif", "zarr": ".zarr", "preview": ".png", "gpkg": ".gpkg"}
_FILES = (".tif", ".tiff", ".zarr", ".png", ".gpkg")
_REFERENCES = (*SCENE_SUFFIXES, ".png")
_NAMED = 5  # of what is wrong; the rest is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One scene of a manifest."""

    scene: str
    """Path (absolute) or URL."""
    name: str
    """What its maps are called after: the scene's stem, or the STAC item's id."""
    reference: str | None
    output: str
    """Folder (absolute) or URL."""
    where: str
    """Its place in the manifest: ``line 3``."""

    def targets(self, kinds: Sequence[Kind]) -> tuple[str, ...]:
        """The files that are written for it, in the order of ``kinds``."""
        stem = f"{self.output.rstrip('/')}/{self.name}{MAP_ENDING}"
        return tuple(stem + _SUFFIXES[kind] for kind in kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The scenes of a batch, in order."""

    source: str
    """The manifest as it was named."""
    folder: Path
    """What its relative paths are relative to."""
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]


def read_manifest(
    manifest: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    references: str | os.PathLike[str] | None = None,
    kinds: Sequence[Kind] = ("cog", "zarr"),
    asset: str | None = None,
) -> Manifest:
    """Reads and checks a manifest.

    Args:
        manifest: a CSV or Parquet file with a column ``scene`` and, if wanted, ``reference`` and ``output``; a STAC
            document (JSON), of which each item is a scene; a glob; or a folder.
        output: folder of the scenes that name none.
        references: folder in which the reference of a scene that names none is the raster of its name.
        kinds: what is written for each.
        asset: of a STAC document's items, or of the scenes of a table that are STAC documents.

    Raises:
        ManifestError: if it cannot be read, lacks a column, is empty, names a scene twice, gives two scenes one
            output, lists as a scene what another one writes, or holds credentials.
        MissingExtraError: for Parquet without pyarrow.
    """
    found = read_records(os.fspath(manifest), asset=asset)
    if not found.records:
        raise ManifestError(f"{found.source}: no scene in it; {found.advice}")
    notes = list(found.notes)
    if output is not None:
        refuse_credentials(output, what="the output folder", error=ManifestError)
    folder = None if output is None else _absolute(os.fspath(output), Path.cwd())
    entries = _entries(found.records, base=found.folder, output=folder, source=found.source)
    if asset is not None and not found.is_stac and not any(is_stac(entry.scene) for entry in entries):
        raise ManifestError(f"--asset {asset}: {found.source} lists no STAC documents, its scenes have no assets")
    _refuse_twice(entries, source=found.source)
    if found.listed:
        _refuse_own_outputs(entries, kinds=kinds, source=found.source)
    else:
        entries, left_out = _without_outputs(entries, kinds=kinds)
        if left_out:
            notes.append(f"{left_out} of {len(found.records)} files are maps of geoseg and no scenes: left out")
    _refuse_shared_outputs(entries, kinds=kinds, source=found.source)
    if references is not None:
        entries, note = _with_references(entries, Path(references))
        notes += note
    return Manifest(source=found.source, folder=found.folder, entries=tuple(entries), notes=tuple(notes))


def _entries(records: Sequence[Record], *, base: Path, output: str | None, source: str) -> list[Entry]:
    """Records with absolute paths, each with an output folder."""
    homeless = [r.where for r in records if not r.output] if output is None else []
    if len(homeless) == len(records):
        raise ManifestError(
            f"{source}: no output folder for any of {len(records)} scenes; add -o FOLDER, or a column 'output'"
        )
    if homeless:
        raise ManifestError(
            f"{source}: {len(homeless)} of {len(records)} scenes name no output ({_some(homeless)}); fill the column"
            " 'output', or add -o FOLDER for them"
        )
    files = [f"{r.where}: {r.output}" for r in records if r.output and Path(r.output).suffix.lower() in _FILES]
    if files:
        raise ManifestError(f"{source}: 'output' names a folder, and is a file in {_some(files)}; name its folder")
    for record in records:  # before a name of theirs is written to the table
        for name in (record.scene, record.reference, record.output):
            refuse_credentials(name, what=f"{source}, {record.where}:", error=ManifestError)
    return [
        Entry(
            scene=_absolute(r.scene, base),
            name=r.name or stem_of(r.scene),
            reference=_absolute(r.reference, base) if r.reference else None,
            output=_absolute(r.output, base) if r.output else output or "",
            where=r.where,
        )
        for r in records
    ]


def _absolute(path: str, base: Path) -> str:
    """A path as every worker can open it; URLs and what GDAL takes for more than a path stay as they are."""
    if is_url(path) or "://" in path or path.startswith("/vsi") or re.match("[A-Z0-9_]{2,}:", path):
        return path
    return os.path.normpath(base.absolute() / path)


def _refuse_twice(entries: Iterable[Entry], *, source: str) -> None:
    first: dict[str, Entry] = {}
    twice = [
        f"{e.scene} ({first[e.scene].where} and {e.where})" for e in entries if first.setdefault(e.scene, e) is not e
    ]
    if twice:
        raise ManifestError(f"{source}: {len(twice)} scenes are listed twice: {_some(twice)}; leave one of each")


def _refuse_own_outputs(entries: Iterable[Entry], *, kinds: Sequence[Kind], source: str) -> None:
    writers = {target: e for e in entries for target in e.targets(kinds)}
    eaten = [
        f"{e.scene} ({e.where}) is what {writers[e.scene].scene} ({writers[e.scene].where}) writes"
        for e in entries
        if e.scene in writers
    ]
    if eaten:
        raise ManifestError(f"{source}: {len(eaten)} scenes are outputs of others: {_some(eaten)}; take them out")


def _without_outputs(entries: list[Entry], *, kinds: Sequence[Kind]) -> tuple[list[Entry], int]:
    """What a folder or a glob found, without the maps that an earlier run wrote there, or this one would."""
    written = {target for e in entries for target in e.targets(kinds)}
    scenes, _ = without_maps([e.scene for e in entries])
    names = set(scenes) - written
    kept = [e for e in entries if e.scene in names]
    return kept, len(entries) - len(kept)


def _refuse_shared_outputs(entries: Iterable[Entry], *, kinds: Sequence[Kind], source: str) -> None:
    first: dict[str, Entry] = {}
    shared = []
    for entry in entries:
        target = entry.targets(kinds)[0]
        other = first.setdefault(target, entry)
        if other is not entry:
            shared.append(f"{other.where} ({other.scene}) and {entry.where} ({entry.scene}) would both write {target}")
    if shared:
        raise ManifestError(
            f"{source}: {len(shared)} outputs are not one scene's own: {_some(shared)}; give each an 'output' folder"
        )


def _with_references(entries: list[Entry], folder: Path) -> tuple[list[Entry], list[str]]:
    """Entries that name no reference get the raster of their scene's stem, if the folder has one."""
    if not folder.is_dir():
        raise ManifestError(f"{folder}: no such folder of references")
    by_stem = {p.stem: str(p.absolute()) for p in sorted(folder.iterdir()) if p.suffix.lower() in _REFERENCES}
    filled = [e if e.reference else replace(e, reference=by_stem.get(e.name)) for e in entries]
    without = [e.name for e in filled if e.reference is None]
    notes = [f"{len(without)} of {len(filled)} scenes have no reference in {folder}: {_some(without)}"]
    return filled, notes if without else []


def _some(items: Sequence[str]) -> str:
    more = f", and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return ", ".join(items[:_NAMED]) + more
