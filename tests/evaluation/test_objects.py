"""Objects: IoU as pixels say it, pairs as SciPy's assignment finds them."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from geoseg.evaluation import objects
from geoseg.evaluation.objects import ObjectCounts, count_objects, match_objects, object_rows

BOXES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 6), st.integers(1, 6)), max_size=9, unique=True
)


def polygons(boxes: list[tuple[int, int, int, int]]) -> np.ndarray:
    return np.array([shapely.box(x, y, x + w, y + h) for x, y, w, h in boxes], object)


def pixel_iou(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    both = np.zeros((2, 20, 20), bool)
    for grid, (x, y, w, h) in zip(both, (a, b), strict=True):
        grid[y : y + h, x : x + w] = True
    return float((both[0] & both[1]).sum() / (both[0] | both[1]).sum())


@given(BOXES, BOXES, st.sampled_from([0.5, 0.3, 0.75]))
def test_pairs_are_one_to_one_and_as_pixels_say(predicted: list, truth: list, threshold: float) -> None:
    found = match_objects(polygons(predicted), polygons(truth), threshold=threshold)
    for i, j, iou in zip(found.predicted, found.truth, found.iou, strict=True):
        assert iou == pytest.approx(pixel_iou(predicted[i], truth[j]))
        assert iou >= threshold
    for side in (found.predicted, found.truth):
        assert len(set(side.tolist())) == side.size
    # nothing is left that could be paired with something that is left
    for i in set(range(len(predicted))) - set(found.predicted.tolist()):
        for j in set(range(len(truth))) - set(found.truth.tolist()):
            assert pixel_iou(predicted[i], truth[j]) < threshold + 1e-9


@given(st.lists(st.booleans(), min_size=16, max_size=16), st.integers(0, 2**32))
def test_apart_from_each_other_it_is_the_best_assignment(kept: list[bool], seed: int) -> None:
    """Objects that overlap none of their own kind: as many pairs as the best assignment has."""
    random = np.random.default_rng(seed)
    cells = [(6 * (k % 4), 6 * (k // 4)) for k in range(16)]
    truth = [(x, y, 4, 4) for (x, y), there in zip(cells, kept, strict=True) if there]
    predicted = [(x + int(random.integers(0, 3)), y, 4, 4) for x, y in cells if random.random() < 0.7]
    random.shuffle(predicted)
    found = count_objects(polygons(predicted), polygons(truth))
    if truth and predicted:
        worth = shapely.area(shapely.intersection(polygons(predicted)[:, None], polygons(truth)[None]))
        iou = worth / (32 - worth)
        good = np.where(iou >= 0.5, iou, 0)
        rows, cols = linear_sum_assignment(-good)
        assert found.matched == (good[rows, cols] > 0).sum()
        assert found.iou_sum == pytest.approx(good[rows, cols].sum())
    assert (found.predicted, found.truth) == (len(predicted), len(truth))


def test_the_better_pair_comes_first_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = polygons([(0, 0, 10, 10), (30, 0, 10, 10)])
    predicted = polygons([(2, 0, 10, 10), (1, 0, 10, 10), (30, 0, 10, 10)])
    found = match_objects(predicted, truth)
    assert sorted(zip(found.predicted.tolist(), found.truth.tolist(), strict=True)) == [(1, 0), (2, 1)]
    monkeypatch.setattr(objects, "_PAIRS_AT_ONCE", 1)
    again = match_objects(predicted, truth)
    assert (again.predicted == found.predicted).all()


def test_scores() -> None:
    counts = ObjectCounts(predicted=4, truth=2, matched=1, iou_sum=0.75) + ObjectCounts(
        predicted=0, truth=1, matched=0, iou_sum=0.0
    )
    scores = counts.to_json()
    assert (scores["precision"], scores["recall"]) == (0.25, pytest.approx(1 / 3))
    assert scores["f1"] == pytest.approx(2 / 7)
    assert scores["matched_iou"] == 0.75
    none = count_objects(polygons([]), polygons([])).to_json()
    assert [none[k] for k in ("precision", "recall", "f1", "matched_iou")] == [None] * 4
    assert len({len(row) for row in object_rows([{"name": "a", **none}])}) == 1
