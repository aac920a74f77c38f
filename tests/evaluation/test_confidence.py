"""Confidence: scikit-learn's calibration curve and SciPy's minimum are the judges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from geoseg.evaluation.compare import Rules, compare_windows
from geoseg.evaluation.confidence import (
    COLDEST,
    count_reliability,
    expected_calibration_error,
    fit_temperature,
    judge_temperature,
    no_reliability,
    reliability_rows,
    summarise_reliability,
)
from geoseg.geometry.windows import Window

IDS = (0, 3, 255)


def maps(count: int = 3) -> st.SearchStrategy[list[np.ndarray]]:
    def of(shape: tuple[int, ...]) -> st.SearchStrategy[list[np.ndarray]]:
        ids = hnp.arrays(np.uint8, shape, elements=st.sampled_from(IDS))
        percent = hnp.arrays(np.uint8, shape, elements=st.sampled_from([*range(101), 255]))
        return st.tuples(ids, ids, percent).map(list)

    return hnp.array_shapes(min_dims=2, max_dims=2, max_side=12).flatmap(of)


@given(maps())
def test_the_table_is_scikit_learns_curve(three: list[np.ndarray]) -> None:
    truth, prediction, percent = three
    found = summarise_reliability(count_reliability(truth, prediction, percent))
    scored = (truth != 255) & (prediction != 255) & (percent != 255)
    assert found["pixels"] == scored.sum()
    if not scored.any():
        assert found["ece"] is None
        return
    right = (truth == prediction)[scored]
    # scikit-learn's bins are closed at the other end: half a percent down there is the same as up here
    shifted = np.maximum(percent[scored].astype(float) - 0.5, 0) / 100
    accuracy, confidence = calibration_curve(right, shifted, n_bins=20)
    assert [b["accuracy"] for b in found["bins"]] == pytest.approx(list(accuracy))
    zero = percent[scored] == 0
    if not zero.any():
        assert [b["confidence"] - 0.005 for b in found["bins"]] == pytest.approx(list(confidence))
    shares = np.array([b["pixels"] for b in found["bins"]]) / scored.sum()
    gaps = [abs(b["accuracy"] - b["confidence"]) for b in found["bins"]]
    assert found["ece"] == pytest.approx(shares @ gaps)
    assert found["accuracy"] == pytest.approx(right.mean())
    assert found["mean_confidence"] == pytest.approx(percent[scored].mean() / 100)
    rows = reliability_rows(found)
    assert len({len(row) for row in rows}) == 1
    assert not [cell for row in rows for cell in row if "%" in cell], "shares are told in one way"


@given(maps(), st.integers(1, 5), st.integers(1, 3))
def test_windows_never_change_the_counts(three: list[np.ndarray], window: int, threads: int) -> None:
    truth, prediction, percent = three
    prediction_of, truth_of, percent_of = (
        lambda w, a=a: a[w.within(Window.whole(a.shape))] for a in (prediction, truth, percent)
    )
    found = compare_windows(
        prediction_of, truth_of, truth.shape, rules=Rules(), read_confidence=percent_of, window=window, threads=threads
    )
    np.testing.assert_array_equal(found.reliability, count_reliability(truth, prediction, percent))


@pytest.mark.parametrize(("percent", "above", "to"), [(0, 0, 0.05), (5, 0, 0.05), (6, 0.05, 0.1), (100, 0.95, 1)])
def test_bins_hold_their_upper_end(percent: int, above: float, to: float) -> None:
    counts = no_reliability()
    counts[percent] = 1, 2
    (found,) = summarise_reliability(counts)["bins"]
    assert (found["above"], found["to"], found["pixels"]) == (pytest.approx(above), to, 3)


def test_errors_that_are_known() -> None:
    counts = no_reliability()
    counts[80] = 20, 80
    assert expected_calibration_error(counts) == 0
    counts[100] = 50, 50  # half of what is called certain is wrong
    assert expected_calibration_error(counts) == pytest.approx(0.25)


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(2, 6), st.floats(0.3, 4))
def test_the_temperature_is_scipys_minimum(seed: int, classes: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    logits = (random.normal(0, scale, (200, classes))).astype(np.float32)
    true = np.where(random.random(200) < 0.6, logits.argmax(1), random.integers(0, classes, 200))

    def cost(beta: float) -> float:
        return float(log_loss(true, special.softmax(logits.astype(float) * beta, axis=1), labels=range(classes)))

    best = minimize_scalar(cost, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8})
    found = fit_temperature(logits, true)
    assert cost(1 / found) <= best.fun + 1e-7
    nll, _ = judge_temperature(logits, true, found)
    assert nll == pytest.approx(cost(1 / found), rel=1e-6)


def test_an_overconfident_model_is_cooled_down() -> None:
    """Labels drawn from softmax(z), a model that says 3 z: the temperature is 3, and its confidence honest."""
    random = np.random.default_rng(0)
    z = random.normal(0, 1.5, (60_000, 4))
    true = (special.softmax(z, axis=1).cumsum(1) > random.random((60_000, 1))).argmax(1)
    said = (3 * z).astype(np.float32)
    found = fit_temperature(said, true)
    assert found == pytest.approx(3, rel=0.03)
    (_, before), (_, after) = judge_temperature(said, true, 1.0), judge_temperature(said, true, found)
    assert before > 0.1
    assert after < 0.01


def test_a_model_that_is_always_right_has_the_coldest() -> None:
    logits = np.array([[4, 0], [0, 4]], np.float32)
    assert fit_temperature(logits, np.array([0, 1])) == pytest.approx(COLDEST)
    with pytest.raises(ValueError, match="no pixel"):
        fit_temperature(logits[:0], np.zeros(0, int))
