"""Candidate contexts: the patch sizes a network takes, out of those somebody listed or a range.

Nogueira et al., "Dynamic Multicontext Segmentation of Remote Sensing Images Based on Convolutional Networks", IEEE TGRS
57(10), 2019, train one network on patches of many sizes. Their networks keep full resolution and take any; pooled ones
take multiples of their total downsampling, and some (vision transformers) only the sizes they were built for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geoseg.errors import PlanError


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRule:
    """Which patch sides a network takes, pixels."""

    multiple: int = 1
    """Sides are multiples of it."""
    least: int = 1
    """The smallest side."""
    only: tuple[int, ...] = ()
    """The only sides, for networks of fixed size; empty: no such limit."""

    def __post_init__(self) -> None:
        if self.multiple < 1 or self.least < 1 or any(s < 1 for s in self.only):
            raise PlanError(f"multiple {self.multiple}, least {self.least}, only {self.only}: sizes are positive")

    def refusal(self, size: int) -> str | None:
        """Why a side is not taken, with the nearest that are; None if it is taken."""
        if self.only and size not in self.only:
            return f"{size} px: the network takes {_listed(self.only)} px only"
        if not self.only and (size < self.least or size % self.multiple):
            return f"{size} px: the network takes {self.describe()}; the nearest are {_listed(self.near(size))} px"
        return None

    def near(self, size: int) -> tuple[int, ...]:
        """The sides nearest to ``size`` that are taken: one, or the two about it."""
        if self.only:
            return (min(self.only, key=lambda s: (abs(s - size), s)),)
        least = -(-self.least // self.multiple) * self.multiple
        below = max(least, size // self.multiple * self.multiple)
        above = max(least, -(-size // self.multiple) * self.multiple)
        return (below,) if below == above else (below, above)

    def at_least(self, side: int) -> int:
        """The smallest side taken that is no smaller than ``side``, pixels; the largest taken if there is none."""
        if self.only:
            return min((s for s in self.only if s >= side), default=max(self.only))
        return self.near(side)[-1]

    def describe(self) -> str:
        """The rule in words."""
        if self.only:
            return f"sides of {_listed(self.only)} px only"
        rule = f"multiples of {self.multiple}" if self.multiple > 1 else "any side"
        return rule if self.least <= self.multiple else f"{rule} from {self.near(self.least)[0]} px"


def candidate_sizes(
    sizes: Sequence[int] = (), *, span: tuple[int, int] | None = None, step: int | None = None, rule: SizeRule
) -> tuple[int, ...]:
    """The candidates in rising order: those listed, or every ``step`` pixels of a span, that the network takes.

    Args:
        sizes: listed sides, pixels.
        span: (lowest, highest) side, both included; with ``sizes`` too, their union.
        step: pixels between the sides of the span; None: the network's multiple. Counted from the lowest side that is
            a multiple of it.
        rule: what the network takes.

    Raises:
        PlanError: if no candidate is left, or the span is empty; the message names sides that would do.
    """
    wanted = set(sizes)
    if any(s < 1 for s in wanted):
        raise PlanError(f"contexts of {_listed(sorted(wanted))} px: sizes are positive")
    if span is not None:
        low, high = span
        if not 1 <= low <= high:
            raise PlanError(f"a range of contexts from {low} to {high} px: give the smallest first, from 1 on")
        if rule.only:
            wanted |= {s for s in rule.only if low <= s <= high}
        else:
            by = rule.multiple if step is None else step
            if by < 1:
                raise PlanError(f"a step of {by} px between contexts: use {rule.multiple} or a multiple of it")
            wanted |= set(range(-(-low // by) * by, high + 1, by))
    found = tuple(sorted(s for s in wanted if rule.refusal(s) is None))
    if not found:
        asked = _listed(sorted(wanted)) if wanted else f"{span[0]} to {span[1]}" if span else "no"
        middle = sorted(wanted)[len(wanted) // 2] if wanted else (sum(span) // 2 if span else rule.least)
        raise PlanError(
            f"no context among {asked} px fits the network, which takes {rule.describe()};"
            f" {_listed(rule.near(middle))} px would"
        )
    return found


def _listed(sizes: Sequence[int]) -> str:
    """Sizes for a message; many are cut short."""
    names = [str(s) for s in sizes]
    return ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:3])} … {names[-1]}"


def ladder(sizes: Sequence[int], *, rule: SizeRule, above: int = 0) -> tuple[int, ...]:
    """Contexts worth measuring for a network that was trained on ``sizes``: about half an octave apart.

    From the smallest size it was trained on to twice the largest: prediction may see farther than training did.

    Args:
        sizes: contexts of the training, pixels.
        rule: what the network takes.
        above: every context is larger than this (the overlap), pixels.

    Raises:
        PlanError: if no size is left.
    """
    if rule.only:
        return candidate_sizes(rule.only, rule=rule)
    low, high = max(min(sizes), above + rule.multiple), 2 * max(*sizes, above)
    wanted, size = {rule.near(high)[-1]}, float(low)
    while size < high * 0.9:
        near = rule.near(round(size))
        wanted.add(min(near, key=lambda s: (abs(s - size), s)))
        size *= 2**0.5
    return candidate_sizes([s for s in sorted(wanted) if s > above], rule=rule)
