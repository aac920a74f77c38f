"""Stores in folders of this machine: renames are atomic, and a kernel that holds locks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from geoseg.raster.atomic import discard, output_errors, part_path, put_in_place, recover, remove
from geoseg.raster.locations import CLAIM, MARKERS, Location


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder of this machine. Renames are atomic, so an old store stays whole until its successor is."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    def sibling(self, name: str) -> LocalFolder:
        """Another folder beside this one."""
        return LocalFolder(self.path.with_name(name))

    def zarr_store(self) -> Path:
        """The path."""
        return self.path

    def errors(self) -> AbstractContextManager[None]:
        """One line about this folder."""
        return output_errors(self.path)

    def exists(self) -> bool:
        """True for a file, a folder, or a link to nowhere."""
        return os.path.lexists(self.path)

    def is_empty(self) -> bool:
        """True if there is nothing, or a folder without anything in it."""
        if self.path.is_dir():
            return next(self.path.iterdir(), None) is None
        return not self.exists()

    def read(self, name: str) -> bytes | None:
        """The bytes of a file below; None if there is none."""
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write beside and rename."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.partial")  # as zarr's own: a torn one goes when the store is whole
        part.write_bytes(data)
        part.replace(target)

    def create(self, name: str, data: bytes) -> bool:
        """Exclusive by the file system's own means."""
        try:
            with (self.path / name).open("xb") as file:
                file.write(data)
        except FileExistsError:
            return False
        return True

    def delete(self, names: Iterable[str]) -> None:
        """Delete files below."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def mark(self, key: str) -> None:
        """An empty file."""
        folder = self.path / MARKERS
        folder.mkdir(parents=True, exist_ok=True)
        (folder / quote(key, safe="")).touch()

    def is_marked(self, key: str) -> bool:
        """One look."""
        return (self.path / MARKERS / quote(key, safe="")).exists()

    def marks(self) -> Iterator[str]:
        """Read from the folder one by one."""
        try:
            entries = os.scandir(self.path / MARKERS)
        except (FileNotFoundError, NotADirectoryError):
            return
        with entries:
            for entry in entries:
                yield unquote(entry.name)

    def discard(self) -> None:
        """Renamed first."""
        discard(self.path)

    def leftovers(self) -> bool:
        """True if a hidden neighbour of this name is there, or markers."""
        beside = (part_path(self.path, suffix=suffix) for suffix in (".old", ".trash"))
        return any(os.path.lexists(path) for path in (*beside, self.path / MARKERS))

    def make_folder(self) -> None:
        """Make the folder and its parents."""
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def tidy(self) -> None:
        """An old one steps back, rubbish goes."""
        recover(self.path)

    def finishing(self) -> bool:
        """False: a rename is done or not."""
        return False

    def is_published(self, final: Location, *, digest: str) -> bool:  # noqa: ARG002
        """False: the store is here or there."""
        return False

    def publish(self, final: Location) -> None:
        """One rename. The markers go last: killed before, the run finds either them or the finished store."""
        assert isinstance(final, LocalFolder)
        with final.errors():
            for torn in self.path.rglob("*.partial"):  # what zarr was writing when a run was killed
                torn.unlink()
            self.delete([CLAIM])
            put_in_place(self.path, final.path)
            final.forget_marks()

    def retire(self) -> None:
        """Nothing is left by a rename."""

    def forget_marks(self) -> None:
        """One folder."""
        if self.path.is_dir():
            remove(self.path / MARKERS)

    def guard(self) -> tuple[LocalFolder, str]:
        """A hidden file beside the folder."""
        return LocalFolder(self.path.parent), f".{self.path.name}.lock"
