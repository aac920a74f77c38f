"""A survey by windows counts what the whole arrays hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.geometry.windows import Window
from geoseg.legend import IGNORE
from geoseg.reporting.survey import Layers, block_mean, survey


def reader(array: np.ndarray) -> Any:
    return lambda window: array[window.row_off : window.row_stop, window.col_off : window.col_stop]


def areas_of(window: Window) -> np.ndarray:
    """Rows of different area, as in degrees."""
    return 1.0 + np.arange(window.row_off, window.row_stop)


@given(
    st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 2, 4, 8, 16]), st.integers(1, 40), st.integers(1, 3),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_windows_add_up_to_the_whole(
    height: int, width: int, factor: int, window: int, threads: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    shape = (height, width)
    classes = random.choice(np.array([0, 3, 9, IGNORE], np.uint8), shape)
    truth = random.choice(np.array([0, 3, 9, IGNORE], np.uint8), shape)
    confidence = np.where(classes == IGNORE, IGNORE, random.integers(0, 101, shape)).astype(np.uint8)
    context = np.where(classes == IGNORE, IGNORE, random.integers(1, 4, shape)).astype(np.uint8)
    layers = Layers(
        classes=reader(classes), confidence=reader(confidence), context=reader(context), truth=reader(truth)
    )
    found = survey(layers, shape, factor=factor, row_areas=areas_of, threads=threads, window=window)
    here = [i for i in (0, 3, 9) if (classes == i).any()]
    assert found.pixels == {i: int((classes == i).sum()) for i in here}
    assert found.empty == int((classes == IGNORE).sum())
    rows = 1.0 + np.arange(height)
    assert found.areas == pytest.approx({i: float((classes == i).sum(1) @ rows) for i in here})
    assert found.confidence is not None
    for i in here:
        np.testing.assert_array_equal(found.confidence[i], np.bincount(confidence[classes == i], minlength=101))
    assert int(found.confidence.sum()) == int((classes != IGNORE).sum())
    for small, values, valid in (
        (found.small_confidence, confidence, confidence != IGNORE),
        (found.small_errors, np.where(truth == classes, 0, 100), (truth != IGNORE) & (classes != IGNORE)),
    ):
        assert small is not None
        for row in range(small.shape[0]):
            for col in range(small.shape[1]):
                part = np.s_[row * factor : (row + 1) * factor, col * factor : (col + 1) * factor]
                kept = values[part][valid[part]]
                assert abs(int(small[row, col]) - (kept.mean() if kept.size else IGNORE)) <= 0.5
    np.testing.assert_array_equal(found.small_context, context[::factor, ::factor])


def test_layers_that_are_not_there_give_nothing() -> None:
    classes = np.zeros((5, 5), np.uint8)
    found = survey(Layers(classes=reader(classes)), (5, 5), factor=1, row_areas=None)
    assert found.pixels == {0: 25}
    nothing = (found.areas, found.confidence, found.small_confidence, found.small_context, found.small_errors)
    assert nothing == (None,) * 5


def test_a_grid_that_reaches_beyond_its_projection_has_no_areas() -> None:
    classes = np.zeros((2, 2), np.uint8)
    found = survey(Layers(classes=reader(classes)), (2, 2), factor=1, row_areas=lambda w: np.full(w.height, np.nan))
    assert found.areas is None


def test_a_failure_in_a_thread_is_raised() -> None:
    def fail(window: Window) -> np.ndarray:
        raise OSError("torn")

    with pytest.raises(OSError, match="torn"):
        survey(Layers(classes=fail), (100, 100), factor=1, row_areas=None, window=10)


def test_block_means_round_to_the_nearest() -> None:
    values = np.array([[0, 1, 100], [1, 1, 100]], np.uint8)
    found = block_mean(values, np.array([[True, True, True], [True, True, False]]), factor=2)
    np.testing.assert_array_equal(found, [[1, 100]])
