"""What a user calls a scene, as the files that it is made of: paths, globs, lists in files, STAC documents."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from geoseg.errors import OutputError, SceneError, SceneReadError
from geoseg.raster.stac import is_stac, stac_items
from geoseg.raster.urls import is_url, refuse_credentials
from geoseg.verbs.digests import without_maps

SceneLike = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One path or URL, or several that are one scene."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """One scene as it was named, and its files."""

    name: str
    """As the user wrote it, for messages."""
    files: tuple[str, ...]
    """Paths or URLs that any worker can open."""
    stem: str
    """What default outputs are called after: a path, the scene's own where it is one file."""
    notes: tuple[str, ...] = ()
    """What a user should know of how the files were found."""

    def folder_of(self, wanted: Sequence[str | os.PathLike[str]]) -> Sequence[str | os.PathLike[str]]:
        """``wanted``, or for a mosaic without any the folder of its first file."""
        if wanted or is_url(self.stem) or Path(self.stem).exists():
            return wanted
        first = self.files[0]
        folder = Path.cwd() if is_url(first) or not Path(first).exists() else Path(first).parent
        return [os.path.join(folder, "")]  # noqa: PTH118 - the trailing slash makes it a folder

    def refuse_as_outputs(self, outputs: Iterable[Path | str]) -> None:
        """Refuses to write over one of the files; outputs at URLs are stores, which are no files of a scene.

        Raises:
            OutputError: naming it.
        """
        if self.files == (self.stem,):
            return  # one file: ``refuse_outputs`` says it
        targets = {path.resolve() for path in outputs if isinstance(path, Path)}
        for file in self.files:
            if not is_url(file) and Path(file).resolve() in targets:
                raise OutputError(f"the output {file} is a file of the scene itself; name another")


def sources_of(scene: SceneLike, *, asset: str | None = None) -> Sources:
    """The files of one scene.

    Args:
        scene: a path or URL; a STAC document, which is a mosaic; or a list of paths, URLs, globs, ``@list.txt`` and
            STAC documents, which together are one scene.
        asset: of STAC items.

    Raises:
        SceneReadError, SceneError: if a glob, a list or a document gives nothing, or cannot be read.
    """
    if isinstance(scene, str | os.PathLike):
        text = os.fspath(scene)
        if _is_several(text):
            raise SceneError(f"{text}: names several files: give it in a list, or with --mosaic, to read them as one")
        if not is_stac(text):
            if asset is not None:
                raise SceneError(f"--asset {asset}: {text} is no STAC document, it has no assets")
            located = locate(text)
            return Sources(name=located, files=(located,), stem=located)
        return Sources(name=text, files=tuple(_expanded(text, asset, [])), stem=locate(text))
    texts = [os.fspath(part) for part in scene]
    if not texts:
        raise SceneError("a scene of no files: name at least one")
    if len(texts) == 1 and not _is_several(texts[0]):  # a list of one is that scene
        return sources_of(texts[0], asset=asset)
    if asset is not None and not any(is_stac(text) for text in texts):
        raise SceneError(f"--asset {asset}: none of the files is a STAC document, they have no assets")
    notes: list[str] = []
    files = tuple(file for text in texts for file in _expanded(text, asset, notes))
    name = texts[0] if len(texts) == 1 else f"{texts[0]} and {len(texts) - 1:,} more"
    return Sources(name=name, files=files, stem=_stem(texts, files), notes=tuple(notes))


def scenes_of(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Arguments of a command line that are a scene each, with globs and ``@list.txt`` expanded; and notes.

    Raises:
        SceneReadError: if a glob or a list gives nothing.
    """
    notes: list[str] = []
    return [path for argument in arguments for path in _listed(argument, notes)], notes


def locate(scene: str | os.PathLike[str], *, what: str = "the scene") -> str:
    """The scene's name as any worker can open it: an existing path is made absolute, anything else is left.

    Links are not followed: masks, world files and statistics lie beside the link.

    Raises:
        SceneError: if the name holds credentials.
    """
    text = os.fspath(scene)
    refuse_credentials(text, what=what)
    return text if is_url(text) or not Path(text).exists() else str(Path(text).absolute())


def _is_several(text: str) -> bool:
    return text.startswith("@") or _is_glob(text)


def _is_glob(text: str) -> bool:
    """True if a name has wildcards and is not the name of a file as it stands."""
    return not is_url(text) and not text.startswith(("/vsi", "<")) and glob.has_magic(text) and not Path(text).exists()


def _listed(text: str, notes: list[str]) -> list[str]:
    """A glob's matches, sorted; the lines of ``@list.txt``; anything else is itself.

    Of a glob's matches the maps of an earlier run are left out, and ``notes`` gets a line about them: the same
    command again is to mean the same scenes.
    """
    if text.startswith("@") and not Path(text).exists():
        return _lines(text[1:])
    if not _is_glob(text):
        return [text]
    matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - any pattern, absolute ones too
    if not matches:
        raise SceneReadError(f"{text}: no file matches")
    found, maps = without_maps(matches)
    if not found:
        raise SceneReadError(f"{text}: matches only maps that geoseg wrote; name them one by one if they are scenes")
    if maps:
        notes.append(f"{text}: {maps} of {len(matches)} files are maps that geoseg wrote, and no scenes: left out")
    return found


def _lines(path: str) -> list[str]:
    """The names in a text file, one a line; blank lines and those that begin with # are left out.

    A name that is no path here but is one beside the list is that; anything else is left for GDAL to make sense of.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SceneReadError(f"@{path}: the list cannot be read: {error}") from error
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise SceneReadError(f"@{path}: the list names no files")
    beside = Path(path).parent
    return [str(beside / line) if not Path(line).exists() and (beside / line).exists() else line for line in found]


def _expanded(text: str, asset: str | None, notes: list[str]) -> list[str]:
    """The files behind one name."""
    found = []
    for path in _listed(text, notes):
        rasters = [item.raster for item in stac_items(path, asset=asset)] if is_stac(path) else [path]
        found += [locate(raster) for raster in rasters]
    return found


def _stem(texts: Sequence[str], files: tuple[str, ...]) -> str:
    """What a mosaic's outputs are called after."""
    if len(texts) == 1 and texts[0].startswith("@"):
        return f"{Path(texts[0][1:]).stem}_mosaic.vrt"
    if len(texts) == 1 and _is_glob(texts[0]):
        folder = Path(files[0]).parent.name
        return f"{folder or 'scene'}_mosaic.vrt"
    return f"{Path(files[0].split('?')[0]).stem}_mosaic.vrt"
