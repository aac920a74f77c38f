"""``geoseg model info``: a bundle's card."""

from __future__ import annotations

import os
from typing import Any

from geoseg.contexts.scores import ScoreTable
from geoseg.models.bundle import open_bundle


def model_info(bundle: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """The card of a bundle with its path, size in bytes and digest; of the default model for None.

    Raises:
        BundleError: if it is no bundle.
    """
    found = open_bundle(bundle)
    return {
        "path": str(found.path),
        "bytes": found.path.stat().st_size,
        "digest": found.digest,
        **found.card.to_json(),
    }


def info_rows(info: dict[str, Any]) -> list[tuple[str, str]]:
    """The card as a table of two columns."""
    arguments = ", ".join(f"{k}={v}" for k, v in info["arguments"].items())
    sizes = ", ".join(str(size) for size in info["patch_sizes"])
    patches = f"trained at {sizes} px, context {info['context']}, halo {info['halo']}, multiple {info['multiple']}"
    rows = [
        ("model", info["name"]),
        ("what for", info["description"]),
        ("file", f"{info['path']} ({info['bytes'] / 1e6:.1f} MB, {info['digest'][:12]})"),
        ("network", f"{info['architecture']}({arguments})"),
        ("bands", f"{', '.join(info['bands'])} ({info['dtype']})"),
        ("GSD", "any" if info["gsd"] is None else f"{info['gsd']} m"),
        ("classes", ", ".join(f"{c['id']} {c['name']}" for c in info["legend"])),
        ("patches", patches),
        ("confidence", _confidence(info)),
        ("licence", info["licence"]),
    ]
    rows += [(f"score: {name}", _score(value)) for name, value in info["metrics"].items()]
    rows += [(f"training: {name}", _text(value)) for name, value in info["training"].items()]
    return rows


def context_rows(info: dict[str, Any]) -> list[tuple[str, ...]]:
    """What the card knows of each context, as rows of text with a heading; none if it knows nothing."""
    table = ScoreTable.from_json(info["context_scores"]) if info["context_scores"] else ScoreTable()
    trained = {score.size: score for score in table}
    measured = {row["size"]: row for row in (info["calibration"] or {"rows": []})["rows"]}
    if not trained and not measured:
        return []
    rows: list[tuple[str, ...]] = [
        ("context", "drawn", f"training {table.criterion}", "deviation", "weighted", "mIoU", "accuracy", "s / Mpx")
    ]
    for size in sorted({*trained, *measured}):
        earned, found = trained.get(size), measured.get(size)
        drawn: tuple[str, ...] = ("-",) * 4
        if earned is not None:
            means = (earned.mean, earned.deviation, earned.weighted_mean)
            drawn = (str(earned.count), *(f"{value:.4f}" for value in means))
        reached: tuple[str, ...] = ("-",) * 3
        if found is not None:
            keys = ("miou", "overall_accuracy", "seconds_per_megapixel")
            reached = tuple(f"{found[key]:.4f}" for key in keys)
        rows.append((f"{size} px", *drawn, *reached))
    return rows


def _confidence(info: dict[str, Any]) -> str:
    """The temperature, and where it comes from."""
    fit = info["temperature_fit"]
    if not fit:
        return f"temperature {info['temperature']:g}, not fitted: `geoseg calibrate` would"
    before, after = fit["ece"]
    where = ", ".join(fit["scenes"])
    return f"temperature {info['temperature']:g}, fitted on {where}: ECE {before:.3f} there, {after:.3f} with it"


def _score(value: Any) -> str:
    """A scene's scores in a line."""
    if not isinstance(value, dict) or "miou" not in value:
        return _text(value)
    by_class = ", ".join(f"{name} {iou:.3f}" for name, iou in value.get("iou", {}).items())
    return f"mIoU {value['miou']:.4f}" + (f" ({by_class})" if by_class else "")


def _text(value: Any) -> str:
    """A value of the card's account without JSON's braces."""
    if isinstance(value, dict):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "; ".join(_text(v) for v in value) if value else "none"
    return "none" if value is None else str(value)
