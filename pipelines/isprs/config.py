"""What the user asks of the pipeline, and the training configuration that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.legend import Legend
from geoseg.models.device import pick_device
from isprs.benchmarks import Benchmark, Found, Scene

_BUDGET = {"cpu": 2 * 512**2, "cuda": 8 * 512**2}
"""Input pixels of a training step where the user names none."""

_FREE = ("accelerator", "precision", "loaders", "checkpoint_every", "validate_every")
"""Entries of the training that follow from the machine: they undo no finished training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of ``potsdam.py``."""

    folder: Path
    out: Path
    benchmark: Benchmark
    held_out: tuple[str, ...]
    tolerance: int
    network: str
    encoder: str | None
    arguments: tuple[tuple[str, Any], ...]
    start: Path | None
    steps: int
    minutes: float | None
    learning_rate: float
    seed: int
    sizes: tuple[int, ...]
    """In rising order."""
    distribution: str
    pixel_budget: int | None
    halo: int
    gsd: float | None
    contexts: int | str
    device: str
    until: str
    restart: bool

    def name(self, scene: Scene) -> str:
        """What a scene is called in names of files and in logs."""
        return f"{self.benchmark.name}_{scene.id}"

    def label_path(self, scene: Scene, reference: str) -> Path:
        """Where a label lies as class ids; reference ``learnt`` has only classes that the training has pixels of."""
        return self.out / "labels" / f"{self.name(scene)}_{reference}.tif"

    def map_paths(self, scene: Scene) -> tuple[Path, Path]:
        """Where the prediction of a scene lies: COG and Zarr store."""
        stem = self.out / "maps" / f"{scene.image.stem}_classes"
        return stem.with_suffix(".tif"), stem.with_suffix(".zarr")

    def submission_path(self, scene: Scene) -> Path:
        """Where the class map lies that would be submitted."""
        return self.out / "submission" / self.benchmark.class_map.format(id=scene.id)

    @property
    def trained(self) -> Path:
        """The bundle as the training leaves it."""
        return self.out / "model" / "trained.safetensors"

    @property
    def calibrated(self) -> Path:
        """The same with what its contexts are worth on the held-out scenes: the product."""
        return self.out / "model" / "model.safetensors"


def training_config(
    settings: Settings, found: Found, *, legend: Legend, held_out_reference: str, earlier_budget: int | None
) -> dict[str, Any]:
    """The training as plain values; see ``geoseg.training.settings``.

    Args:
        settings: the user's.
        found: the scenes.
        legend: the classes that the training scenes have pixels of.
        held_out_reference: labels of the held-out scenes, none outside the legend.
        earlier_budget: pixels per step of a training in this folder, which stand unless the user names others.
    """
    s, b = settings, settings.benchmark
    cuda = pick_device(s.device) != "cpu"
    largest = s.sizes[-1]
    usual = max(_BUDGET["cuda" if cuda else "cpu"], largest**2)
    scenes = [(scene, "train", "full") for scene in found.train]
    scenes += [(scene, "validation", held_out_reference) for scene in found.held_out]
    return {
        "model": {
            "name": b.name,
            "description": f"Trained on {len(found.train)} official training scenes of ISPRS {b.name.capitalize()}.",
            "architecture": s.network,
            "bands": list(b.bands),
            "gsd": float(s.gsd or b.gsd),
            "context": largest,
            "halo": s.halo,
            "licence": "The scenes are for research only; see the ISPRS benchmark's conditions of use.",
            **({"start": str(s.start.absolute())} if s.start else {}),
            "arguments": {**({"encoder_name": s.encoder} if s.encoder else {}), **dict(s.arguments)},
        },
        "output": {"bundle": str(s.trained), "work": str(s.out / "training")},
        "training": {
            "steps": s.steps,
            "pixel_budget": s.pixel_budget or earlier_budget or usual,
            "patch_size": largest,
            "learning_rate": s.learning_rate,
            "seed": s.seed,
            "loaders": 4 if cuda else 1,
            "precision": "bf16-mixed" if cuda else "32-true",
            "accelerator": "gpu" if cuda else "cpu",
            "checkpoint_every": min(200, max(10, s.steps // 10)),
            "validate_every": max(1000, s.steps // 10),
            **({"time_limit_minutes": s.minutes} if s.minutes else {}),
            "contexts": {"distribution": s.distribution, "sizes": list(s.sizes)},
        },
        "augment": {"rotation": 0.5, "scale": [0.8, 1.25], "brightness": 0.2, "contrast": 0.2, "noise": 0.05},
        "legend": legend.to_json(),
        "scenes": [
            {
                "name": s.name(scene),
                "image": str(scene.image),
                "labels": str(s.label_path(scene, reference)),
                "bidx": list(range(1, len(b.bands) + 1)),
                "split": split,
            }
            for scene, split, reference in scenes
        ],
    }


def decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without what undoes no finished training: what the machine decides, and where files lie."""
    model = {k: v for k, v in config["model"].items() if k != "start"}
    training = {k: v for k, v in config["training"].items() if k not in _FREE}
    scenes = [{k: v for k, v in scene.items() if k not in ("image", "labels")} for scene in config["scenes"]]
    return {"model": model, "training": training, "augment": config["augment"], "scenes": scenes}
