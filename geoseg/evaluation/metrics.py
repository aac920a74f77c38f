"""Scores as functions of a confusion matrix (K, K), rows the reference, columns the prediction.

Per-class scores are float64 (K,), NaN where a class gives no answer; means are over the classes that give one.
Definitions: Everingham et al. 2010 (IoU), Long et al. 2015 (mean accuracy, frequency-weighted IoU), Cohen 1960 (kappa).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.evaluation.confusion import Confusion, Counts
from geoseg.legend import Legend

Scores = npt.NDArray[np.float64]


def iou(matrix: Confusion) -> Scores:
    """Intersection over union; NaN for classes in neither the reference nor the prediction."""
    return _ratio(matrix.diagonal(), matrix.sum(0) + matrix.sum(1) - matrix.diagonal())


def f1(matrix: Confusion) -> Scores:
    """Harmonic mean of precision and recall (Dice); NaN for classes in neither."""
    return _ratio(2 * matrix.diagonal(), matrix.sum(0) + matrix.sum(1))


def precision(matrix: Confusion) -> Scores:
    """Share of the predicted pixels that are right (user's accuracy); NaN for classes never predicted."""
    return _ratio(matrix.diagonal(), matrix.sum(0))


def recall(matrix: Confusion) -> Scores:
    """Share of the reference's pixels that are found (producer's accuracy); NaN for classes not in the reference."""
    return _ratio(matrix.diagonal(), matrix.sum(1))


def mean_iou(matrix: Confusion) -> float:
    """Mean IoU over the classes present in the reference or the prediction."""
    return _mean(iou(matrix))


def overall_accuracy(matrix: Confusion) -> float:
    """Share of the scored pixels that are right."""
    return float(_ratio(matrix.trace(), matrix.sum()))


def mean_class_accuracy(matrix: Confusion) -> float:
    """Mean recall over the classes of the reference."""
    return _mean(recall(matrix))


def frequency_weighted_iou(matrix: Confusion) -> float:
    """IoU weighted by each class's share of the reference."""
    return float(np.nansum(_ratio(matrix.sum(1), matrix.sum()) * iou(matrix))) if matrix.any() else math.nan


def kappa(matrix: Confusion) -> float:
    """Cohen's kappa: agreement beyond chance; NaN if chance alone explains all (one class only)."""
    chance = float(_ratio(matrix.sum(0), matrix.sum()) @ _ratio(matrix.sum(1), matrix.sum()))
    return float(_ratio(overall_accuracy(matrix) - chance, 1 - chance))


def summarise(counts: Counts, legend: Legend) -> dict[str, Any]:
    """All scores as plain values for JSON; null where a score is undefined.

    Args:
        counts: the counts of a comparison, in the order of the legend's ids.
        legend: the classes.
    """
    matrix = counts.confusion
    by_class = {"iou": iou(matrix), "f1": f1(matrix), "precision": precision(matrix), "recall": recall(matrix)}
    truth, predicted = matrix.sum(1), matrix.sum(0)
    return {
        "miou": _plain(mean_iou(matrix)),
        "overall_accuracy": _plain(overall_accuracy(matrix)),
        "kappa": _plain(kappa(matrix)),
        "mean_class_accuracy": _plain(mean_class_accuracy(matrix)),
        "frequency_weighted_iou": _plain(frequency_weighted_iou(matrix)),
        "classes": [
            {
                "id": c.id,
                "name": c.name,
                **{name: _plain(scores[i]) for name, scores in by_class.items()},
                "truth_pixels": int(truth[i]),
                "predicted_pixels": int(predicted[i]),
            }
            for i, c in enumerate(legend)
        ],
        "pixels": int(matrix.sum()),
        "unpredicted_pixels": int(counts.unpredicted.sum()),
        "unlabelled_pixels": counts.unlabelled,
        "confusion": matrix.tolist(),
    }


def table_rows(metrics: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What ``summarise`` gave as rows of text for a table: a heading, the classes, the means."""
    names = ("iou", "f1", "precision", "recall")
    rows: list[tuple[str, ...]] = [("class", "IoU", "F1", "precision", "recall", "truth pixels")]
    rows.extend(
        (str(c["name"]), *(_text(c[name]) for name in names), f"{c['truth_pixels']:,}") for c in metrics["classes"]
    )
    means = {"mIoU": "miou", "overall accuracy": "overall_accuracy", "kappa": "kappa"}
    means["class-mean accuracy"] = "mean_class_accuracy"
    rows.extend((title, _text(metrics[key]), "", "", "", "") for title, key in means.items())
    return rows


def _ratio(numerator: Any, denominator: Any) -> Scores:
    """Quotient in float64, NaN where the denominator is 0."""
    above, below = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    result: Scores = np.divide(above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=below != 0)
    return result


def _mean(scores: Scores) -> float:
    """Mean of the scores that are defined; NaN if none is."""
    defined = scores[~np.isnan(scores)]
    return float(defined.mean()) if defined.size else math.nan


def _plain(score: Any) -> float | None:
    return None if math.isnan(score) else float(score)


def _text(score: float | None) -> str:
    return "-" if score is None else f"{score:.4f}"
