"""The sections of a report that are tables and figures: areas, confidence, run, model, how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from geoseg.geometry.windows import sized
from geoseg.reporting import markup
from geoseg.reporting.charts import histogram
from geoseg.reporting.command import command_of
from geoseg.reporting.content import Content
from geoseg.reporting.pictures import CONFIDENCE_STOPS, ramp

_HECTARE = 10_000.0
_ELSEWHERE = (
    "This gives the same classes and layers. What else the run was told is not kept in a store: folders, a .tif,"
    " polygons, a reference, this report, a STAC item."
)
_BINS = 25
"""Columns of the histogram: 4 percent each."""


def area_section(content: Content) -> str:
    """Pixels, hectares where pixels have an area, and share of each class."""
    found = content.survey
    measure = found.pixels if found.areas is None else found.areas
    total = sum(measure.values())
    on_ground = found.areas is not None
    rows, digits = [], _digits(total)
    for c in content.legend:
        share = measure.get(c.id, 0) / total if total else 0.0
        ground = [f"{measure.get(c.id, 0) / _HECTARE:,.{digits}f}"] if on_ground else []
        rows.append((c.name, *ground, f"{100 * share:.1f} %", f"{found.pixels.get(c.id, 0):,}"))
    ground = [f"{total / _HECTARE:,.{digits}f}"] if on_ground else []
    rows.append(("all classes", *ground, "100.0 %" if total else "–", f"{sum(found.pixels.values()):,}"))
    head = ("class", *(["hectares"] if on_ground else []), "share", "pixels")
    caption = "Ground area on the ellipsoid" if on_ground else "In pixels: the map has no CRS that gives them an area"
    without = f"{found.empty:,} pixels have no class (nodata)." if found.empty else ""
    if not any(found.pixels.values()):
        without += " Not one pixel has a class: the map is all nodata."
    table = markup.table(caption, head, rows, swatches=content.legend.colors)
    return markup.section("Area of each class", table, markup.paragraph(without, kind="small"))


def confidence_section(content: Content) -> str:
    """How sure the model says it is; empty where the map has no such layer."""
    counts = content.survey.confidence
    if counts is None:
        return ""
    every = counts[list(content.legend.ids)].sum(0)
    edges = np.linspace(0, 101, _BINS + 1).astype(int)
    columns = [int(every[low:high].sum()) for low, high in pairwise(edges)]
    colors = ramp(CONFIDENCE_STOPS)
    rows = []
    for c in content.legend:
        of_class = counts[c.id]
        total = int(of_class.sum())
        mean = f"{of_class @ np.arange(101) / total:.1f} %" if total else "–"
        doubtful = f"{100 * of_class[:50].sum() / total:.1f} %" if total else "–"
        rows.append((c.name, mean, doubtful))
    return markup.section(
        "Confidence",
        markup.paragraph("The probability that the network gives the class it chose, pixel by pixel.", kind="small"),
        histogram("Pixels by confidence, 0 to 100 %", columns, colors=[colors[int(e)] for e in edges[:-1]]),
        markup.table("Confidence of each class", ("class", "mean", "below 50 %"), rows, swatches=content.legend.colors),
    )


def run_section(content: Content) -> str:
    """What was planned and what it took."""
    plan, timing = content.plan, content.timing
    rows = [
        ("patch", _sides(plan.get("patch_size"))),
        ("contexts", ", ".join(f"{c['size']} px" for c in plan.get("contexts", ()))),
        ("overlap", _sides(plan.get("overlap"))),
        ("stitching", _text(plan.get("stitch"))),
        ("tiles", _tiles(plan)),
        ("patches", f"{plan['patches']:,}" if "patches" in plan else ""),
        ("computed / scene pixels", _text(plan.get("computed_ratio"))),
        ("runtime", " ".join(_text(plan.get(k)) for k in ("runtime", "precision", "device"))),
        ("threads", _text(plan.get("threads"))),
        ("predicted", _cost(plan)),
    ]
    return markup.section("Run", _took(timing), markup.pairs((n, v) for n, v in rows if v.strip()))


def _took(timing: Mapping[str, Any]) -> str:
    if not timing:
        return ""
    seconds = float(timing["tiles"])
    rate = f"{timing['predicted_pixels'] / 1e6 / seconds:.2f} Mpx/s" if seconds else ""
    first = [("to the last tile", f"{seconds:.1f} s"), ("rate", rate)]
    first += [(name, f"{float(timing[name]):.1f} s") for name in ("read", "compute", "write") if name in timing]
    first.append(("memory to the last tile", f"{timing['peak_rss_bytes'] / 1e9:.2f} GB"))
    said = "Read, compute and write are busy seconds, which overlap."
    if timing.get("resumed_pixels"):
        said += f" The run was continued: {timing['resumed_pixels']:,} pixels were done before and are not counted."
    return markup.tiles((n, v) for n, v in first if v) + markup.paragraph(said, kind="small")


def card_section(content: Content) -> str:
    """What the model says of itself."""
    card = content.card
    if not card:
        return ""
    arguments = ", ".join(f"{k} {v}" for k, v in dict(card.get("arguments") or {}).items())
    rows = [
        ("name", _text(card.get("name"))),
        ("architecture", " ".join((_text(card.get("architecture")), f"({arguments})" if arguments else ""))),
        ("bands", ", ".join(map(str, card.get("bands", ())))),
        ("ground metres per pixel", _text(card.get("gsd"))),
        ("trained on patches of", ", ".join(f"{size} px" for size in card.get("patch_sizes", ()))),
        ("held-out scores", _scores(card.get("metrics"))),
        ("licence", _text(card.get("licence"))),
        ("written by geoseg", _text(card.get("version"))),
    ]
    about = markup.paragraph(_text(card.get("description")))
    return markup.section("Model", about, markup.pairs((n, v) for n, v in rows if v.strip()))


def repeat_section(content: Content) -> str:
    """The command, versions and digests."""
    origin, run = content.origin, content.run
    versions = {"geoseg": origin.get("geoseg_version"), **dict(run.get("versions") or {})}
    rows = [
        ("plan digest", _text(origin.get("geoseg_plan_digest"))),
        ("model digest (SHA-256)", _text(origin.get("geoseg_model_digest"))),
        ("versions", ", ".join(f"{name} {found}" for name, found in versions.items() if found)),
    ]
    code = ""
    if run:
        code = markup.code(command_of(run, output=f"{content.name}.zarr")) + markup.paragraph(_ELSEWHERE, kind="small")
    return markup.section("To make this store again", code, markup.pairs((n, v) for n, v in rows if v))


def notes_section(content: Content) -> str:
    """What a user should know."""
    return markup.section("Notes", *(markup.paragraph(note) for note in content.notes))


def _digits(square_metres: float) -> int:
    """Decimals of hectares, the same in all rows: about five figures of the whole."""
    hectares = square_metres / _HECTARE
    return 1 if hectares >= 1000 else 2 if hectares >= 10 else 4


def _sides(value: Any) -> str:
    if not value:
        return ""
    height, width = value
    return f"{height} px" if height == width else f"{sized((height, width)).replace('x', '×')} px"


def _tiles(plan: Mapping[str, Any]) -> str:
    return f"{plan['tiles']:,} of {_sides(plan.get('tile'))}" if "tiles" in plan else ""


def _cost(plan: Mapping[str, Any]) -> str:
    cost = dict(plan.get("cost") or {})
    parts = []
    if cost.get("seconds") is not None:
        parts.append(f"{cost['seconds']:.0f} s")
    if cost.get("memory_bytes"):
        parts.append(f"{cost['memory_bytes'] / 1e9:.1f} GB of memory")
    return ", ".join(parts)


def _scores(metrics: Any) -> str:
    found = []
    for scene, scores in dict(metrics or {}).items():
        miou = scores.get("miou") if isinstance(scores, Mapping) else scores
        found.append(f"{scene}: {f'mIoU {miou:.3f}' if isinstance(miou, float) else miou}")
    return "; ".join(found)


def _text(value: Any) -> str:
    return "" if value is None else str(value)
