"""Where a run's results go: the default names, folders, and what must be refused before any work starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geoseg.errors import OutputError, SceneReadError
from geoseg.raster.atomic import output_errors, part_path, recover, refuse_existing
from geoseg.raster.tags import PLAN_DIGEST_TAG, read_tags
from geoseg.raster.urls import is_url, refuse_credentials

_COG_SUFFIXES = (".tif", ".tiff")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """The files one run writes; at least one of ``cog`` and ``zarr`` is there."""

    cog: Path | None
    zarr: Path | None
    preview: Path | None = None

    @property
    def part(self) -> Path:
        """The unfinished store, hidden beside the Zarr target, or beside the COG where there is none."""
        target = self.zarr or self.cog
        assert target is not None
        return target.with_name(f".{target.name}.part.zarr")

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return tuple(p for p in (self.cog, self.zarr, self.preview) if p is not None)


def stem_of(scene: str) -> str:
    """The scene's name without folder, query and suffix."""
    return Path(scene.split("?")[0].rstrip("/")).stem or "scene"


def choose_outputs(
    scene: str, wanted: Sequence[str | os.PathLike[str]], *, preview: str | os.PathLike[str] | None = None
) -> Outputs:
    """The outputs of a scene.

    Args:
        scene: path or URL.
        wanted: ``*.tif`` and ``*.zarr`` targets, or one folder; empty for ``<stem>_classes.tif`` and
            ``<stem>_classes.zarr`` beside the scene (in the current folder for a URL).
        preview: a quick-look PNG.

    Raises:
        OutputError: for an unknown suffix, two targets of one kind, or a target with credentials in its name.
        SceneError: if the scene's name holds credentials.
    """
    refuse_credentials(scene)
    for named in (*wanted, *(() if preview is None else (preview,))):
        refuse_credentials(named, what="the output", error=OutputError)
    if not wanted:
        folder = Path.cwd() if is_url(scene) or not Path(scene).exists() else Path(scene).parent
        return _in_folder(scene, folder, preview)
    if len(wanted) == 1 and _is_folder(wanted[0]):
        return _in_folder(scene, Path(wanted[0]), preview)
    found: dict[str, Path] = {}
    for target in map(Path, wanted):
        suffix = target.suffix.lower()
        kind = "cog" if suffix in _COG_SUFFIXES else "zarr" if suffix == ".zarr" else None
        if kind is None:
            raise OutputError(
                f"cannot tell what to write to {target}: outputs end in .tif or .zarr, or in / for a folder"
            )
        if kind in found:
            raise OutputError(f"two outputs of one kind, {found[kind]} and {target}: give one .tif and one .zarr")
        found[kind] = target
    return Outputs(cog=found.get("cog"), zarr=found.get("zarr"), preview=None if preview is None else Path(preview))


def refuse_outputs(outputs: Outputs, *, scene: str, overwrite: bool, plan_digest: str | None = None) -> None:
    """Refuses what may not be replaced; before anything is computed, and without changing anything.

    Args:
        outputs: the files of the run.
        scene: never overwritten by its own result.
        overwrite: existing outputs may be replaced.
        plan_digest: of the run whose unfinished store is there. An output that carries it is this run's own: it was
            stopped between two renames. A quick look carries nothing and counts as its own.

    Raises:
        OutputExistsError: if an output exists.
        OutputError: if an output is the scene, or is no PNG where it should be.
    """
    if outputs.preview is not None and outputs.preview.suffix.lower() != ".png":
        raise OutputError(f"the quick look {outputs.preview} must end in .png")
    for path in outputs.paths:
        if path.resolve() == Path(scene).resolve():
            raise OutputError(f"the output {path} is the scene itself; name another")
        if overwrite or (plan_digest is not None and (path == outputs.preview or _carries(path, plan_digest))):
            continue
        refuse_existing(path, overwrite=False)


def make_folders(outputs: Outputs) -> None:
    """Makes the outputs' folders, and tidies up what a killed run left of a replacement.

    Raises:
        OutputError: if a folder is missing and cannot be made, or cannot be written to.
    """
    for path in outputs.paths:
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            recover(path)
            probe = part_path(path, suffix=".probe")
            probe.touch()
            probe.unlink()


def _carries(path: Path, plan_digest: str) -> bool:
    """True if a COG or a Zarr store was made by the plan of that digest."""
    if path.suffix.lower() in _COG_SUFFIXES and path.is_file():
        try:
            return read_tags(path).get(PLAN_DIGEST_TAG) == plan_digest
        except SceneReadError:
            return False
    return False


def _is_folder(target: str | os.PathLike[str]) -> bool:
    text = os.fspath(target)
    return text.endswith(("/", os.sep)) or (Path(text).is_dir() and Path(text).suffix != ".zarr")


def _in_folder(scene: str, folder: Path, preview: str | os.PathLike[str] | None) -> Outputs:
    stem = f"{stem_of(scene)}_classes"
    return Outputs(
        cog=folder / f"{stem}.tif",
        zarr=folder / f"{stem}.zarr",
        preview=None if preview is None else Path(preview),
    )
