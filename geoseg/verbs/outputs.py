"""Where a run's results go: the default names, folders, and what must be refused before any work starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geoseg.errors import OutputError
from geoseg.raster.atomic import part_path, refuse_existing
from geoseg.raster.datasets import is_url

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
        return target.with_name(f".{target.stem}.part.zarr")

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
        OutputError: for an unknown suffix, or two targets of one kind.
    """
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
            raise OutputError(f"cannot tell what to write to {target}: outputs end in .tif or .zarr, or are a folder")
        if kind in found:
            raise OutputError(f"two outputs of one kind, {found[kind]} and {target}: give one .tif and one .zarr")
        found[kind] = target
    return Outputs(cog=found.get("cog"), zarr=found.get("zarr"), preview=None if preview is None else Path(preview))


def prepare_outputs(outputs: Outputs, *, scene: str, overwrite: bool, mine: bool = False) -> None:
    """Refuses what may not be replaced, and makes the folders; before anything is computed.

    Args:
        outputs: the files of the run.
        scene: never overwritten by its own result.
        overwrite: existing outputs may be replaced.
        mine: an unfinished store of this very run is there, so what exists may be its own.

    Raises:
        OutputExistsError: if an output exists.
        OutputError: if a folder is missing and cannot be made, or cannot be written to.
    """
    for path in outputs.paths:
        if path.resolve() == Path(scene).resolve():
            raise OutputError(f"the output {path} is the scene itself; name another")
        if not mine:
            refuse_existing(path, overwrite=overwrite)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            probe = part_path(path, suffix=".probe")
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OutputError(
                f"cannot write to {path.parent}: {error.strerror or error}; name another folder"
            ) from error


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
