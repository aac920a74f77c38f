"""Stratified samples: shares that add up, pixels that are of their class, every pixel as likely as the next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from geoseg.errors import SampleError
from geoseg.evaluation import sampling
from geoseg.evaluation.sample_size import allocate
from geoseg.evaluation.sampling import draw, tally
from geoseg.geometry.windows import Window

RARE = np.array([200_000, 150_000, 3_200_000, 6_450_000])


def test_the_papers_allocation() -> None:
    """Table 5: 75 units for each rare class, the rest by area (which the paper rounds to 165 and 325)."""
    expect = np.array([0.7, 0.6, 0.9, 0.95])
    given_to = allocate(640, RARE, method="proportional", minimum=75, accuracies=expect)
    assert given_to.tolist() == [75, 75, 162, 328]
    assert allocate(640, RARE, method="equal", minimum=0, accuracies=expect).tolist() == [160] * 4
    assert allocate(641, RARE, method="proportional", minimum=0, accuracies=expect).tolist() == [13, 10, 205, 413]
    neyman = allocate(1000, RARE, method="neyman", minimum=0, accuracies=expect)
    deviations = RARE * np.sqrt(expect * (1 - expect))
    assert np.abs(neyman - 1000 * deviations / deviations.sum()).max() < 1


@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=6).filter(any),
    st.integers(1, 1500),
    st.integers(0, 60),
    st.sampled_from(["equal", "proportional", "neyman"]),
)
def test_units_add_up_within_their_bounds(pixels: list[int], size: int, minimum: int, method: str) -> None:
    there = np.array(pixels, np.int64)
    accuracies = np.linspace(0.5, 1, there.size)
    least = np.minimum(there, minimum)
    if least.sum() > size:
        with pytest.raises(SampleError, match="too few"):
            allocate(size, there, method=method, minimum=minimum, accuracies=accuracies)
        return
    found = allocate(size, there, method=method, minimum=minimum, accuracies=accuracies)
    assert found.sum() == min(size, there.sum())
    assert (found <= there).all()
    assert (found >= least).all()


def test_pixels_are_of_their_class_and_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "WINDOW", 16)
    ids = np.random.default_rng(1).choice(np.array([0, 1, 4, 255], np.uint8), (50, 70), p=[0.6, 0.3, 0.02, 0.08])
    calls: list[Window] = []

    def read(window: Window) -> np.ndarray:
        calls.append(window)
        return ids[window.row_off : window.row_stop, window.col_off : window.col_stop]

    counted = tally(read, ids.shape, row_areas=lambda w: np.arange(w.row_off, w.row_stop) + 1.0)
    assert counted.pixels == {i: int((ids == i).sum()) for i in (0, 1, 4)}
    grown = np.repeat(np.arange(50) + 1.0, 70).reshape(ids.shape)
    assert counted.areas == pytest.approx({i: grown[ids == i].sum() for i in (0, 1, 4)})
    rare = int((ids == 4).sum())
    calls.clear()
    drawn = draw(read, counted, {0: 40, 1: 7, 4: rare}, seed=5)
    assert len(calls) == len(set(calls))  # every window once at most
    assert (ids[drawn.rows, drawn.cols] == drawn.classes).all()
    assert len(set(zip(drawn.rows.tolist(), drawn.cols.tolist(), strict=True))) == 47 + rare
    assert set(zip(drawn.rows[drawn.classes == 4], drawn.cols[drawn.classes == 4], strict=True)) == set(
        zip(*np.nonzero(ids == 4), strict=True)
    )
    again = draw(read, counted, {0: 40, 1: 7, 4: rare}, seed=5)
    assert (again.rows == drawn.rows).all()
    assert (draw(read, counted, {0: 40}, seed=6).rows != draw(read, counted, {0: 40}, seed=5).rows).any()
    with pytest.raises(ValueError, match="are wanted"):
        draw(read, counted, {4: rare + 1}, seed=5)


def test_every_pixel_is_as_likely_as_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "WINDOW", 4)
    ids = np.zeros((9, 10), np.uint8)
    ids[3:6, :7] = 1

    def read(window: Window) -> np.ndarray:
        return ids[window.row_off : window.row_stop, window.col_off : window.col_stop]

    counted = tally(read, ids.shape, row_areas=None)
    hits = np.zeros(ids.shape, np.int64)
    for seed in range(800):
        drawn = draw(read, counted, {0: 10, 1: 3}, seed=seed)
        hits[drawn.rows, drawn.cols] += 1
    assert stats.chisquare(hits[ids == 0]).pvalue > 1e-4
    assert stats.chisquare(hits[ids == 1]).pvalue > 1e-4
