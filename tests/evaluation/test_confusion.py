"""Counts: they add up, stay exact, and are scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import confusion_matrix

from geoseg.errors import LegendError
from geoseg.evaluation.compare import count_windows, evaluate_windows
from geoseg.evaluation.confusion import Counts, confusion, pair_counts, present_ids
from geoseg.geometry.windows import Window
from geoseg.legend import Legend

IDS = (0, 2, 3, 254)


def class_maps(count: int = 2, *, ignore: bool = True) -> st.SearchStrategy[list[np.ndarray]]:
    values = st.sampled_from([*IDS, 255] if ignore else IDS)
    return hnp.array_shapes(min_dims=2, max_dims=2, max_side=12).flatmap(
        lambda shape: st.tuples(*[hnp.arrays(np.uint8, shape, elements=values) for _ in range(count)]).map(list)
    )


@given(class_maps())
def test_confusion_is_that_of_scikit_learn(maps: list[np.ndarray]) -> None:
    truth, prediction = maps
    scored = (truth != 255) & (prediction != 255)
    found = confusion(truth, prediction, ids=IDS)
    assert found.dtype == np.int64
    if not scored.any():
        assert not found.any()
        return
    np.testing.assert_array_equal(found, confusion_matrix(truth[scored], prediction[scored], labels=IDS))


@given(class_maps())
def test_every_pixel_is_counted_once(maps: list[np.ndarray]) -> None:
    truth, prediction = maps
    counts = Counts.from_pairs(pair_counts(truth, prediction), ids=IDS)
    assert counts.unlabelled == (truth == 255).sum()
    for i, value in enumerate(IDS):
        assert counts.unpredicted[i] == ((truth == value) & (prediction == 255)).sum()
    assert counts.confusion.sum() + counts.unpredicted.sum() + counts.unlabelled == truth.size


@given(class_maps(), class_maps())
def test_counts_of_parts_add_up(left: list[np.ndarray], right: list[np.ndarray]) -> None:
    joined = [np.concatenate([a.ravel(), b.ravel()]) for a, b in zip(left, right, strict=True)]
    parts = confusion(left[0], left[1], ids=IDS) + confusion(right[0], right[1], ids=IDS)
    np.testing.assert_array_equal(parts, confusion(joined[0], joined[1], ids=IDS))


@given(class_maps(), st.integers(1, 5), st.integers(1, 3))
def test_windows_and_threads_never_change_the_counts(maps: list[np.ndarray], window: int, threads: int) -> None:
    truth, prediction = maps
    found = count_windows(
        lambda w: prediction[w.within(Window.whole(truth.shape))],
        lambda w: truth[w.within(Window.whole(truth.shape))],
        truth.shape,
        window=window,
        threads=threads,
    )
    np.testing.assert_array_equal(found, pair_counts(truth, prediction))


def test_more_pixels_than_are_counted_at_once() -> None:
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 3, (2, 1100, 1000), dtype=np.uint8)
    np.testing.assert_array_equal(
        confusion(truth, prediction, ids=(0, 1, 2)), confusion_matrix(truth.ravel(), prediction.ravel())
    )


def test_counts_stay_exact_past_two_to_the_31() -> None:
    pairs = np.zeros((256, 256), np.int64)
    pairs[0, 0] = 2**31 - 1
    pairs[1, 0] = 2**53  # where a double would lose the next pixel
    pairs += pair_counts(np.array([[0, 1]], np.uint8), np.array([[0, 0]], np.uint8))
    assert Counts.from_pairs(pairs, ids=(0, 1)).confusion.tolist() == [[2**31, 0], [2**53 + 1, 0]]


@pytest.mark.parametrize(("truth", "prediction", "name"), [(7, 0, "reference"), (0, 7, "prediction"), (7, 255, "ref")])
def test_a_value_the_legend_lacks_is_an_error(truth: int, prediction: int, name: str) -> None:
    with pytest.raises(LegendError, match=rf"{name}.* 7 \(6 pixels\)"):
        confusion(np.full((2, 3), truth, np.uint8), np.full((2, 3), prediction, np.uint8), ids=(0, 1))


def test_where_nothing_is_labelled_anything_may_be_predicted() -> None:
    unlabelled, odd = np.full((2, 3), 255, np.uint8), np.full((2, 3), 7, np.uint8)
    assert confusion(unlabelled, odd, ids=(0, 1)).sum() == 0
    assert present_ids(pair_counts(unlabelled, odd)) == [7]


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        pair_counts(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_in_one_window_ends_the_comparison_soon(threads: int) -> None:
    seen: list[Window] = []

    def read(window: Window) -> np.ndarray:
        seen.append(window)
        if len(seen) == 3:
            raise OSError("gone")
        return np.zeros(window.shape, np.uint8)

    with pytest.raises(OSError, match="gone"):
        evaluate_windows(
            read,
            lambda w: np.zeros(w.shape, np.uint8),
            (1000, 1000),
            legend=Legend.numbered(2),
            window=10,
            threads=threads,
        )
    assert len(seen) < 5000  # of 10,000
