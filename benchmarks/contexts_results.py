"""What the cells of `benchmarks/contexts.py` found, read from their folders."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from contexts_cells import Job, measurements
from contexts_grid import Cell

WAYS = {"mean": "mean training score", "weighted": "weighted training score", "calibration": "calibration"}
"""How a size is chosen, by its key in `calibration.json`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """The results of one cell, as far as there are any."""

    cell: Cell
    training: dict[str, Any] | None
    calibration: dict[str, Any] | None
    results: dict[str, dict[str, Any]]
    """By the name of the measurement."""
    missing: tuple[str, ...]
    """Measurements that are not there, of those there are to be."""

    def miou(self, name: str) -> float | None:
        """Test mIoU of a measurement."""
        return self.results[name]["miou"] if name in self.results else None

    def seconds(self, name: str) -> float | None:
        """Its computing seconds per megapixel of the scene."""
        return self.results[name]["seconds_per_megapixel"] if name in self.results else None

    def computed(self, name: str) -> float | None:
        """Pixels it put through the network, all passes together, per pixel of the scene."""
        found = self.results.get(name)
        return None if found is None else found["computed_pixels"] / found["pixels"]

    def first_size(self, name: str) -> int | None:
        """The context it began with on the first test scene, pixels."""
        found = self.results.get(name)
        return None if found is None else found["contexts"][0][0]["size"]

    def selected(self, way: str) -> int | None:
        """The size that a key of ``WAYS`` chooses, pixels."""
        return None if self.calibration is None else self.calibration["selected"][way]

    def selected_miou(self, way: str) -> float | None:
        """Test mIoU at the size that it chooses."""
        return self.miou(f"size_{self.selected(way)}")

    @property
    def own(self) -> float | None:
        """Test mIoU of a fixed-size training at that size."""
        return None if self.cell.size is None else self.miou(f"size_{self.cell.size}")

    @property
    def sizes(self) -> dict[int, float]:
        """Test mIoU by size."""
        found = {int(n.removeprefix("size_")): r["miou"] for n, r in self.results.items() if n.startswith("size_")}
        return dict(sorted(found.items()))

    @property
    def best(self) -> tuple[int, float] | None:
        """The size that turned out best on the test scenes, which nobody can know before, and its mIoU."""
        return max(self.sizes.items(), key=lambda item: item[1]) if self.sizes else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """All outcomes of one dataset and network."""

    dataset: str
    network: str
    outcomes: tuple[Outcome, ...]

    @property
    def trainings(self) -> dict[str, list[Outcome]]:
        """Outcomes by training distribution, one per seed."""
        found: dict[str, list[Outcome]] = {}
        for outcome in self.outcomes:
            found.setdefault(outcome.cell.training, []).append(outcome)
        return found

    @property
    def seeds(self) -> list[int]:
        """Seeds of which there is a tested cell."""
        return sorted({o.cell.seed for o in self.outcomes if o.results})

    def of_seed(self, seed: int) -> list[Outcome]:
        """The tested cells of a seed."""
        return [o for o in self.outcomes if o.cell.seed == seed and o.results]


def outcome(job: Job) -> Outcome:
    """Reads a cell's results."""
    wanted = measurements(job)
    found = {name: result for name in wanted if (result := job.read(name)) is not None}
    calibration = job.read("calibration")
    return Outcome(
        cell=job.cell,
        training=job.read("train"),
        calibration=calibration,
        results=found,
        missing=tuple(name for name in wanted if name not in found),
    )


def groups(jobs: Iterable[Job]) -> list[Group]:
    """The outcomes by dataset and network."""
    found: dict[tuple[str, str], list[Outcome]] = {}
    for job in jobs:
        found.setdefault((job.cell.dataset, job.cell.network.name), []).append(outcome(job))
    return [Group(dataset=d, network=n, outcomes=tuple(outcomes)) for (d, n), outcomes in found.items()]


def known(values: Iterable[float | None]) -> list[float]:
    """The values that are there."""
    return [v for v in values if v is not None]


def mean(values: Sequence[float]) -> float:
    """Their mean."""
    return statistics.fmean(values)


def spread(values: Iterable[float | None], *, digits: int = 3) -> str:
    """The mean, with the standard deviation where there are several; a dash without any."""
    there = known(values)
    if not there:
        return "–"
    text = f"{mean(there):.{digits}f}"
    return text if len(there) == 1 else f"{text} ± {statistics.stdev(there):.{digits}f}"
