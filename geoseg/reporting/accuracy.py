"""How well the map agrees with a reference: scores, a chart of the classes, and what is taken for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from geoseg.legend import Color
from geoseg.reporting import markup
from geoseg.reporting.charts import bars
from geoseg.reporting.content import Content

_FIRST = {
    "miou": "mIoU",
    "overall_accuracy": "overall accuracy",
    "mean_class_accuracy": "mean class accuracy",
    "frequency_weighted_iou": "frequency-weighted IoU",
    "kappa": "kappa",
}

_FIRST_OF_EDGES = {"miou": "boundary mIoU", "mean_f1": "boundary mean F1"}

_GREY: Color = (120, 120, 120)


def accuracy_section(content: Content) -> str:
    """Empty where there is no reference."""
    metrics = content.metrics
    if not metrics:
        return ""
    classes: list[Mapping[str, Any]] = list(metrics.get("classes", ()))
    colors = {c.id: c.color for c in content.legend}
    rows = [(str(c["name"]), c["iou"], colors.get(int(c["id"]), _GREY)) for c in classes]
    swatches = [color for _, _, color in rows]
    return markup.section(
        "Accuracy",
        markup.tiles(_first(metrics)),
        markup.paragraph(_scored(metrics), kind="small"),
        "<h3>IoU of each class</h3>",
        bars("IoU of each class", rows),
        _scores(classes, swatches),
        _edges(metrics.get("boundary") or {}, swatches),
        _confusion([str(c["name"]) for c in classes], metrics.get("confusion") or [], swatches),
    )


def _first(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures that are to be seen first."""
    edges = metrics.get("boundary") or {}
    found = [(name, metrics.get(key)) for key, name in _FIRST.items()]
    found += [(name, edges.get(key)) for key, name in _FIRST_OF_EDGES.items()]
    return [(name, f"{value:.3f}") for name, value in found if value is not None]


def _scored(metrics: Mapping[str, Any]) -> str:
    """What was scored, and by which rules."""
    said = [f"Scored against a reference, {int(metrics.get('pixels', 0)):,} pixels."]
    if metrics.get("erode_boundary"):
        said.append(
            f"{int(metrics['eroded_pixels']):,} pixels within {metrics['erode_boundary']:g} pixels of a boundary of the"
            " reference are not."
        )
    return " ".join(said)


def _scores(classes: Sequence[Mapping[str, Any]], swatches: Sequence[Color]) -> str:
    """A row for each class."""
    total = sum(int(c["truth_pixels"]) for c in classes)
    rows = [
        (
            str(c["name"]),
            *(_score(c[key]) for key in ("iou", "f1", "precision", "recall")),
            _share(int(c["truth_pixels"]), total),
        )
        for c in classes
    ]
    head = ("class", "IoU", "F1", "precision", "recall", "share of reference")
    table = markup.table("Scores of each class", head, rows, swatches=swatches)
    return table + markup.paragraph("Frequency-weighted IoU: each class counts by its share.", kind="small")


def _edges(edges: Mapping[str, Any], swatches: Sequence[Color]) -> str:
    """Scores of boundaries; empty where there are none."""
    if not edges:
        return ""
    keys = ("iou", "f1", "precision", "recall")
    rows = [(str(c["name"]), *(_score(c[key]) for key in keys)) for c in edges["classes"]]
    caption = f"Boundaries of each class, within {edges['distance']:g} px"
    return markup.table(caption, ("class", "IoU", "F1", "precision", "recall"), rows, swatches=swatches)


def _confusion(names: Sequence[str], matrix: Sequence[Sequence[int]], swatches: Sequence[Color]) -> str:
    """Shares of each class of the reference, shaded; counts are in the cells' titles."""
    if not matrix:
        return ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    lines = []
    for i, (name, counts) in enumerate(zip(names, matrix, strict=True)):
        total = sum(counts)
        cells = "".join(_cell(count, total, pair=(name, names[j]), hit=i == j) for j, count in enumerate(counts))
        lines.append(f'<tr><th scope="row">{markup.swatch(swatches[i])}{escape(name)}</th>{cells}</tr>')
    return (
        '<div class="wide"><table class="confusion"><caption><span>Confusion: of each class of the reference (row), the'
        f" share that the map calls so (column)</span></caption><thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cell(count: int, total: int, *, pair: tuple[str, str], hit: bool) -> str:
    """One share; ``pair`` is the reference's class and the map's."""
    said = escape(f"{pair[0]} taken for {pair[1]}: {count:,} pixels")
    weight = count / total if total else 0
    kind = "hit" if hit else "miss"
    return f'<td class="{kind}" style="--v:{weight:.3f}" title="{said}">{_share(count, total)}</td>'


def _share(count: int, total: int) -> str:
    return "–" if not total else f"{100 * count / total:.1f} %"


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
