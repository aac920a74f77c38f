"""Score tables are exact sums; selection takes the best mean, with enough values, ties to the cheaper."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.contexts.calibration import CalibratedContext, Calibration
from geoseg.contexts.scores import ScoreTable
from geoseg.contexts.selection import Rated, fusion_weights, ranked, rated
from geoseg.errors import BundleError, PlanError

VALUES = st.lists(st.tuples(st.sampled_from([64, 96, 128]), st.floats(0, 1)), min_size=1, max_size=60)


@given(VALUES, st.floats(0.5, 0.999))
def test_the_table_holds_what_numpy_says(values: list[tuple[int, float]], decay: float) -> None:
    table = ScoreTable(decay=decay)
    for size, value in values:
        table.add(size, value)
    for score in table:
        own = np.array([v for s, v in values if s == score.size])
        assert score.count == len(own)
        assert score.mean == pytest.approx(own.mean())
        if len(own) > 1:
            assert score.deviation == pytest.approx(own.std(ddof=1), abs=1e-7)
        else:
            assert math.isnan(score.deviation)
        factors = decay ** np.arange(len(own))[::-1]
        assert score.weighted_mean == pytest.approx((own * factors).sum() / factors.sum())
    assert [s.size for s in table] == sorted({s for s, _ in values})


@given(VALUES)
def test_a_table_comes_back_from_json_bit_for_bit(values: list[tuple[int, float]]) -> None:
    table, interrupted = ScoreTable(criterion="loss", decay=0.9), ScoreTable(criterion="loss", decay=0.9)
    for size, value in values:
        table.add(size, value)
        interrupted.add(size, value)
        interrupted = ScoreTable.from_json(json.loads(json.dumps(interrupted.to_json())))
    assert interrupted == table


def test_early_noise_weighs_in_the_mean_and_not_in_the_weighted_one() -> None:
    table = ScoreTable(decay=0.9)
    for _ in range(200):
        table.add(64, 0.1)
    for _ in range(200):
        table.add(64, 0.9)
    assert table[64].mean == pytest.approx(0.5)
    assert table[64].weighted_mean == pytest.approx(0.9, abs=1e-6)


def test_no_number_is_not_counted() -> None:
    table = ScoreTable()
    table.add(64, math.nan)
    assert len(table) == 0


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 10), st.integers(1, 9)), min_size=1, unique_by=lambda t: t[0])
)
def test_the_best_comes_first_and_ties_go_to_the_cheaper(entries: list[tuple[int, int, int]]) -> None:
    known = [Rated(size=s, value=v / 10) for s, v, _ in entries]
    price = {s: float(c) for s, _, c in entries}
    order = ranked(known, cost=price.__getitem__)
    assert sorted(order, key=lambda e: e.size) == sorted(known, key=lambda e: e.size)
    assert list(order) == sorted(known, key=lambda e: (-e.value, price[e.size], e.size))


def test_losses_are_best_when_low() -> None:
    table = ScoreTable(criterion="loss")
    for size, value in ((64, 0.3), (96, 0.2), (128, 0.4)):
        table.add(size, value)
    assert [e.size for e in ranked(rated(table))] == [96, 64, 128]


def test_a_context_that_was_hardly_drawn_has_no_say() -> None:
    table = ScoreTable()
    table.add(64, 1.0)
    for size in (96, 128):
        for _ in range(50):
            table.add(size, size / 1000)
    assert [e.size for e in ranked(rated(table))] == [128, 96]
    assert [e.size for e in ranked(rated(table), least_count=1)] == [64, 128, 96]


def test_values_within_the_tolerance_are_ties() -> None:
    entries = [Rated(size=256, value=0.5004), Rated(size=512, value=0.5), Rated(size=1024, value=0.49)]
    cost = {256: 3.0, 512: 2.0, 1024: 1.0}.__getitem__
    assert ranked(entries, cost=cost, tolerance=0.001)[0].size == 512
    assert ranked(entries, cost=cost)[0].size == 256


def test_nothing_scored_says_what_to_do() -> None:
    with pytest.raises(PlanError, match="geoseg calibrate"):
        ranked([Rated(size=64, value=math.nan)])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=5))
def test_fusion_weights_sum_to_one_and_follow_the_scores(values: list[float]) -> None:
    entries = [Rated(size=i + 1, value=v) for i, v in enumerate(values)]
    assert fusion_weights(entries, equal=True) == pytest.approx([1 / len(values)] * len(values))
    weights = fusion_weights(entries)
    assert sum(weights) == pytest.approx(1)
    assert all(w > 0 for w in weights)
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(weights)[order]) >= -1e-12).all()


def test_a_calibration_survives_json_and_refuses_nonsense() -> None:
    rows = tuple(
        CalibratedContext(size=s, miou=0.5, overall_accuracy=0.75, seconds_per_megapixel=0.25) for s in (64, 128)
    )
    table = Calibration(rows=rows, scenes=("a", "b"), pixels=9, overlap=64, machine="m")
    assert Calibration.from_json(json.loads(json.dumps(table.to_json()))) == table
    with pytest.raises(BundleError, match="rising order"):
        Calibration(rows=rows[::-1], scenes=("a",), pixels=9, overlap=64)
    with pytest.raises(BundleError, match="damaged"):
        Calibration.from_json({"rows": [{"size": 64}]})
    with pytest.raises(BundleError, match="damaged"):
        ScoreTable.from_json({"criterion": "accuracy", "decay": 0.9, "rows": [{"size": 64}]})
    with pytest.raises(BundleError, match="by 'beauty'"):
        ScoreTable.from_json({"criterion": "beauty", "decay": 0.9, "rows": []})
