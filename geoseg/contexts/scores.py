"""The score table: what each context earned in training.

Nogueira et al. (IEEE TGRS 57(10), 2019, III-C) add the batch's loss or its class-normalised accuracy to the score of
the size that was drawn, and count the draw; the best mean wins. Means over the whole of training average early noise,
so an exponentially weighted score is kept beside them: it forgets the beginning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from geoseg.errors import BundleError

Criterion = Literal["accuracy", "loss"]
"""What a batch earns its context: class-normalised accuracy (higher is better) or the loss (lower is better)."""
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one context earned."""

    size: int
    """The context, pixels."""
    total: float = 0.0
    """Sum of the values."""
    squares: float = 0.0
    """Sum of their squares."""
    count: int = 0
    """Number of values."""
    weighted_total: float = 0.0
    """Sum of the values, each multiplied by ``decay`` for every later one of this context."""
    weighted_count: float = 0.0
    """Sum of those factors."""

    @property
    def mean(self) -> float:
        """Mean of the values; NaN without one."""
        return self.total / self.count if self.count else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of the values (n - 1); NaN with fewer than two."""
        if self.count < 2:
            return math.nan
        return math.sqrt(max(0.0, self.squares - self.total * self.mean) / (self.count - 1))

    @property
    def weighted_mean(self) -> float:
        """Exponentially weighted mean, unbiased from the first value on; NaN without one."""
        return self.weighted_total / self.weighted_count if self.weighted_count else math.nan

    def added(self, value: float, *, decay: float) -> Score:
        """This score and one more value."""
        return Score(
            size=self.size,
            total=self.total + value,
            squares=self.squares + value * value,
            count=self.count + 1,
            weighted_total=self.weighted_total * decay + value,
            weighted_count=self.weighted_count * decay + 1.0,
        )


class ScoreTable:
    """The scores of all contexts that were drawn.

    Args:
        criterion: what the values are.
        decay: of the exponentially weighted mean, per value of a context, 0 < decay < 1.
        scores: what earlier steps earned.
    """

    def __init__(
        self, *, criterion: Criterion = "accuracy", decay: float = 0.99, scores: Mapping[int, Score] = {}
    ) -> None:
        if criterion not in CRITERIA or not 0 < decay < 1:
            raise BundleError(f"scores by {criterion!r} with decay {decay}: by {' or '.join(CRITERIA)}, 0 < decay < 1")
        self.criterion = criterion
        self.decay = decay
        self._scores = dict(scores)

    def add(self, size: int, value: float) -> None:
        """Counts what a batch of patches of ``size`` pixels earned; a value that is no number is not counted."""
        if math.isfinite(value):
            self._scores[size] = self._scores.get(size, Score(size=size)).added(value, decay=self.decay)

    def __getitem__(self, size: int) -> Score:
        return self._scores[size]

    def __iter__(self) -> Iterator[Score]:
        """Scores by rising size."""
        return (self._scores[size] for size in sorted(self._scores))

    def __len__(self) -> int:
        return len(self._scores)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScoreTable) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def to_json(self) -> dict[str, Any]:
        """The table as plain values, exactly; ``from_json`` is the inverse. The means are for readers."""
        return {
            "criterion": self.criterion,
            "decay": self.decay,
            "rows": [
                {
                    "size": s.size,
                    "total": s.total,
                    "squares": s.squares,
                    "count": s.count,
                    "weighted_total": s.weighted_total,
                    "weighted_count": s.weighted_count,
                    "mean": round(s.mean, 6),
                    "weighted_mean": round(s.weighted_mean, 6),
                }
                for s in self
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScoreTable:
        """A table from what ``to_json`` gave.

        Raises:
            BundleError: if an entry is missing or impossible.
        """
        try:
            rows = [
                Score(
                    size=int(row["size"]),
                    total=float(row["total"]),
                    squares=float(row["squares"]),
                    count=int(row["count"]),
                    weighted_total=float(row["weighted_total"]),
                    weighted_count=float(row["weighted_count"]),
                )
                for row in data["rows"]
            ]
            return cls(criterion=data["criterion"], decay=float(data["decay"]), scores={row.size: row for row in rows})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"the table of context scores is damaged: {type(error).__name__} {error}") from error
