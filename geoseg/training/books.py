"""What a run keeps account of: its time, its log, and where its checkpoint goes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from geoseg.training.validation import Scores

Validate = Callable[[torch.nn.Module], Mapping[str, Scores]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainProgress:
    """Where a run is; what a progress callback gets."""

    step: int
    """Steps done."""
    steps: int
    """Steps at most."""
    share: float
    """Share of the run that is done, by steps or by time."""
    seconds: float
    """Wall time so far, all attempts together."""
    loss: float
    """Mean loss since the last report."""
    learning_rate: float
    """Learning rate of the last step."""
    scores: Mapping[str, Scores] | None = None
    """Validation scores by scene name, where this step was validated."""


class Clock:
    """Wall time of a run over all its attempts."""

    def __init__(self, before: float = 0.0) -> None:
        self._before = before
        self._start = time.monotonic()

    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + time.monotonic() - self._start


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Books:
    """Where the loop writes and whom it asks."""

    checkpoint: Path
    log: Path
    config: Mapping[str, Any]
    """The configuration as plain values."""
    normalisation: Mapping[str, list[float]]
    clock: Clock
    validate: Validate
    progress: Callable[[TrainProgress], None] | None = None


def append_line(log: Path, report: TrainProgress) -> None:
    """Adds a report to a log, one JSON object per line."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(report)) + "\n")


def drop_later_lines(log: Path, *, step: int) -> None:
    """Takes lines after ``step`` out of a log: the steps that a killed run had made since its last checkpoint."""
    if not log.exists():
        return
    kept = []
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError):
            continue  # half a line, from a kill in the middle of writing
    part = log.with_name(f".{log.name}.part")
    part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    part.replace(log)
