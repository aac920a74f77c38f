"""Which context to predict with: the one that earned the best score, or the best few.

Nogueira et al. (IEEE TGRS 57(10), 2019, III-C): the size with the best mean score wins, highest accuracy or lowest
loss; the multi-scale variant fuses the K best.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from geoseg.contexts.scores import ScoreTable
from geoseg.errors import PlanError

_LEAST_SHARE = 0.25  # of the mean count: a context drawn less often than that has no score to speak of


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """A context and how good it is; what selection works on, whatever the values come from."""

    size: int
    """The context, pixels."""
    value: float
    """Higher is better."""
    count: int = 1
    """How many values it is the mean of."""


def rated(table: ScoreTable, *, weighted: bool = True) -> tuple[Rated, ...]:
    """The contexts of a training's score table, by rising size; losses are negated so that higher is better.

    Args:
        table: the scores.
        weighted: take the exponentially weighted means; False: the paper's plain ones.
    """
    sign = -1.0 if table.criterion == "loss" else 1.0
    return tuple(
        Rated(size=s.size, value=sign * (s.weighted_mean if weighted else s.mean), count=s.count) for s in table
    )


def ranked(
    entries: Sequence[Rated],
    *,
    cost: Callable[[int], float] | None = None,
    tolerance: float = 0.0,
    slack: float = 0.0,
    least_count: int | None = None,
) -> tuple[Rated, ...]:
    """The contexts from best to worst.

    Args:
        entries: what is known of each.
        cost: what a context costs, in any unit; among those within ``tolerance`` of the best that is left the
            cheapest comes first.
        tolerance: values closer than this are ties.
        slack: of ties whose costs differ by less than this share, the smallest comes first: it needs least memory.
        least_count: contexts with fewer values are left out; None: a quarter of the mean count. If that leaves none,
            all with a value stay.

    Raises:
        PlanError: if no entry has a value.
    """
    known = [e for e in entries if math.isfinite(e.value) and e.count > 0]
    if not known:
        raise PlanError("no context has a score: train with several, or measure them with `geoseg calibrate`")
    least = _LEAST_SHARE * sum(e.count for e in known) / len(known) if least_count is None else least_count
    waiting = [e for e in known if e.count >= least] or known
    found = []
    while waiting:
        best = max(e.value for e in waiting)
        ties = [e for e in waiting if e.value >= best - tolerance]
        price = {e.size: 0.0 if cost is None else cost(e.size) for e in ties}
        least_price = min(price.values())
        first = min((e for e in ties if price[e.size] <= least_price * (1 + slack)), key=lambda e: e.size)
        found.append(first)
        waiting.remove(first)
    return tuple(found)


def fusion_weights(entries: Sequence[Rated], *, equal: bool = False) -> tuple[float, ...]:
    """Weights for fusing contexts, summing to 1: all alike, or in proportion to the scores.

    Scores that are not all positive (losses) are turned into ``exp(value - best)``, which is 1 for the best.
    """
    if equal or not entries:
        return tuple(1 / len(entries) for _ in entries)
    values = [e.value for e in entries]
    if min(values) <= 0:
        values = [math.exp(v - max(values)) for v in values]
    return tuple(v / sum(values) for v in values)
