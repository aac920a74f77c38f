"""Whether confidence is honest: how many of the pixels of each confidence are right, and by which temperature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geoseg.legend import Color
from geoseg.reporting import markup
from geoseg.reporting.charts import reliability
from geoseg.reporting.content import Content

_FIRST = {"ece": "expected calibration error", "mean_confidence": "mean confidence", "accuracy": "accuracy"}

_COLUMN: Color = (70, 130, 180)

_HOW = (
    "Across: the confidence that pixels were given. Up: how many of them are right. On the line confidence is honest;"
    " below it the model is too sure, above it too modest. The expected calibration error is the mean distance from it,"
    " weighted by pixels."
)


def calibration_section(content: Content) -> str:
    """Reliability, the expected calibration error and the temperature; empty where confidence was not judged."""
    found: Mapping[str, Any] = (content.metrics or {}).get("calibration") or {}
    bins = list(found.get("bins") or ())
    if not bins:
        return ""
    first = [(name, f"{found[key]:.3f}") for key, name in _FIRST.items() if found.get(key) is not None]
    shares = "; ".join(f"{b['above']:.0%} to {b['to']:.0%}: {b['accuracy']:.1%} right" for b in bins)
    return markup.section(
        "Is the confidence honest?",
        markup.tiles(first),
        reliability(f"Accuracy by confidence: {shares}", bins, color=_COLUMN),
        markup.paragraph(_HOW, kind="small"),
        markup.paragraph(temperature_text(content), kind="small"),
    )


def temperature_text(content: Content) -> str:
    """The temperature of the run and where it was fitted; empty where the store tells of none."""
    value = content.plan.get("temperature")
    if value is None:
        return ""
    said = f"Logits were divided by the temperature {_short(value)}"
    fit: Mapping[str, Any] = content.card.get("temperature_fit") or {}
    if not fit or value != content.card.get("temperature"):
        return f"{said}." if value != 1 else f"{said}: none was fitted (geoseg calibrate would)."
    before, after = (_short(v, digits=2) for v in fit["ece"])
    return f"{said}, fitted on {', '.join(map(str, fit['scenes']))}: error there {before} before, {after} with it."


def _short(value: Any, *, digits: int = 4) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
