"""What a store says of the run that made it, beyond its plan: for whoever wants to judge or repeat it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from geoseg.inference.pipeline import Progress
from geoseg.models.source import ModelSource
from geoseg.verbs.options import FREE, RunOptions

RUN_ATTRIBUTE = "geoseg_run"
"""Root attribute: the scene and options as they were asked for, and the versions of what computed."""

CARD_ATTRIBUTE = "geoseg_card"
"""Root attribute: the model's card without its tables."""

TIMING_ATTRIBUTE = "geoseg_timing"
"""Root attribute: seconds, pixels and memory of the run that finished the store."""

_LONG = ("context_scores", "calibration", "training")
"""Entries of a card that may be megabytes."""

_DISTRIBUTIONS = ("numpy", "rasterio", "zarr", "dask", "torch", "segmentation-models-pytorch", "openvino")


def run_attributes(model: ModelSource, options: RunOptions, *, scene: str | list[str]) -> dict[str, Any]:
    """Attributes of a store that is begun: what was asked for, and the model's card where there is one."""
    defaults = {f.name: f.default for f in fields(options)}
    asked = {k: v for k, v in asdict(options).items() if k not in FREE and v != defaults[k]}
    if "nodata" in asked:
        asked["nodata"] = str(asked["nodata"])  # JSON has no NaN
    run = {
        "scene": scene,
        "model": None if model.recipe.packaged or model.path is None else str(model.path),
        "options": json.loads(json.dumps(asked, default=str)),
        "versions": _versions(),
    }
    card = {} if model.card is None else {CARD_ATTRIBUTE: _short(model.card)}
    return {RUN_ATTRIBUTE: run, **card}


def timing_attributes(progress: Progress, *, seconds: float, peak_rss_bytes: int) -> dict[str, Any]:
    """The attribute of a store whose tiles are all done.

    Args:
        progress: of the run that did the last of them.
        seconds: wall time from its start to its last tile.
        peak_rss_bytes: of its largest process.
    """
    timing = {
        **{name: round(value, 3) for name, value in progress.seconds.items()},
        "tiles": round(seconds, 3),
        "predicted_pixels": progress.pixels_done - progress.resumed_pixels,
        "resumed_pixels": progress.resumed_pixels,
        "computed_pixels": progress.computed_pixels,
        "peak_rss_bytes": peak_rss_bytes,
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return {TIMING_ATTRIBUTE: timing}


def _short(card: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in card.items() if name not in _LONG}


def _versions() -> dict[str, str]:
    """Of the libraries whose arithmetic and formats count, as they are installed; none is imported."""
    found = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
