"""The work of one cell of `benchmarks/contexts.py`: train, calibrate, test. Each result is a JSON in the cell's folder.

A result that is there is not made again; one that is half made is not there.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import GEOSEG, machine, run_child
from contexts_grid import Cell, Dataset, Preset, training_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A cell, with what it needs to be worked on."""

    cell: Cell
    preset: Preset
    dataset: Dataset
    folder: Path

    def read(self, name: str) -> dict[str, Any] | None:
        """A result by name, None if it is not there yet."""
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def write(self, name: str, result: Mapping[str, Any]) -> None:
        """Writes a result, whole or not at all."""
        path = self.folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps(result, indent=1), encoding="utf-8")
        part.replace(path)


@contextmanager
def taken(job: Job) -> Iterator[bool]:
    """Holds a cell for this process; False if another one holds it. A lock goes when its process does."""
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def train(job: Job) -> None:
    """Trains in a child process; an interrupted training goes on from its checkpoint."""
    if job.read("train") is not None:
        return
    path = job.folder / "train.toml"
    path.write_text(training_toml(job.cell, job.preset, job.dataset, folder=job.folder), encoding="utf-8")
    made = json.loads(run_child([*GEOSEG, "train", str(path), "--json"]).stdout)
    preset = job.preset
    job.write(
        "train",
        {
            "steps": made["steps"],
            "seconds": made["seconds"],
            "pixel_budget": preset.pixel_budget,
            "seed": job.cell.seed,
            "threads": preset.threads,
            "precision": preset.precision,
            "accelerator": preset.accelerator,
            "machine": machine(),
        },
    )
