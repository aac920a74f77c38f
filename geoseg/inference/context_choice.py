"""Chooses the contexts of a run: what was asked for, or the best of the card's that the machine's memory takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from geoseg.choices import Contexts, Fuse
from geoseg.contexts.selection import Rated, fusion_weights, ranked, rated
from geoseg.errors import PlanError
from geoseg.geometry.lattice import Lattice
from geoseg.models.source import ModelSource

TIE = 0.005
"""Calibrated mean IoUs closer than this are ties, and go to the cheaper context: what one scene says of a smaller
difference did not hold on another (benchmarks/contexts.md)."""

ALIKE = 0.05
"""Costs closer than this share are alike, and the smaller context needs less memory."""

DEAR = 5.0
"""Contexts that compute more than this many pixels per pixel of the scene are left out while there are others: the
paper's half-overlapping patches compute 4."""

SLOWER = 1.25
"""A context that takes more than this many times the quickest's time per pixel is dearer by that much."""

GOOD = 0.02
"""An adaptive run begins with the cheapest context whose score is at most this much below the best."""

ADAPTIVE_CONTEXTS = 3
"""Contexts of an adaptive run, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The contexts of a run, the first one first."""

    sizes: tuple[int, ...]
    """Pixels."""
    weights: tuple[float, ...]
    """In the fusion; they sum to 1."""
    reason: str
    """Why these, for the plan."""
    scored: bool = True
    """False if there were no scores to choose by."""
    ranking: tuple[tuple[int, str], ...] = ()
    """All contexts that could be used, pixels, from best to worst, each with its score in words."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """What the card says of its contexts."""

    entries: tuple[Rated, ...]
    seconds: dict[int, float] | None
    """Per megapixel, where it was measured."""
    score: str
    """What is counted."""
    where: str
    """On what it was measured, which is never the scene of the run."""
    tie: float

    def describe(self, entry: Rated) -> str:
        return f"the card's {self.score} {abs(entry.value):.3f}"

    def explain(self, entry: Rated) -> str:
        return f"by the model's card: {self.score} {abs(entry.value):.3f} {self.where}"


def choose_contexts(
    model: ModelSource,
    *,
    contexts: Contexts,
    fuse: Fuse,
    lattice_of: Callable[[int], Lattice],
    fits: Callable[[Lattice], bool],
    rate: Callable[[Lattice], float | None] = lambda _: None,
) -> Choice:
    """The best context of the model's card, the best few, or those of an adaptive run.

    Args:
        model: its calibration counts, else the scores of its training, else its own default.
        contexts: how many to fuse, or ``adaptive``.
        fuse: weights of the fusion.
        lattice_of: the lattice of a context on the scene; raises PlanError where there is none.
        fits: True if memory takes a lattice.
        rate: seconds per pixel that patches of a lattice were measured to take here; None where that is not known.

    Raises:
        PlanError: if the card has no scores and more than one context is wanted, or none of its contexts can be used.
    """
    table = _table(model)
    if table is None:
        if contexts != 1:
            raise PlanError(
                f"{model.name} has no scores of contexts to choose several by: measure them with"
                " `geoseg calibrate`, or train with [training.contexts]"
            )
        why = f"{model.name} has no scores of contexts (`geoseg calibrate` measures them): its training's own is taken"
        said = () if model.path is None else (why,)  # a module has no card that could have some
        return Choice(sizes=(model.context,), weights=(1.0,), reason="the model's own", scored=False, notes=said)
    usable, notes = _usable(table, lattice_of, fits)
    cost = _cost(table, usable, rate)
    entries = [e for e in table.entries if e.size in usable]
    order = ranked(entries, cost=cost, tolerance=table.tie, slack=ALIKE)
    best = order[0]
    if contexts == "adaptive":
        good = [e for e in order if e.value >= best.value - GOOD]
        first = min(good, key=lambda e: (cost(e.size), -e.value))
        others = sorted((e for e in order if e is not first), key=lambda e: -e.value)
        kept = _differing([first, *others], usable)[:ADAPTIVE_CONTEXTS]
        reason = (
            f"{first.size} px is the cheapest within {GOOD} of the best of {len(order)} patch sizes"
            f" {table.explain(first)}"
        )
    else:
        kept = _differing(order, usable)[:contexts]
        reason = f"best of {len(order)} patch sizes {table.explain(best)}"
    return Choice(
        sizes=tuple(e.size for e in kept),
        weights=fusion_weights(kept, equal=fuse == "equal"),
        reason=reason,
        notes=tuple(notes),
        ranking=tuple((e.size, table.describe(e)) for e in order),
    )


def shortage(contexts: Contexts, count: int) -> str | None:
    """What to say if a scene and its memory leave fewer contexts than were asked for."""
    if contexts == "adaptive":
        return "only one context can be used on this scene: nothing will be run again" if count == 1 else None
    return f"{contexts} contexts were asked for, {count} differ on this scene" if count < contexts else None


def distinct(lattices: Sequence[Lattice]) -> list[int]:
    """The indices of lattices without those whose patches are within one multiple of an earlier one's."""
    kept: list[int] = []
    for k, lattice in enumerate(lattices):
        step = lattice.rows.multiple
        others = (lattices[i].patch for i in kept)
        if all(any(abs(a - b) > step for a, b in zip(lattice.patch, other, strict=True)) for other in others):
            kept.append(k)
    return kept


def _table(model: ModelSource) -> _Table | None:
    if model.calibration is not None:
        found = model.calibration
        few = len(found.scenes) < 3
        scenes = f"calibration scene{'s' * (len(found.scenes) > 1)}"
        where = f"on its {scenes} {' and '.join(found.scenes)}" if few else f"on its {len(found.scenes)} {scenes}"
        return _Table(entries=found.rated(), seconds=found.seconds(), score="mIoU", where=where, tie=TIE)
    if model.context_scores is not None and len(model.context_scores):
        scores = model.context_scores
        return _Table(entries=rated(scores), seconds=None, score=scores.criterion, where="in its training", tie=0.0)
    return None


def _usable(
    table: _Table, lattice_of: Callable[[int], Lattice], fits: Callable[[Lattice], bool]
) -> tuple[dict[int, Lattice], list[str]]:
    """The contexts that the scene and memory take, with their lattices; and what was left out.

    Raises:
        PlanError: if none is left; the message says which context would do.
    """
    found: dict[int, Lattice] = {}
    refused: list[str] = []
    too_large: list[int] = []
    for entry in table.entries:
        try:
            lattice = lattice_of(entry.size)
        except PlanError as error:
            refused.append(str(error))
            continue
        if fits(lattice):
            found[entry.size] = lattice
        else:
            too_large.append(entry.size)
    if not found and too_large:
        smaller = _that_fits(min(too_large), lattice_of, fits)
        way = f"use --patch-size {smaller}" if smaller else "it needs a machine with more memory"
        raise PlanError(f"none of the model's contexts ({_listed(too_large)} px) fits this machine's memory: {way}")
    if not found:
        raise PlanError(f"none of the model's contexts can be used: {refused[0]}")
    notes = [f"a context is left out: {reason}" for reason in refused]
    dear = {size: ratio for size, lattice in found.items() if (ratio := _ratio(lattice)) > DEAR}
    if dear and len(dear) < len(found):
        listed = ", ".join(f"{size} px ({ratio:.1f} x the scene's pixels)" for size, ratio in dear.items())
        notes.append(f"contexts are left out for what they cost at this overlap: {listed}")
        found = {size: lattice for size, lattice in found.items() if size not in dear}
    if too_large:
        notes.append(f"contexts of {_listed(too_large)} px are left out: they need more memory than there is")
    return found, notes


def _that_fits(size: int, lattice_of: Callable[[int], Lattice], fits: Callable[[Lattice], bool]) -> int | None:
    """A smaller context that memory takes: three quarters of three quarters of … this one."""
    while size > 1:
        size = size * 3 // 4
        try:
            lattice = lattice_of(size)
        except PlanError:
            continue
        if fits(lattice):
            return lattice.patch[0]
    return None


def _cost(table: _Table, usable: dict[int, Lattice], rate: Callable[[Lattice], float | None]) -> Callable[[int], float]:
    """Pixels computed per pixel of this scene; times what makes it markedly slower than others, where that is known.

    By what was measured on this machine, else when the card's contexts were. Small differences of measured time are the
    machine's mood, so they do not count.
    """
    here = {size: found for size, lattice in usable.items() if (found := rate(lattice)) is not None}
    seconds = here if len(here) == len(usable) else table.seconds or {}
    quickest = min((seconds[size] for size in usable if size in seconds), default=0.0)

    def computed(size: int) -> float:
        ratio = _ratio(usable[size])
        return ratio * max(1.0, seconds[size] / (SLOWER * quickest)) if quickest > 0 else ratio

    return computed


def _ratio(lattice: Lattice) -> float:
    """Pixels computed per pixel of the scene."""
    return lattice.count * lattice.patch[0] * lattice.patch[1] / (lattice.shape[0] * lattice.shape[1])


def _differing(entries: Sequence[Rated], lattices: dict[int, Lattice]) -> list[Rated]:
    """The entries that are different patches on this scene."""
    return [entries[k] for k in distinct([lattices[e.size] for e in entries])]


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(str(s) for s in sizes)
