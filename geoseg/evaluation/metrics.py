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
    return ratio(matrix.diagonal(), matrix.sum(0) + matrix.sum(1) - matrix.diagonal())


def f1(matrix: Confusion) -> Scores:
    """Harmonic mean of precision and recall (Dice); NaN for classes in neither."""
    return ratio(2 * matrix.diagonal(), matrix.sum(0) + matrix.sum(1))


def precision(matrix: Confusion) -> Scores:
    """Share of the predicted pixels that are right (user's accuracy); NaN for classes never predicted."""
    return ratio(matrix.diagonal(), matrix.sum(0))


def recall(matrix: Confusion) -> Scores:
    """Share of the reference's pixels that are found (producer's accuracy); NaN for classes not in the reference."""
    return ratio(matrix.diagonal(), matrix.sum(1))


def mean_iou(matrix: Confusion) -> float:
    """Mean IoU over the classes present in the reference or the prediction."""
    return mean(iou(matrix))


def overall_accuracy(matrix: Confusion) -> float:
    """Share of the scored pixels that are right."""
    return float(ratio(matrix.trace(), matrix.sum()))


def mean_class_accuracy(matrix: Confusion) -> float:
    """Mean recall over the classes of the reference."""
    return mean(recall(matrix))


def frequency_weighted_iou(matrix: Confusion) -> float:
    """IoU weighted by each class's share of the reference."""
    return float(np.nansum(ratio(matrix.sum(1), matrix.sum()) * iou(matrix))) if matrix.any() else math.nan


def kappa(matrix: Confusion) -> float:
    """Cohen's kappa: agreement beyond chance; NaN if chance alone explains all (one class only)."""
    chance = float(ratio(matrix.sum(0), matrix.sum()) @ ratio(matrix.sum(1), matrix.sum()))
    return float(ratio(overall_accuracy(matrix) - chance, 1 - chance))


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
        "miou": plain(mean_iou(matrix)),
        "overall_accuracy": plain(overall_accuracy(matrix)),
        "kappa": plain(kappa(matrix)),
        "mean_class_accuracy": plain(mean_class_accuracy(matrix)),
        "frequency_weighted_iou": plain(frequency_weighted_iou(matrix)),
        "classes": [
            {
                "id": c.id,
                "name": c.name,
                **{name: plain(scores[i]) for name, scores in by_class.items()},
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
    """What ``summarise`` gave as rows of text for a table: a heading, the classes, the means.

    With the scores of boundaries beside the others, where there are some under ``boundary``.
    """
    columns = {"IoU": "iou", "F1": "f1", "precision": "precision", "recall": "recall"}
    edges = metrics.get("boundary")
    more = ("boundary IoU", "boundary F1") if edges else ()
    rows: list[tuple[str, ...]] = [("class", *columns, *more, "truth pixels")]
    for i, c in enumerate(metrics["classes"]):
        beside = [_text(edges["classes"][i][key]) for key in ("iou", "f1")] if edges else []
        rows.append((str(c["name"]), *(_text(c[key]) for key in columns.values()), *beside, f"{c['truth_pixels']:,}"))
    means = {
        "mIoU": "miou",
        "frequency-weighted IoU": "frequency_weighted_iou",
        "overall accuracy": "overall_accuracy",
        "kappa": "kappa",
        "class-mean accuracy": "mean_class_accuracy",
    }
    found = {title: metrics[key] for title, key in means.items()}
    if edges:
        found |= {"boundary mIoU": edges["miou"], "boundary mean F1": edges["mean_f1"]}
    blank = ("",) * (len(rows[0]) - 2)
    return [*rows, *((title, _text(score), *blank) for title, score in found.items())]


def ratio(numerator: Any, denominator: Any) -> Scores:
    """Quotient in float64, NaN where the denominator is 0."""
    above, below = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    result: Scores = np.divide(above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=below != 0)
    return result


def mean(scores: Scores) -> float:
    """Mean of the scores that are defined; NaN if none is."""
    defined = scores[~np.isnan(scores)]
    return float(defined.mean()) if defined.size else math.nan


def plain(score: Any) -> float | None:
    """A score for JSON: None where it is NaN."""
    return None if math.isnan(score) else float(score)


def _text(score: float | None) -> str:
    return "-" if score is None else f"{score:.4f}"
