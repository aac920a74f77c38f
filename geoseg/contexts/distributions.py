"""How a training step draws its context: the four distributions of Nogueira et al. (IEEE TGRS 57(10), 2019, III-B).

A draw is a function of the seed and the step and of nothing else, so a resumed run draws what an uninterrupted one
would have drawn, and there is no state to keep.
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from geoseg.contexts.candidates import SizeRule, candidate_sizes
from geoseg.errors import PlanError

DistributionName = Literal["single", "uniform-fixed", "uniform", "multinomial"]
"""``single``: one fixed size. ``uniform-fixed``: the listed sizes alike. ``uniform``: every size of a range alike.
``multinomial``: every size of a range, the listed ones twice as likely."""
DISTRIBUTIONS: tuple[DistributionName, ...] = get_args(DistributionName)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Sizes and how likely each is.

    Raises:
        PlanError: if there is no size, one stands twice, or the weights are not positive and as many.
    """

    sizes: tuple[int, ...]
    """Contexts in rising order, pixels."""
    weights: tuple[int, ...]
    """Relative odds, one per size."""

    def __post_init__(self) -> None:
        rising = list(self.sizes) == sorted(set(self.sizes))
        if not self.sizes or not rising or len(self.sizes) != len(self.weights) or min(self.weights) < 1:
            raise PlanError(f"contexts {self.sizes} with odds {self.weights}: rising sizes, as many positive odds")

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Probability of each size; they sum to 1."""
        total = sum(self.weights)
        return tuple(w / total for w in self.weights)

    def size_at(self, step: int, *, seed: int) -> int:
        """The context of a step: the same for the same seed and step, whatever was drawn before."""
        running = list(itertools.accumulate(self.weights))
        drawn = random.Random(f"context {seed} {step}").randrange(running[-1])  # noqa: S311 - no secret
        return self.sizes[bisect.bisect_right(running, drawn)]


def make_distribution(
    name: DistributionName,
    *,
    sizes: Sequence[int],
    span: tuple[int, int] | None = None,
    step: int | None = None,
    rule: SizeRule,
) -> Distribution:
    """One of the paper's distributions over the sizes a network takes.

    Args:
        name: see :data:`DistributionName`.
        sizes: the listed sizes, pixels; one for ``single``.
        span: (lowest, highest) size of ``uniform`` and ``multinomial``, pixels; None: of the listed ones.
        step: pixels between the sizes of the span; None: the network's multiple (the paper's networks take every
            integer, so theirs is 1).
        rule: what the network takes. A listed size that it does not take is refused, not dropped: somebody meant it.

    Raises:
        PlanError: if a size does not fit the network or the distribution; the message names those that would.
    """
    if name not in DISTRIBUTIONS:
        raise PlanError(f"distribution {name!r}: there are {', '.join(DISTRIBUTIONS)}")
    for size in sizes:
        reason = rule.refusal(size)
        if reason is not None:
            raise PlanError(f"a context of {reason}")
    if name == "single":
        if len(set(sizes)) != 1:
            raise PlanError(f"distribution 'single' is of one size, not of {len(set(sizes))}: use 'uniform-fixed'")
        return Distribution(sizes=(sizes[0],), weights=(1,))
    listed = frozenset(sizes)
    if name == "uniform-fixed":
        if not listed:
            raise PlanError("distribution 'uniform-fixed' needs a list of sizes")
        return Distribution(sizes=tuple(sorted(listed)), weights=(1,) * len(listed))
    if span is None:
        if len(listed) < 2:
            raise PlanError(f"distribution {name!r} needs a range of sizes, or at least two listed ones as its ends")
        span = (min(listed), max(listed))
    if name == "multinomial" and not listed:
        raise PlanError("distribution 'multinomial' needs listed sizes, which are twice as likely as the others")
    every = candidate_sizes(sorted(listed) if name == "multinomial" else (), span=span, step=step, rule=rule)
    weights = tuple(2 if name == "multinomial" and s in listed else 1 for s in every)
    return Distribution(sizes=every, weights=weights)
