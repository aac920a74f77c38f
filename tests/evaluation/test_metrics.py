"""Scores: scikit-learn's on random data, absent classes included."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as judge

from geoseg.evaluation import metrics
from geoseg.evaluation.confusion import Counts, confusion, pair_counts
from geoseg.legend import Legend

LEGEND = Legend.from_json([{"id": i, "name": n} for i, n in ((0, "a"), (1, "b"), (4, "c"), (9, "d"), (10, "e"))])
PAIRS = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*[hnp.arrays(np.uint8, n, elements=st.sampled_from(LEGEND.ids)) for _ in "tp"])
)


def equal(ours: float | None, theirs: float) -> bool:
    """Our NaN or None stands for scikit-learn's NaN."""
    mine = math.nan if ours is None else ours
    return (math.isnan(mine) and math.isnan(theirs)) or math.isclose(mine, theirs, rel_tol=1e-12, abs_tol=1e-12)


@given(PAIRS)
def test_scores_per_class_are_those_of_scikit_learn(pair: tuple[np.ndarray, np.ndarray]) -> None:
    truth, prediction = pair
    matrix = confusion(truth, prediction, ids=LEGEND.ids)
    labels = list(LEGEND.ids)
    p, r, f, _ = judge.precision_recall_fscore_support(truth, prediction, labels=labels, zero_division=np.nan)
    iou = judge.jaccard_score(truth, prediction, labels=labels, average=None, zero_division=0)
    for i, class_id in enumerate(labels):
        in_neither = class_id not in truth and class_id not in prediction
        assert equal(metrics.precision(matrix)[i], p[i])
        assert equal(metrics.recall(matrix)[i], r[i])
        assert equal(metrics.f1(matrix)[i], math.nan if in_neither else f[i])
        assert equal(metrics.iou(matrix)[i], math.nan if in_neither else iou[i])


@given(PAIRS)
def test_means_are_those_of_scikit_learn(pair: tuple[np.ndarray, np.ndarray]) -> None:
    truth, prediction = pair
    matrix = confusion(truth, prediction, ids=LEGEND.ids)
    present = sorted(set(truth.tolist()) | set(prediction.tolist()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of classes that are absent
        assert equal(
            metrics.mean_iou(matrix),
            judge.jaccard_score(truth, prediction, labels=present, average="macro", zero_division=0),
        )
        assert equal(
            metrics.frequency_weighted_iou(matrix),
            judge.jaccard_score(truth, prediction, labels=present, average="weighted", zero_division=0),
        )
        assert equal(metrics.overall_accuracy(matrix), judge.accuracy_score(truth, prediction))
        assert equal(metrics.mean_class_accuracy(matrix), judge.balanced_accuracy_score(truth, prediction))
        theirs = judge.cohen_kappa_score(truth, prediction) if len(present) > 1 else math.nan
        assert equal(metrics.kappa(matrix), theirs)


def test_kappa_of_a_known_table() -> None:
    # Congalton and Green, "Assessing the Accuracy of Remotely Sensed Data", the four-class example: 0.65
    matrix = np.array([[65, 6, 0, 4], [4, 81, 11, 7], [22, 5, 85, 3], [24, 8, 19, 90]])
    assert metrics.overall_accuracy(matrix) == pytest.approx(321 / 434)
    assert metrics.kappa(matrix) == pytest.approx(0.65, abs=0.005)


def test_miou_is_over_the_classes_that_are_there() -> None:
    # right 3 of 4 pixels; the fifth class of the legend is in neither map and does not lower the mean
    truth, prediction = np.array([[0, 0, 1, 1]], np.uint8), np.array([[0, 0, 1, 0]], np.uint8)
    assert metrics.mean_iou(confusion(truth, prediction, ids=LEGEND.ids)) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_summary_is_json_without_nan() -> None:
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    prediction = np.array([[0, 1, 255, 4]], np.uint8)
    counts = Counts.from_pairs(pair_counts(truth, prediction), ids=LEGEND.ids)
    found = metrics.summarise(counts, LEGEND)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["pixels"], found["unpredicted_pixels"], found["unlabelled_pixels"]) == (2, 1, 1)
    a, b, c, *_ = found["classes"]
    assert a == {
        "id": 0, "name": "a", "iou": 0.5, "f1": pytest.approx(2 / 3), "precision": 1.0, "recall": 0.5,
        "truth_pixels": 2, "predicted_pixels": 1,
    }  # fmt: skip
    assert (b["precision"], b["recall"], b["iou"]) == (0.0, None, 0.0)
    assert [c[k] for k in ("iou", "f1", "precision", "recall")] == [None] * 4
    assert np.array(found["confusion"]).shape == (5, 5)


def test_a_summary_of_nothing_has_no_score() -> None:
    nothing = Counts.from_pairs(np.zeros((256, 256), np.int64), ids=LEGEND.ids)
    found = metrics.summarise(nothing, LEGEND)
    for name in ("miou", "overall_accuracy", "kappa", "mean_class_accuracy", "frequency_weighted_iou"):
        assert found[name] is None
    assert all(len(row) == 6 for row in metrics.table_rows(found))
    assert metrics.table_rows(found)[1] == ("a", "-", "-", "-", "-", "0")
