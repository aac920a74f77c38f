"""Elastic deformation moves labels with their pixels, from the patch's own random numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from geoseg.legend import IGNORE
from geoseg.training.elastic import deformed, random_field

SIZE = 40


def coordinates() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Pixels that are their own row and column, labels that are a function of both."""
    rows, cols = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    return np.stack([rows, cols]), ((7 * rows + 3 * cols) % 11).astype(np.uint8)


def whole() -> npt.NDArray[np.bool_]:
    return np.ones((SIZE, SIZE), np.bool_)


def test_no_displacement_changes_nothing() -> None:
    pixels, labels = coordinates()
    valid = labels != 3
    moved, inside, named = deformed(pixels, valid, labels, field=np.zeros((2, SIZE, SIZE), np.float32))
    np.testing.assert_allclose(moved, pixels, atol=1e-3)
    np.testing.assert_array_equal(inside, valid)
    np.testing.assert_array_equal(named, labels)
    assert (named.dtype, inside.dtype, moved.dtype) == (np.uint8, np.bool_, np.float32)


@pytest.mark.parametrize(("right", "down"), [(3, 0), (0, -5), (2, 7)])
def test_an_even_field_is_a_shift(right: int, down: int) -> None:
    pixels, labels = coordinates()
    field = np.zeros((2, SIZE, SIZE), np.float32)
    field[0], field[1] = right, down
    moved, inside, named = deformed(pixels, whole(), labels, field=field)
    expected = np.full((SIZE, SIZE), IGNORE, np.uint8)
    top, left = max(0, -down), max(0, -right)
    rows, cols = slice(top, SIZE - max(0, down)), slice(left, SIZE - max(0, right))
    expected[rows, cols] = labels[rows.start + down : rows.stop + down, cols.start + right : cols.stop + right]
    np.testing.assert_array_equal(named, expected)
    np.testing.assert_array_equal(inside, expected != IGNORE)
    assert np.abs(moved[0][inside] - (np.arange(SIZE)[:, None] + down + 0 * expected)[inside]).max() < 1e-3


@given(st.integers(0, 2**32 - 1), st.floats(1, 600), st.floats(0.5, 12))
def test_labels_are_those_of_the_pixels_nearest(seed: int, alpha: float, sigma: float) -> None:
    pixels, labels = coordinates()
    field = random_field(SIZE, alpha=alpha, sigma=sigma, rng=np.random.default_rng(seed))
    moved, inside, named = deformed(pixels, whole(), labels, field=field)
    rows, cols = np.mgrid[:SIZE, :SIZE] + field[::-1].astype(np.float64)
    interior = (rows >= 0) & (rows <= SIZE - 1) & (cols >= 0) & (cols <= SIZE - 1)
    beyond = (rows < -0.51) | (rows > SIZE - 0.49) | (cols < -0.51) | (cols > SIZE - 0.49)
    np.testing.assert_allclose(moved[0][interior], rows[interior], atol=2e-3)
    np.testing.assert_allclose(moved[1][interior], cols[interior], atol=2e-3)
    sure = interior & (np.abs(rows % 1 - 0.5) > 0.01) & (np.abs(cols % 1 - 0.5) > 0.01)
    np.testing.assert_array_equal(named[sure], labels[np.rint(rows[sure]).astype(int), np.rint(cols[sure]).astype(int)])
    assert (named[beyond] == IGNORE).all()
    assert not inside[beyond].any()
    assert inside[interior].all()
    assert ((named == IGNORE) == ~inside).all()


def test_interpolation_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    pixels = rng.normal(size=(3, SIZE, SIZE)).astype(np.float32)
    field = random_field(SIZE, alpha=200, sigma=6, rng=rng)
    moved, _, _ = deformed(pixels, whole(), np.zeros((SIZE, SIZE), np.uint8), field=field)
    where = np.mgrid[:SIZE, :SIZE] + field[::-1]
    for mine, band in zip(moved, pixels, strict=True):
        theirs = ndimage.map_coordinates(band, where, order=1, mode="grid-constant")
        np.testing.assert_allclose(mine, theirs, atol=1e-3)


def test_a_field_is_a_function_of_its_generator_alone() -> None:
    state = torch.get_rng_state()
    one = random_field(SIZE, alpha=50, sigma=5, rng=np.random.default_rng(7))
    torch.manual_seed(99)
    other = random_field(SIZE, alpha=50, sigma=5, rng=np.random.default_rng(7))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, random_field(SIZE, alpha=50, sigma=5, rng=np.random.default_rng(8)))
    torch.set_rng_state(state)
    deformed(np.zeros((1, SIZE, SIZE), np.float32), whole(), np.zeros((SIZE, SIZE), np.uint8), field=one)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_field_is_as_strong_and_as_smooth_as_it_says() -> None:
    field = random_field(512, alpha=300, sigma=10, rng=np.random.default_rng(0))
    assert field.std() == pytest.approx(0.08 * 300 / 10, rel=0.1)
    assert np.diff(field, axis=1).std() == pytest.approx(0.06 * 300 / 100, rel=0.1)
