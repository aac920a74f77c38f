"""Scores as the ISPRS benchmarks report them: per scene and on the summed counts of all scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geoseg.evaluation.confusion import Counts
from geoseg.evaluation.metrics import summarise
from geoseg.legend import Legend

REFERENCES = ("full", "eroded")
"""The whole reference, and the one without the pixels near object boundaries."""

ERODED_BY = 3
"""Radius of the disc that the benchmarks erode their references with, pixels."""

Metrics = dict[str, Any]


def scores(metrics: Metrics, *, without: str) -> Metrics:
    """``summarise``'s scores and ``mean_f1``, the mean over the classes but one; None where none is defined."""
    f1 = [c["f1"] for c in metrics["classes"] if c["name"] != without and c["f1"] is not None]
    return {**metrics, "mean_f1": float(np.mean(f1)) if f1 else None}


def total(parts: Sequence[Metrics], *, legend: Legend, without: str) -> Metrics:
    """The scores of several scenes together: their confusion matrices are summed, not their scores averaged."""
    confusion = np.sum([np.asarray(p["confusion"], np.int64) for p in parts], axis=0)
    counts = Counts(
        confusion=confusion,
        unpredicted=np.array([sum(p["unpredicted_pixels"] for p in parts)], np.int64),
        unlabelled=sum(p["unlabelled_pixels"] for p in parts),
    )
    return scores(summarise(counts, legend), without=without)


def table(
    found: Mapping[str, Mapping[str, Metrics]], totals: Mapping[str, Metrics], *, legend: Legend
) -> list[list[str]]:
    """Rows of text: a heading, every scene against every reference, and all scenes together.

    Args:
        found: reference -> scene -> scores.
        totals: reference -> scores.
        legend: the classes.
    """
    rows = [["scene", "reference", "mIoU", "accuracy", "mean F1", *(f"F1 {c.name}" for c in legend)]]
    for name in totals:
        rows += [[scene, name, *_figures(metrics)] for scene, metrics in found[name].items()]
    rows += [[f"all {len(found[name])}", name, *_figures(metrics)] for name, metrics in totals.items()]
    return rows


def _figures(metrics: Metrics) -> list[str]:
    values = [metrics["miou"], metrics["overall_accuracy"], metrics["mean_f1"], *(c["f1"] for c in metrics["classes"])]
    return ["-" if v is None else f"{v:.4f}" for v in values]
