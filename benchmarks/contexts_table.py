"""`benchmarks/contexts.md`: the tables of what is finished, what is missing, and what follows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from common import table
from contexts_cells import Job
from contexts_findings import findings
from contexts_grid import PRESETS, Dataset, Preset
from contexts_results import WAYS, Group, Outcome, groups, known, mean, spread


def report(jobs: Sequence[Job], *, preset: Preset, datasets: Mapping[str, Dataset]) -> str:
    """The whole page.

    Args:
        jobs: the whole grid, finished or not.
        preset: its preset.
        datasets: by name.
    """
    found = groups(jobs)
    parts = [
        "# Contexts: what training on many patch sizes gives\n",
        f"Written by `{_command(found, preset=preset)}` from the cells that are finished.\n",
        *_conditions(found, preset=preset),
        *_missing(found, preset=preset),
        "## Findings\n",
        *findings(found, preset=preset),
    ]
    for group in found:
        if any(o.results for o in group.outcomes):
            parts += [f"## {group.dataset}, {group.network}\n", datasets[group.dataset].about + "\n"]
            parts += _group(group, preset=preset)
    parts += _cells(found)
    return "\n".join(parts) + "\n"


def _command(found: Sequence[Group], *, preset: Preset) -> str:
    """The command that makes these cells: the preset, with the budget that they had if it is another."""
    trained = [o.training for group in found for o in group.outcomes if o.training]
    parts = [f"python benchmarks/contexts.py --preset {preset.name}"]
    for key, own in (("steps", preset.steps), ("pixel_budget", preset.pixel_budget)):
        values = {t[key] for t in trained}
        if len(values) == 1 and values != {own}:
            parts.append(f"--{key.replace('_', '-')} {values.pop()}")
    return " ".join(parts)


def _conditions(found: Sequence[Group], *, preset: Preset) -> Iterator[str]:
    outcomes = [o for group in found for o in group.outcomes]
    trained = [o.training for o in outcomes if o.training]
    machines = sorted({r["machine"] for o in outcomes for r in [*o.results.values(), o.training] if r})
    yield "## What was run\n"
    yield f"- {'; '.join(machines) or 'Nothing yet'}. Other work ran there too: read seconds as ratios."
    for network in preset.networks:
        yield f"- Network `{network.name}`: {network.about}."
    if trained:
        budgets = sorted({(t["steps"], t["pixel_budget"]) for t in trained})
        shown = ", ".join(f"{steps:,} steps of at most {pixels:,} pixels" for steps, pixels in budgets)
        minutes = " to ".join(sorted({f"{f(t['seconds'] / 60 for t in trained):.0f}" for f in (min, max)}, key=float))
        how = ", ".join(sorted({f"{t['accelerator']}, {t['precision']}, threads: {t['threads']}" for t in trained}))
        yield f"- Trainings: {shown}; {minutes} minutes each ({how})."
        if len(budgets) > 1:
            yield "  **Not all cells had the same budget: do not compare them.**"
    low, high = min(preset.listed), max(preset.listed)
    yield (
        f"- Fixed sizes {_listed(preset.singles)} px, each with a training of its own; uniform-fixed over"
        f" {_listed(preset.listed)} px; uniform and multinomial over {low} to {high} px in steps of {preset.step}."
        f" A batch is as many patches as the budget takes: {_use(preset)}."
    )
    yield (
        f"- Tested at {_listed(preset.test_sizes)} px as a user gets them (fitted to the scene within an eighth), with"
        f" an overlap of {preset.overlap} px for all, so small patches cost more. Seconds are those of the network's"
        " arithmetic per 10⁶ scene pixels. mIoU is on the summed counts of the test scenes."
    )


def _use(preset: Preset) -> str:
    """How many patches of each size a step takes, and how much of the budget that is."""
    counts = [(size, max(1, preset.pixel_budget // size**2)) for size in preset.listed]
    return ", ".join(f"{n} of {size} px ({n * size**2 / preset.pixel_budget:.0%})" for size, n in counts)


def _missing(found: Sequence[Group], *, preset: Preset) -> Iterator[str]:
    outcomes = [o for group in found for o in group.outcomes]
    yield "\n## What was not run\n"
    untrained = [o.cell.name for o in outcomes if o.training is None]
    untested = [o.cell.name for o in outcomes if o.training and not o.results]
    partly = [f"{o.cell.name} ({', '.join(o.missing)})" for o in outcomes if o.results and o.missing]
    yield f"Of {len(outcomes)} cells {len(outcomes) - len(untrained) - len(untested) - len(partly)} are finished.\n"
    for title, names in (("Not trained", untrained), ("Trained, not tested", untested), ("Partly tested", partly)):
        if names:
            yield f"- {title}: {', '.join(names)}."
    if preset.name == "cpu":
        full = PRESETS["gpu"]
        yield (
            f"- The full grid (`--preset gpu`): {', '.join(full.datasets)} at full resolution, networks"
            f" {', '.join(n.name for n in full.networks)}, {len(full.singles)} fixed sizes and three distributions,"
            f" {len(full.seeds)} seeds: {len(full.cells)} cells. It needs a GPU; this page is of what runs without one:"
            f" {', '.join(preset.datasets)}, {', '.join(n.name for n in preset.networks)},"
            f" {len(preset.seeds)} seed{'s' * (len(preset.seeds) > 1)}."
        )
    yield ""


def _group(group: Group, *, preset: Preset) -> Iterator[str]:
    """The tables of a dataset and network."""
    trainings = {name: [o for o in outcomes if o.results] for name, outcomes in group.trainings.items()}
    trainings = {name: outcomes for name, outcomes in trainings.items() if outcomes}
    several = len(group.seeds) > 1
    yield f"Seeds: {len(group.seeds)}.{' Values are means ± standard deviations over them.' if several else ''}\n"
    yield "### mIoU at every test size\n"
    sizes = sorted({size for outcomes in trainings.values() for o in outcomes for size in o.sizes})
    rows = [[name, *_row_of_sizes(outcomes, sizes)] for name, outcomes in trainings.items()]
    everything = [o for outcomes in trainings.values() for o in outcomes]
    costs = [spread([_mean_or_none(o.seconds(f"size_{s}") for o in everything)], digits=2) for s in sizes]
    yield table(["training", *(f"{s} px" for s in sizes)], [*rows, ["s per megapixel", *costs]])
    yield "\nBold: the training's best size on the test scenes.\n"
    yield "### The size that is chosen, and the mIoU it gets\n"
    header = ["training", "at its own size", *(f"by {words}" for words in WAYS.values()), "`auto`", "best tested"]
    yield table(header, [_row_of_choices(name, outcomes) for name, outcomes in trainings.items()])
    yield "\n### Fusion and the adaptive mode\n"
    names = ["auto"]
    names += [f"fused_{k}_{how}" for k in preset.fused for how in ("score", "equal")]
    names += [f"adaptive_{budget}" for budget in preset.budgets]
    titles = ["one size (`auto`)"]
    titles += [f"K = {k}, {how}" for k in preset.fused for how in ("by score", "equal")]
    titles += [f"adaptive {budget}" for budget in preset.budgets]
    rows = [[n, *(spread(one.miou(m) for one in o) for m in names)] for n, o in trainings.items()]
    yield table(["mIoU", *titles], rows) + "\n"
    rows = [[n, *(_cost(o, m) for m in names)] for n, o in trainings.items()]
    yield table(["s per megapixel; pixels computed per pixel", *titles], rows) + "\n"


def _row_of_sizes(outcomes: Sequence[Outcome], sizes: Sequence[int]) -> list[str]:
    means = {s: mean(values) for s in sizes if (values := known(o.miou(f"size_{s}") for o in outcomes))}
    best = max(means, key=means.__getitem__, default=None)
    cells = {s: spread(o.miou(f"size_{s}") for o in outcomes) for s in sizes}
    return [f"**{text}**" if s == best else text for s, text in cells.items()]


def _row_of_choices(name: str, outcomes: Sequence[Outcome]) -> list[str]:
    chosen = [
        f"{_listed([o.selected(way) for o in outcomes])} px: {spread(o.selected_miou(way) for o in outcomes)}"
        for way in WAYS
    ]
    best = [o.best for o in outcomes if o.best]
    return [
        name,
        spread(o.own for o in outcomes),
        *chosen,
        f"{_listed([o.first_size('auto') for o in outcomes])} px: {spread(o.miou('auto') for o in outcomes)}",
        f"{_listed([size for size, _ in best])} px: {spread(value for _, value in best)}",
    ]


def _cost(outcomes: Sequence[Outcome], name: str) -> str:
    measures = ([o.seconds(name) for o in outcomes], [o.computed(name) for o in outcomes])
    return "; ".join(spread(values, digits=2) for values in measures)


def _cells(found: Sequence[Group]) -> Iterator[str]:
    """Per cell: training scores beside calibration and test."""
    tested = [o for group in found for o in group.outcomes if o.calibration]
    if not tested:
        return
    yield "## Scores, calibration and test, cell by cell\n"
    yield (
        "Training score: class-normalised accuracy of the batches of that size, the paper's mean over the whole"
        " training and the exponentially weighted one. Calibration: on the held-out calibration scenes.\n"
    )
    for one in tested:
        yield f"### {one.cell.name}\n"
        yield _cell(one) + "\n"


def _cell(one: Outcome) -> str:
    assert one.calibration is not None
    scores = {row["size"]: row for row in (one.calibration["scores"] or {"rows": ()})["rows"]}
    rows = {row["size"]: row for row in one.calibration["calibration"]["rows"]}
    lines = []
    for size in sorted({*scores, *rows, *one.sizes}):
        drawn, row = scores.get(size), rows.get(size)
        lines.append(
            [
                size,
                *_numbers(drawn, {"count": 0, "mean": 4, "weighted_mean": 4}),
                *_numbers(row, {"miou": 4, "overall_accuracy": 4, "seconds_per_megapixel": 2}),
                f"{one.sizes[size]:.4f}" if size in one.sizes else "–",
            ]
        )
    header = ["size px", "times drawn", "mean score", "weighted score", "calibration mIoU", "accuracy", "s/Mpx"]
    return table([*header, "test mIoU"], lines)


def _numbers(row: Mapping[str, float] | None, digits: Mapping[str, int]) -> list[str]:
    """Entries of a row as text; dashes where there is no row."""
    return ["–" if row is None else f"{row[key]:.{n}f}" for key, n in digits.items()]


def _mean_or_none(values: Iterable[float | None]) -> float | None:
    there = known(values)
    return mean(there) if there else None


def _listed(values: Sequence[object]) -> str:
    return ", ".join("–" if v is None else str(v) for v in values)
