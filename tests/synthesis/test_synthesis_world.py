"""The world is a function of position, has no seams, and is neither empty nor told by colour alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score
from sklearn.tree import DecisionTreeClassifier

from geoseg.geometry.windows import Window
from geoseg.synthesis import world
from geoseg.synthesis.world import render

Rendered = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
FAR = Window(row_off=-1100, col_off=10**5 - 900, height=1024, width=1024)


@pytest.fixture(scope="module")
def far() -> Rendered:
    return render(FAR, seed=11)


@settings(max_examples=12, deadline=None)
@given(row=st.integers(0, 1023), col=st.integers(0, 1023), height=st.integers(1, 300), width=st.integers(1, 300))
def test_a_pixel_is_the_same_in_every_window(far: Rendered, row: int, col: int, height: int, width: int) -> None:
    part = Window(
        row_off=FAR.row_off + row, col_off=FAR.col_off + col, height=min(height, 1024 - row),
        width=min(width, 1024 - col),
    )  # fmt: skip
    pixels, truth = render(part, seed=11)
    rows, cols = part.within(FAR)
    np.testing.assert_array_equal(pixels, far[0][:, rows, cols])
    np.testing.assert_array_equal(truth, far[1][rows, cols])


def test_blocks_leave_no_seams(far: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "BLOCK", 200)
    pixels, truth = render(FAR, seed=11)
    assert (truth != far[1]).mean() < 1e-5
    apart = np.abs(pixels.astype(np.int16) - far[0])
    assert (apart > 4).mean() < 1e-4


def test_seeds_differ_and_windows_may_be_empty(far: Rendered) -> None:
    other = render(Window(row_off=-1100, col_off=10**5 - 900, height=256, width=256), seed=12)
    assert (other[1] != far[1][:256, :256]).mean() > 0.2
    pixels, truth = render(Window(row_off=5, col_off=5, height=0, width=7), seed=1)
    assert pixels.shape == (3, 0, 7)
    assert truth.shape == (0, 7)


def test_classes_come_in_plausible_shares() -> None:
    counts = np.zeros(5)
    for seed in range(4):
        _, truth = render(Window.whole((1024, 1024)), seed=seed)
        found = np.bincount(truth.ravel(), minlength=5)
        assert len(found) == 5
        counts += found
    building, land, road, vegetation, water = counts / counts.sum()
    assert 0.06 < building < 0.2
    assert 0.35 < land < 0.6
    assert 0.06 < road < 0.16
    assert 0.08 < vegetation < 0.25
    assert 0.02 < water < 0.25


def test_colour_alone_does_not_tell_the_class(far: Rendered) -> None:
    pixels, truth = render(Window.whole((512, 1024)), seed=12)
    tree = DecisionTreeClassifier(min_samples_leaf=200, random_state=0)
    tree.fit(far[0].reshape(3, -1).T[::5], far[1].ravel()[::5])
    told = tree.predict(pixels.reshape(3, -1).T)
    assert 0.1 < jaccard_score(truth.ravel(), told, average="macro") < 0.6


def test_no_class_is_flat(far: Rendered) -> None:
    for number in range(5):
        assert far[0][:, far[1] == number].std(axis=1).min() > 6


def test_half_the_gsd_shows_the_same_place_twice_as_large() -> None:
    _, coarse = render(Window.whole((256, 256)), seed=2, gsd=2.0)
    _, fine = render(Window.whole((512, 512)), seed=2, gsd=1.0)
    assert (fine[::2, ::2] == coarse).mean() > 0.85
    with pytest.raises(ValueError, match="GSD"):
        render(Window.whole((1, 1)), gsd=0)
