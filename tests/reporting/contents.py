"""Contents of reports that tests make up."""

from __future__ import annotations

from typing import Any

import numpy as np

from geoseg.evaluation.compare import Rules, compare
from geoseg.legend import IGNORE, Legend
from geoseg.reporting.content import Content
from geoseg.reporting.survey import Layers, survey
from geoseg.verbs.evaluate_rules import metrics_of

EVIL = '</script><script>window.evil = 1</script><img src=x onerror="window.evil=2">\'"&'
"""A name that would run if it were not escaped."""


def content(*, name: str = "map", legend: Legend | None = None, full: bool = True, **fields: Any) -> Content:
    """A report of a small random map, with every layer if ``full``."""
    legend = legend or Legend.from_json(
        [{"id": 0, "name": "roof"}, {"id": 1, "name": "tree"}, {"id": 4, "name": "sea"}]
    )
    random = np.random.default_rng(1)
    shape = (60, 90)
    ids = np.array([*legend.ids, IGNORE], np.uint8)
    classes, truth = random.choice(ids, shape), random.choice(ids, shape)
    percent = np.where(classes == IGNORE, IGNORE, random.integers(30, 101, shape)).astype(np.uint8)
    flags = np.where(classes == IGNORE, IGNORE, random.integers(1, 4, shape)).astype(np.uint8)

    def reads(array: np.ndarray) -> Any:
        return lambda w: array[w.row_off : w.row_stop, w.col_off : w.col_stop]

    layers = Layers(classes=reads(classes))
    metrics = None
    if full:
        layers = Layers(classes=reads(classes), confidence=reads(percent), context=reads(flags), truth=reads(truth))
        metrics = _scored(truth, classes, percent, legend)
    found = survey(layers, shape, factor=1, row_areas=(lambda w: np.full(w.height, 4.0)) if full else None)
    made: dict[str, Any] = {
        "name": name, "shape": shape, "crs": "EPSG:32633", "gsd": (2.0, 2.0), "factor": 1, "legend": legend,
        "classes": classes, "scene": random.integers(0, 256, (3, *shape)).astype(np.uint8) if full else None,
        "survey": found, "contexts": (256, 512) if full else (), "metrics": metrics,
    }  # fmt: skip
    return Content(**{**made, **fields})


def _scored(truth: np.ndarray, classes: np.ndarray, percent: np.ndarray, legend: Legend) -> dict[str, Any]:
    """All scores there are, within one pixel of boundaries; beyond the map there is nothing."""
    rules = Rules(boundary=1.0)
    rim = rules.halo
    around = [np.pad(ids, rim, constant_values=IGNORE) for ids in (truth, classes)]
    return metrics_of(compare(*around, rules=rules, percent=percent), legend, rules=rules, calibration=True)


def evil_content() -> Content:
    """A report in which every text is hostile."""
    legend = Legend.from_json([{"id": i, "name": f"{i}{EVIL}"} for i in range(3)])
    timing = {"tiles": 1.0, "read": 0.1, "predicted_pixels": 1, "peak_rss_bytes": 1, "ended": EVIL}
    plan = {
        "patch_size": [EVIL, EVIL], "contexts": [{"size": EVIL}], "stitch": EVIL, "runtime": EVIL, "precision": EVIL,
        "device": EVIL, "overlap": [EVIL, "x"], "threads": EVIL, "computed_ratio": EVIL,
        "temperature": EVIL,
    }  # fmt: skip
    card = {
        "name": EVIL, "architecture": EVIL, "arguments": {EVIL: EVIL}, "bands": [EVIL], "gsd": EVIL, "licence": EVIL,
        "description": EVIL, "metrics": {EVIL: EVIL}, "version": EVIL, "patch_sizes": [EVIL],
        "temperature": EVIL, "temperature_fit": {"scenes": [EVIL], "ece": [EVIL, EVIL]},
    }  # fmt: skip
    return content(
        name=EVIL,
        legend=legend,
        crs=EVIL,
        timing=timing,
        plan=plan,
        card=card,
        run={"scene": EVIL, "model": EVIL, "options": {EVIL: EVIL}, "versions": {EVIL: EVIL}},
        origin={"geoseg_version": EVIL, "geoseg_model": EVIL, "geoseg_plan_digest": EVIL, "geoseg_model_digest": EVIL},
        notes=(EVIL,),
    )
