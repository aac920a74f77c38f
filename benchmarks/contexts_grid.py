"""What `benchmarks/contexts.py` compares: datasets, networks, presets, and the cells of their grid."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.training.toml_text import to_toml

DYNAMIC = ("uniform-fixed", "uniform", "multinomial")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPair:
    """A scene and its labels."""

    image: Path
    labels: Path
    weight: float = 1.0
    """How often training draws it, relative to the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Scenes in three parts that share no ground."""

    name: str
    about: str
    """What it is and how it is split, for the table."""
    gsd: float | None
    legend: Sequence[Mapping[str, Any]]
    train: tuple[LabelledPair, ...]
    calibration: tuple[LabelledPair, ...]
    test: tuple[LabelledPair, ...]

    @property
    def pairs(self) -> tuple[LabelledPair, ...]:
        """All of them."""
        return (*self.train, *self.calibration, *self.test)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network by the name and arguments that a training TOML takes."""

    name: str
    architecture: str
    arguments: Mapping[str, Any]
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A grid, and the budget that is the same for all of its cells. Sizes are pixels."""

    name: str
    datasets: tuple[str, ...]
    networks: tuple[Network, ...]
    singles: tuple[int, ...]
    """Fixed sizes that get a training of their own."""
    listed: tuple[int, ...]
    """Sizes that ``uniform-fixed`` draws from and ``multinomial`` draws twice as often."""
    step: int
    """Between the sizes of ``uniform`` and ``multinomial``, from the least listed size to the largest."""
    test_sizes: tuple[int, ...]
    """At which every cell is calibrated and tested; the candidates of fusion and of the adaptive mode too."""
    seeds: tuple[int, ...]
    steps: int
    pixel_budget: int
    """Input pixels of a training step."""
    overlap: int = 64
    """Of neighbouring patches in calibration and test, the same for all."""
    learning_rate: float = 1.5e-3
    ema_decay: float = 0.998
    precision: str = "bf16-mixed"
    accelerator: str = "cpu"
    threads: int = 1
    """Of training and of testing; 0: as many as there are."""
    repeats: int = 1
    """How often a prediction is timed; the quickest counts (a GPU's first pass at a size tunes its kernels)."""
    fused: tuple[int, ...] = (2, 3)
    budgets: tuple[float, ...] = (1.25, 1.5, 2.0)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The grid: seeds outermost, so that a grid that is stopped has whole seeds."""
        trainings = [*(("single", size) for size in self.singles), *((name, None) for name in DYNAMIC)]
        return tuple(
            Cell(dataset=dataset, network=network, distribution=distribution, size=size, seed=seed)
            for seed in self.seeds
            for dataset in self.datasets
            for network in self.networks
            for distribution, size in trainings
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One training and everything that is measured of it."""

    dataset: str
    network: Network
    distribution: str
    size: int | None
    """Of ``single``; None: the preset's sizes."""
    seed: int

    @property
    def training(self) -> str:
        """The training distribution, with its size if it has but one."""
        return self.distribution if self.size is None else f"{self.distribution}-{self.size}"

    @property
    def name(self) -> str:
        """Folder and ``--cell`` name."""
        return f"{self.dataset}-{self.network.name}-{self.training}-s{self.seed}"


UNET = Network(
    name="unet",
    architecture="Unet",
    arguments={"encoder_name": "mobilenet_v2", "decoder_channels": [64, 32, 24, 16, 8]},
    about="U-Net, MobileNetV2 encoder, decoder of 64, 32, 24, 16, 8 channels, from scratch",
)
DILATED = Network(
    name="dilated6pooling",
    architecture="Dilated6Pooling",
    arguments={},
    about="Dilated6Pooling as the paper has it, from scratch",
)
TINY = Network(
    name="tiny",
    architecture="Unet",
    arguments={"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]},
    about="three-level U-Net, ResNet18 encoder: for trying the script",
)

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="gpu",
            datasets=("dubai", "monterey"),
            networks=(UNET, DILATED),
            singles=(128, 256, 384, 512),
            listed=(128, 256, 384, 512),
            step=32,
            test_sizes=(96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 480, 512, 640, 768),
            seeds=(1, 2, 3),
            steps=6000,
            pixel_budget=1_638_400,  # every size from 128 to 512 in steps of 32 uses at least 95 % of it
            accelerator="gpu",
            threads=0,
            repeats=2,
        ),
        Preset(
            name="cpu",
            datasets=("dubai2m",),
            networks=(UNET,),
            singles=(128, 320),
            listed=(128, 224, 320),
            step=32,
            test_sizes=(96, 128, 160, 192, 224, 256, 288, 320, 416),
            seeds=(1,),
            steps=1500,
            pixel_budget=204_800,  # two patches of 320; the others use 81 % (288) to 100 % (160) of it
            ema_decay=0.995,
        ),
        Preset(
            name="smoke",
            datasets=("synthetic",),
            networks=(TINY,),
            singles=(64, 96),
            listed=(64, 96),
            step=8,
            test_sizes=(64, 96),
            seeds=(1,),
            steps=4,
            pixel_budget=18_432,
            overlap=16,
            ema_decay=0.5,
            precision="32-true",
            fused=(2,),
            budgets=(1.5,),
        ),
    )
}


def training_toml(cell: Cell, preset: Preset, dataset: Dataset, *, folder: Path) -> str:
    """The configuration of a cell's training; paths in it start at ``folder``."""
    sizes = preset.listed if cell.size is None else (cell.size,)
    contexts: dict[str, Any] = {"distribution": cell.distribution}
    if cell.distribution != "uniform":
        contexts["sizes"] = list(sizes)
    if cell.distribution in ("uniform", "multinomial"):
        contexts |= {"range": [min(sizes), max(sizes)], "step": preset.step}
    model: dict[str, Any] = {
        "name": cell.name,
        "architecture": cell.network.architecture,
        "bands": ["red", "green", "blue"],
        "context": max(sizes),
        "halo": preset.overlap // 2,
    }
    if dataset.gsd is not None:
        model["gsd"] = dataset.gsd
    training = {
        "steps": preset.steps,
        "pixel_budget": preset.pixel_budget,
        "patch_size": max(sizes),
        "learning_rate": preset.learning_rate,
        "weight_decay": 0.02,
        "label_smoothing": 0.05,
        "ema_decay": preset.ema_decay,
        "balance": 0.7,
        "seed": cell.seed,
        "threads": preset.threads,
        "precision": preset.precision,
        "accelerator": preset.accelerator,
        "checkpoint_every": 100,
        "validate_every": 0,
        "log_every": 25,
    }
    augment = {
        "rotation": 0.5,
        "scale": [0.8, 1.25],
        "brightness": 0.3,
        "contrast": 0.3,
        "saturation": 0.4,
        "cast": 0.1,
        "noise": 0.05,
    }
    scenes = [
        {"image": _from(folder, pair.image), "labels": _from(folder, pair.labels), "weight": pair.weight}
        for pair in dataset.train
    ]
    return to_toml(
        {
            "model": {**model, "arguments": cell.network.arguments},
            "output": {"bundle": "model.safetensors", "work": "work"},
            "training": {**training, "contexts": contexts, "losses": {"cross_entropy": 1.0, "dice": 1.0}},
            "augment": augment,
            "legend": list(dataset.legend),
            "scenes": scenes,
        }
    )


def _from(folder: Path, path: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
