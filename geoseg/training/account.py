"""The card of a trained model: what was made, from what, how, and how good it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from geoseg.contexts.candidates import SizeRule
from geoseg.contexts.distributions import Distribution
from geoseg.contexts.scores import ScoreTable
from geoseg.models.card import Card, Normalisation
from geoseg.models.measure import activation_bytes_per_pixel, macs_per_pixel
from geoseg.training.settings import TrainConfig
from geoseg.training.validation import Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a run found out, beside its configuration."""

    dtype: str
    """Data type of the scenes."""
    normalisation: Normalisation
    rule: SizeRule
    """Which sides of patches the network takes."""
    contexts: Distribution
    """What its training drew."""
    context_scores: ScoreTable
    """What they earned."""
    steps: int
    """Steps made."""
    seconds: float
    """Wall time they took."""
    scores: Mapping[str, Scores]
    """Validation scores by scene name."""


def describe(config: TrainConfig, network: nn.Module, run: RunFacts) -> Card:
    """The card; measures what the network costs per pixel on the way."""
    model, bands = config.model, len(config.model.bands)
    side = run.rule.near(8 * max(run.rule.multiple, 32))[-1]
    return Card(
        name=model.name,
        description=model.description,
        architecture=model.architecture,
        arguments=dict(model.arguments),
        bands=model.bands,
        dtype=run.dtype,
        normalisation=run.normalisation,
        gsd=model.gsd,
        legend=config.legend,
        multiple=run.rule.multiple,
        least=run.rule.least,
        only=run.rule.only,
        patch_sizes=run.contexts.sizes,
        context_scores=run.context_scores if len(run.contexts.sizes) > 1 else None,
        context=model.context,
        halo=model.halo,
        activation_bytes_per_pixel=round(activation_bytes_per_pixel(network, bands=bands, side=side), 1),
        macs_per_pixel=round(macs_per_pixel(network, bands=bands, side=side), 1),
        training=_account(config, run),
        metrics={name: _plain(scores) for name, scores in run.scores.items()},
        licence=model.licence,
        version=_version(),
    )


def _account(config: TrainConfig, run: RunFacts) -> dict[str, Any]:
    """What somebody needs to judge or repeat the run."""
    return {
        **dataclasses.asdict(config.training),
        "start": Path(config.model.start).name,
        "steps": run.steps,
        "steps_planned": config.training.steps,
        "minutes": round(run.seconds / 60, 1),
        "scenes": [
            {"name": s.name, "image": Path(s.image).name, "split": s.split, "weight": s.weight} for s in config.scenes
        ],
        "augment": dataclasses.asdict(config.augment),
        "torch": torch.__version__,
    }


def _plain(scores: Scores) -> dict[str, Any]:
    return {
        "miou": round(scores.miou, 4),
        "overall_accuracy": round(scores.overall_accuracy, 4),
        "iou": {name: round(value, 4) for name, value in scores.iou.items()},
        "pixels": scores.pixels,
    }


def _version() -> str:
    try:
        return metadata.version("geoseg")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return ""
