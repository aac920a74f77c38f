"""Contents of reports that tests make up."""

from __future__ import annotations

from typing import Any

import numpy as np

from geoseg.evaluation.confusion import Counts
from geoseg.evaluation.metrics import summarise
from geoseg.legend import IGNORE, Legend
from geoseg.reporting.content import Content
from geoseg.reporting.survey import Layers, survey

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
        table = np.zeros((256, 256), np.int64)
        np.add.at(table, (truth.ravel(), classes.ravel()), 1)
        metrics = summarise(Counts.from_pairs(table, ids=legend.ids), legend)
    found = survey(layers, shape, factor=1, row_areas=(lambda w: np.full(w.height, 4.0)) if full else None)
    made: dict[str, Any] = {
        "name": name, "shape": shape, "crs": "EPSG:32633", "gsd": (2.0, 2.0), "factor": 1, "legend": legend,
        "classes": classes, "scene": random.integers(0, 256, (3, *shape)).astype(np.uint8) if full else None,
        "survey": found, "contexts": (256, 512) if full else (), "metrics": metrics,
    }  # fmt: skip
    return Content(**{**made, **fields})


def evil_content() -> Content:
    """A report in which every text is hostile."""
    legend = Legend.from_json([{"id": i, "name": f"{i}{EVIL}"} for i in range(3)])
    timing = {"tiles": 1.0, "read": 0.1, "predicted_pixels": 1, "peak_rss_bytes": 1, "ended": EVIL}
    plan = {
        "patch_size": [EVIL, EVIL], "contexts": [{"size": EVIL}], "stitch": EVIL, "runtime": EVIL, "precision": EVIL,
        "device": EVIL, "overlap": [EVIL, "x"], "threads": EVIL, "computed_ratio": EVIL,
    }  # fmt: skip
    card = {
        "name": EVIL, "architecture": EVIL, "arguments": {EVIL: EVIL}, "bands": [EVIL], "gsd": EVIL, "licence": EVIL,
        "description": EVIL, "metrics": {EVIL: EVIL}, "version": EVIL, "patch_sizes": [EVIL],
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
