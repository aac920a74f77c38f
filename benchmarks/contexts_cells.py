"""The work of one cell of `benchmarks/contexts.py`: train, calibrate, test. Each result is a JSON in the cell's folder.

A result that is there is not made again; one that is half made is not there.
"""

from __future__ import annotations

import fcntl
import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import GEOSEG, machine, run_child
from contexts_grid import Cell, Dataset, LabelledPair, Preset, training_toml

import geoseg
from geoseg.contexts.scores import ScoreTable
from geoseg.contexts.selection import ranked, rated
from geoseg.errors import GeosegError
from geoseg.evaluation.metrics import iou, mean_iou, overall_accuracy


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


def evaluate(job: Job) -> list[str]:
    """Calibrates the cell's bundle and tests it in every way there is; returns what failed, one line each."""
    try:
        _calibrate(job)
    except GeosegError as error:
        return [f"{job.cell.name}, calibration: {error}"]
    failed = []
    for name, options in measurements(job).items():
        try:
            _measure(job, name, options)
        except GeosegError as error:
            failed.append(f"{job.cell.name}, {name}: {error}")
    return failed


def measurements(job: Job) -> dict[str, dict[str, Any]]:
    """What a cell is tested with, options of ``geoseg.predict`` by the name of the result."""
    preset = job.preset
    found = job.read("calibration") or {"selected": {}}
    sizes = sorted({*preset.test_sizes, *found["selected"].values()})
    return {
        **{f"size_{size}": {"patch_size": size} for size in sizes},
        "auto": {},
        **{f"fused_{k}_{how}": {"contexts": k, "fuse": how} for k in preset.fused for how in ("score", "equal")},
        **{f"adaptive_{budget}": {"contexts": "adaptive", "budget": budget} for budget in preset.budgets},
    }


def _calibrate(job: Job) -> None:
    """Measures every test size on the calibration scenes, and notes which size each way of choosing chooses."""
    if job.read("calibration") is not None:
        return
    started = time.perf_counter()
    geoseg.calibrate(
        job.folder / "model.safetensors",
        scenes=[(pair.image, pair.labels) for pair in job.dataset.calibration],
        sizes=list(job.preset.test_sizes),
        fit="contexts",
        output=_calibrated(job),
        **_run_options(job),
    )
    seconds = time.perf_counter() - started
    card = geoseg.open_bundle(_calibrated(job)).card
    if card.calibration is None:
        raise SystemExit(f"{_calibrated(job)}: its card holds no calibration")
    job.write(
        "calibration",
        {
            "seconds": seconds,
            "selected": _selected(job, scores=card.context_scores),
            "calibration": card.calibration.to_json(),
            "scores": None if card.context_scores is None else card.context_scores.to_json(),
        },
    )


def _selected(job: Job, *, scores: ScoreTable | None) -> dict[str, int]:
    """The size that each way of choosing chooses; a network that was trained on one size has no scores to choose by.

    By calibration it is what ``predict`` takes on the first test scene, the program's own ties and costs included.
    """
    plan = geoseg.plan(job.dataset.test[0].image, model=_calibrated(job), **_run_options(job))
    by_calibration = plan.contexts[0].size
    if scores is None:
        own = job.cell.size or by_calibration
        return {"mean": own, "weighted": own, "calibration": by_calibration}
    return {
        "mean": ranked(rated(scores, weighted=False))[0].size,
        "weighted": ranked(rated(scores))[0].size,
        "calibration": by_calibration,
    }


def _measure(job: Job, name: str, options: Mapping[str, Any]) -> None:
    """Predicts the test scenes, the quickest of ``repeats`` runs each; scores are of the summed counts."""
    if job.read(name) is not None:
        return
    runs = [_quickest(job, pair, options) for pair in job.dataset.test]
    counts = np.sum([run.metrics["confusion"] for run in runs], axis=0)
    plans = [run.plan.to_json() for run in runs]
    pixels = sum(plan["scene_pixels"] for plan in plans)
    compute = sum(run.seconds["compute"] for run in runs)
    job.write(
        name,
        {
            "options": dict(options),
            "miou": mean_iou(counts),
            "overall_accuracy": overall_accuracy(counts),
            "iou": [None if math.isnan(v) else v for v in iou(counts).tolist()],
            "pixels": pixels,
            "computed_pixels": sum(run.computed_pixels for run in runs),
            "compute_seconds": compute,
            "seconds_per_megapixel": compute / pixels * 1e6,
            "contexts": [plan["contexts"] for plan in plans],
            "chosen": [plan["chosen"] for plan in plans],
            "machine": machine(),
        },
    )


def _quickest(job: Job, pair: LabelledPair, options: Mapping[str, Any]) -> Any:
    store = job.folder / "map.zarr"
    found = []
    try:
        for _ in range(job.preset.repeats):
            result = geoseg.predict(
                pair.image,
                outputs=store,
                model=_calibrated(job),
                reference=pair.labels,
                overwrite=True,
                restart=True,
                **_run_options(job),
                **options,
            )
            found.append(result)
    finally:
        shutil.rmtree(store, ignore_errors=True)
    return min(found, key=lambda result: result.seconds["compute"])


def _run_options(job: Job) -> dict[str, Any]:
    preset = job.preset
    device = "cpu" if preset.accelerator == "cpu" else "auto"
    return {"overlap": preset.overlap, "threads": preset.threads or None, "device": device}


def _calibrated(job: Job) -> Path:
    return job.folder / "calibrated.safetensors"
