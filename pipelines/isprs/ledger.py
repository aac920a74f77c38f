"""Which steps of a pipeline are done: one small JSON file per step, written after the step's product.

A step is done if its record carries the key of the same inputs and settings and its products are the ones it left.
Records are renamed into place, so a pipeline that is killed anywhere goes on at the first step without one, and a step
that fails with new settings leaves the record of the old ones.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.raster.atomic import output_errors, part_path

Json = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step that is done."""

    key: str
    """Stands for the step's inputs and settings; an input of the steps after it."""
    result: Json
    seconds: float
    """Of the attempt that finished it."""
    skipped: bool
    """True if an earlier run had done it."""


class Ledger:
    """The records of a pipeline's steps in a folder."""

    def __init__(self, folder: Path, *, log: Callable[[str], None]) -> None:
        self._folder = folder
        self._log = log

    def clear(self) -> None:
        """Forgets every step."""
        for record in self._folder.glob("*.json"):
            record.unlink()

    def inputs(self, name: str) -> Json:
        """What a step that is done was done with; None if it is not."""
        return (read_json(self._folder / f"{name}.json") or {}).get("inputs")

    def do(
        self, name: str, *, inputs: Json, products: Sequence[Path] = (), work: Callable[[bool], Json], title: str
    ) -> Step:
        """Does a step, unless it is done.

        Args:
            name: of the record, unique.
            inputs: whatever decides the product, as plain values.
            products: files or folders the step leaves.
            work: does it and gives a plain result; called with True if an attempt with other inputs was begun before.
            title: what to say when it begins.
        """
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
        record, begun = self._folder / f"{name}.json", self._folder / f"{name}.begun.json"
        done = read_json(record)
        if done is not None and done.get("key") == key and done.get("products") == [_digest(p) for p in products]:
            return Step(key=key, result=done["result"], seconds=done["seconds"], skipped=True)
        self._log(title)
        other = (read_json(begun) or {"key": key}).get("key") != key
        write_json(begun, {"key": key, "inputs": inputs})
        started = time.perf_counter()
        result = work(other)
        seconds = time.perf_counter() - started
        left = [_digest(p) for p in products]
        write_json(record, {"key": key, "seconds": seconds, "result": result, "products": left, "inputs": inputs})
        begun.unlink(missing_ok=True)
        return Step(key=key, result=result, seconds=seconds, skipped=False)


def stamp(path: Path) -> list[str | int]:
    """What changes when a file is replaced."""
    found = path.stat()
    return [path.name, found.st_size, found.st_mtime_ns]


def make_folder(target: Path) -> None:
    """Makes the folder of a file to be.

    Raises:
        OutputError: if it cannot be made.
    """
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)


def write_json(path: Path, data: Json) -> None:
    """Writes JSON whole or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    write_text(path, json.dumps(data, indent=2))


def write_text(path: Path, text: str) -> None:
    """Writes a text whole or not at all; a file that says the same already is left alone.

    Raises:
        OutputError: if it cannot be written.
    """
    make_folder(path)
    with output_errors(path):
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
        part = part_path(path)
        part.write_text(text, encoding="utf-8")
        part.replace(path)


def _digest(path: Path) -> str | None:
    """SHA-256 of a file; of a folder only that it is there."""
    if path.is_dir():
        return "folder"
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def read_json(path: Path) -> dict[str, Any] | None:
    """The object of a file; None if there is none, or nothing that could be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
