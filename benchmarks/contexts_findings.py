"""Sentences that follow from the numbers of `benchmarks/contexts.py`, whichever way they turn out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from contexts_grid import Preset
from contexts_results import WAYS, Group, Outcome, known, mean, spread

SAME = 0.0005
"""mIoU that differs by less is called the same."""


def findings(found: Sequence[Group], *, preset: Preset) -> Iterator[str]:
    """Bulleted sentences per dataset and network; what is not measured is not spoken of."""
    tested = [group for group in found if group.seeds]
    if not tested:
        yield "None yet.\n"
    for group in tested:
        yield f"{group.dataset}, {group.network}:\n"
        yield from (f"- {sentence}" for sentence in _sentences(group, preset=preset))
        yield ""


def _sentences(group: Group, *, preset: Preset) -> Iterator[str]:
    if len(group.seeds) == 1:
        yield (
            "One seed: how much another would change is not measured, so a small difference between two trainings is no"
            " evidence. Differences between ways of using one trained network are exact for it and these scenes."
        )
    yield from _against_single(group)
    yield from _bigger_than_trained(group)
    yield from _choices(group)
    yield from _flatness(group)
    yield from _fusions(group, preset=preset)


def _against_single(group: Group) -> Iterator[str]:
    """Dynamic trainings at the size they choose, against the best fixed size at its own, then both calibrated."""
    trainings = group.trainings
    singles = {name: known(o.own for o in outcomes) for name, outcomes in trainings.items()}
    singles = {name: values for name, values in singles.items() if values}
    dynamic = {name: outcomes for name, outcomes in trainings.items() if outcomes[0].cell.size is None}
    if not singles:
        return
    best = max(singles, key=lambda name: mean(singles[name]))
    listed = ", ".join(f"{name} {spread(values)}" for name, values in singles.items())
    yield (
        f"Trained and tested at one size: {listed}. The best of them, {best}, is the one to beat (it is picked by its"
        " test score, which is in its favour)."
    )
    own = {o: o.own for o in trainings[best]}
    gains = {name: _paired(_calibrated(outcomes), own) for name, outcomes in dynamic.items()}
    won = [name for name, pairs in gains.items() if pairs and mean([a - b for a, b in pairs]) > SAME]
    if any(gains.values()):
        yield (
            f"With the size that calibration chooses, {len(won)} of {sum(bool(p) for p in gains.values())} dynamic"
            f" trainings beat it{': ' + ', '.join(won) if won else ''}."
        )
    for name, outcomes in dynamic.items():
        found = {words: _paired({o: o.selected_miou(way) for o in outcomes}, own) for way, words in WAYS.items()}
        parts = [f"{_compare(pairs)} it by {words}" for words, pairs in found.items() if pairs]
        if parts:
            yield f"{name}, at the size that is chosen: {'; '.join(parts)}."
    fair = {name: known(_calibrated(trainings[name]).values()) for name in singles}
    rival = max((name for name in fair if fair[name]), key=lambda name: mean(fair[name]), default=None)
    if rival is not None:
        theirs = _calibrated(trainings[rival])
        found = {name: _paired(_calibrated(outcomes), theirs) for name, outcomes in dynamic.items()}
        parts = [f"{name} {_compare(pairs)} it" for name, pairs in found.items() if pairs]
        chosen = ", ".join(str(o.selected("calibration")) for o in trainings[rival] if o.calibration)
        if parts:
            yield (
                f"When calibration chooses the test size of the fixed-size trainings too, {rival} (at {chosen} px) is"
                f" the best of them with {spread(fair[rival])}: {'; '.join(parts)}."
            )


def _bigger_than_trained(group: Group) -> Iterator[str]:
    """What calibration alone gives a network that was trained on one size."""
    parts = []
    for name, outcomes in group.trainings.items():
        pairs = _paired(_calibrated(outcomes), {o: o.own for o in outcomes})
        sizes = ", ".join(str(o.selected("calibration")) for o in outcomes if o.calibration)
        if pairs:
            parts.append(f"{name} at {sizes} px {_compare(pairs)} its own size")
    if parts:
        yield f"A network trained on one size, tested at the size calibration chooses for it: {'; '.join(parts)}."


def _choices(group: Group) -> Iterator[str]:
    """How far each way of choosing stays behind the best tested size, over the dynamic trainings."""
    dynamic = [o for o in group.outcomes if o.cell.size is None and o.best]
    losses = {
        words: known(o.best[1] - v if o.best and (v := o.selected_miou(way)) is not None else None for o in dynamic)
        for way, words in WAYS.items()
    }
    losses = {words: values for words, values in losses.items() if values}
    if losses:
        listed = ", ".join(f"{words} {mean(values):.3f}" for words, values in losses.items())
        best = min(losses, key=lambda words: mean(losses[words]))
        yield (
            "mIoU lost against the best tested size, which nobody knows beforehand, mean over the dynamic trainings:"
            f" {listed}. {best[0].upper()}{best[1:]} loses least."
        )


def _flatness(group: Group) -> Iterator[str]:
    """How much the test size matters to each training."""
    ranges = {}
    for name, outcomes in group.trainings.items():
        values = [max(o.sizes.values()) - min(o.sizes.values()) for o in outcomes if len(o.sizes) > 1]
        if values:
            ranges[name] = mean(values)
    if ranges:
        listed = ", ".join(f"{name} {value:.3f}" for name, value in ranges.items())
        yield f"Between its best and its worst test size, mIoU differs by: {listed}."


def _fusions(group: Group, *, preset: Preset) -> Iterator[str]:
    """What fusing and the adaptive mode give over one pass, and cost, over all trainings."""
    names = {f"fused_{k}_{how}": f"K = {k}, {w}" for k in preset.fused for how, w in _FUSE.items()}
    names |= {f"adaptive_{budget}": f"adaptive at budget {budget}" for budget in preset.budgets}
    for name, words in names.items():
        there = [o for o in group.outcomes if name in o.results and "auto" in o.results]
        if not there:
            continue
        time, pixels = (_times(there, name, of=measure) for measure in (Outcome.seconds, Outcome.computed))
        pairs = [(o.results[name]["miou"], o.results["auto"]["miou"]) for o in there]
        yield (
            f"{words}: {_compare(pairs)} one pass at the chosen size, for {time:.2f} times its computing time"
            f" ({pixels:.2f} times its pixels).{_over_first(there, name)}"
        )


def _times(outcomes: Sequence[Outcome], name: str, *, of: Callable[[Outcome, str], float | None]) -> float:
    """What a measurement costs in units of one pass, on average."""
    return mean([cost / one for o in outcomes if (cost := of(o, name)) and (one := of(o, "auto"))])


def _over_first(outcomes: Sequence[Outcome], name: str) -> str:
    """Of the adaptive mode: against its own first pass, which is not that of the best size but of the cheapest good."""
    if not name.startswith("adaptive"):
        return ""
    both = [(o.miou(name), o.miou(f"size_{o.first_size(name)}")) for o in outcomes]
    pairs = [(a, b) for a, b in both if a is not None and b is not None]
    return f" Against its own first pass alone: {_compare(pairs)} it." if pairs else ""


_FUSE = {"score": "weighted by score", "equal": "weighted alike"}


def _calibrated(outcomes: Sequence[Outcome]) -> dict[Outcome, float | None]:
    return {o: o.selected_miou("calibration") for o in outcomes}


def _paired(ours: Mapping[Outcome, float | None], theirs: Mapping[Outcome, float | None]) -> list[tuple[float, float]]:
    """Values of the same seed, where both are there."""
    other = {o.cell.seed: value for o, value in theirs.items()}
    pairs = [(value, other.get(o.cell.seed)) for o, value in ours.items()]
    return [(a, b) for a, b in pairs if a is not None and b is not None]


def _compare(pairs: Sequence[tuple[float, float]]) -> str:
    """The first of each pair against the second, in words."""
    difference = mean([a - b for a, b in pairs])
    words = (
        "the same as" if abs(difference) < SAME else f"{abs(difference):.3f} {'above' if difference > 0 else 'below'}"
    )
    if len(pairs) == 1:
        return f"{pairs[0][0]:.3f}, {words}"
    wins = sum(a > b for a, b in pairs)
    return f"{mean([a for a, _ in pairs]):.3f} on average, higher in {wins} of {len(pairs)}, {words}"
