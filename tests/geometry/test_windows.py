"""Integer windows against plain array slicing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.geometry.windows import Window, sized, split

windows = st.builds(
    Window,
    row_off=st.integers(-20, 20),
    col_off=st.integers(-20, 20),
    height=st.integers(0, 30),
    width=st.integers(0, 30),
)


def _pixels(window: Window) -> set[tuple[int, int]]:
    return {(r, c) for r in range(window.row_off, window.row_stop) for c in range(window.col_off, window.col_stop)}


@given(windows, windows)
def test_intersection_is_that_of_the_pixels(left: Window, right: Window) -> None:
    assert _pixels(left.intersect(right)) == _pixels(left) & _pixels(right)


@given(windows, windows)
def test_within_slices_the_right_pixels_or_refuses(inner: Window, outer: Window) -> None:
    part = inner.intersect(outer)
    if part.pixels:
        rows, cols = np.mgrid[outer.row_off : outer.row_stop, outer.col_off : outer.col_stop]
        found = part.within(outer)
        assert rows[found][0, 0] == part.row_off
        assert cols[found][-1, -1] == part.col_stop - 1
    if _pixels(inner) - _pixels(outer):
        with pytest.raises(ValueError, match="does not lie inside"):
            inner.within(outer)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 20), st.integers(1, 20))
def test_split_covers_once(height: int, width: int, down: int, across: int) -> None:
    owners = np.zeros((height, width), int)
    for window in split((height, width), size=(down, across)):
        owners[window.within(Window.whole((height, width)))] += 1
    assert (owners == 1).all()


def test_floats_and_negative_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="integer"):
        Window(row_off=0.5, col_off=0, height=1, width=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot be"):
        Window(row_off=0, col_off=0, height=-1, width=1)


def test_people_say_the_width_first() -> None:
    assert sized((300, 420)) == "420 x 300"
    with pytest.raises(ValueError, match="cannot be 7 x -2"):
        Window(row_off=0, col_off=0, height=-2, width=7)
