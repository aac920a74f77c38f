"""Checkpoints: tensors and plain values only, read with ``weights_only=True``, written whole or not at all."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from geoseg.errors import ConfigError, OutputError
from geoseg.training.settings import AugmentConfig, ContextsConfig, FitConfig, ModelConfig, SceneConfig

FORMAT = 2
NAME = "checkpoint.pt"

_FREE = (
    "training.checkpoint_every",
    "training.validate_every",
    "training.log_every",
    "training.time_limit_minutes",
    "training.threads",
    "training.loaders",
    "model.name",
    "model.description",
    "model.licence",
    "model.context",
    "model.halo",
    "bundle",
    "work",
)
"""Entries that may change between a run and its resumption, because they do not change what is learnt."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A run at the end of a step."""

    config: Mapping[str, Any]
    """The configuration as plain values."""
    step: int
    """Steps done."""
    seconds: float
    """Wall time they took, all attempts together."""
    network: Mapping[str, torch.Tensor]
    average: Mapping[str, torch.Tensor]
    """The averaged weights."""
    optimiser: Mapping[str, Any]
    normalisation: Mapping[str, list[float]]
    scores: Mapping[str, Any]
    """The contexts' score table as plain values."""
    adversary: Mapping[str, Any] | None = None
    """State of the adversary, where the loss has one."""


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint, replacing the one before only when this one is whole.

    Raises:
        OutputError: if it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    data = {
        "format": FORMAT,
        "config": json.dumps(checkpoint.config),
        "step": checkpoint.step,
        "seconds": checkpoint.seconds,
        "network": dict(checkpoint.network),
        "average": dict(checkpoint.average),
        "optimiser": dict(checkpoint.optimiser),
        "normalisation": dict(checkpoint.normalisation),
        "scores": json.dumps(checkpoint.scores),
        "adversary": checkpoint.adversary,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            torch.save(data, stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch's zip writer answers a full disk with a RuntimeError
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise OutputError(f"cannot write the checkpoint {path}: {error}; free space or change output.work") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint; nothing but tensors and plain values is unpickled.

    Raises:
        ConfigError: if it is none of ours, damaged, or of another format; the way out is a restart.
    """
    try:
        return _from_plain(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(f"{path} is not a checkpoint of this run ({reason:.120}); --restart starts over") from error


def _from_plain(data: Any) -> Checkpoint:
    if not isinstance(data, dict):
        raise TypeError(f"{type(data).__name__}, not a dictionary")
    if data["format"] != FORMAT:
        raise ValueError(f"format {data['format']}, this geoseg reads {FORMAT}")
    return Checkpoint(
        config=json.loads(data["config"]),
        step=int(data["step"]),
        seconds=float(data["seconds"]),
        network=data["network"],
        average=data["average"],
        optimiser=data["optimiser"],
        normalisation=data["normalisation"],
        scores=json.loads(data["scores"]),
        adversary=data.get("adversary"),
    )


def refuse_other_config(found: Mapping[str, Any], wanted: Mapping[str, Any], *, path: Path) -> None:
    """Refuses to go on from a checkpoint of another configuration.

    An entry that the checkpoint lacks, because a later geoseg brought it, had what is now its default.

    Raises:
        ConfigError: naming the first entry that differs, with both values.
    """
    before, now = _complete(found), _complete(wanted)
    for key in sorted(before.keys() | now.keys()):
        if key not in _FREE and before.get(key) != now.get(key):
            raise ConfigError(
                f"{key} is {now.get(key)!r:.80}, but {path} was begun with {before.get(key)!r:.80};"
                " change it back, choose another output.work, or start over with --restart"
            )


def _complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration's entries under dotted names, with today's defaults for those it lacks."""
    training = asdict(FitConfig(steps=0))
    if config.get("training", {}).get("contexts") is not None:
        training["contexts"] = asdict(ContextsConfig())
    usual = {
        "model": asdict(ModelConfig(name="")),
        "scenes": [asdict(SceneConfig(image="", labels="")) for _ in config.get("scenes", ())],
        "training": training,
        "augment": asdict(AugmentConfig()),
    }
    return _flat(json.loads(json.dumps(usual))) | _flat(config)  # tuples as the lists they are in a checkpoint


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries and lists of dictionaries as one level with dotted names."""
    if isinstance(value, Mapping):
        pairs = [(f"{prefix}.{k}" if prefix else str(k), v) for k, v in value.items()]
    elif isinstance(value, list) and any(isinstance(v, Mapping) for v in value):
        pairs = [(f"{prefix}[{i}]", v) for i, v in enumerate(value)]
    else:
        return {prefix: value}
    return {key: leaf for name, v in pairs for key, leaf in _flat(v, name).items()}
