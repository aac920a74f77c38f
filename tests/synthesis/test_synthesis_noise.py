"""Hashes and noise: uniform, the same wherever they are asked for, exact far out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.synthesis.noise import Frame, byte, lattice_hash, pixel_words, smooth_noise, unit


def frame(anchor: tuple[int, int], size: int = 40, seed: int = 3) -> Frame:
    places = np.arange(size, dtype=np.float32) + np.float32(0.5)
    return Frame(seed=seed, anchor=anchor, y=places, x=places)


def test_hashes_are_uniform_and_neighbours_unrelated() -> None:
    numbers = np.arange(-300, 300, dtype=np.int64)
    drawn = unit(lattice_hash(numbers[:, None], numbers[None, :], seed=1, key=2))
    assert drawn.min() >= 0
    assert drawn.max() < 1
    histogram = np.histogram(drawn, bins=32, range=(0, 1))[0]
    expected = drawn.size / 32
    assert ((histogram - expected) ** 2 / expected).sum() < 70  # chi-squared, 31 degrees of freedom: 1 in 10,000
    for step in (drawn[1:] - 0.5) * (drawn[:-1] - 0.5), (drawn[:, 1:] - 0.5) * (drawn[:, :-1] - 0.5):
        assert abs(step.mean()) < 0.001


def test_pixel_words_fill_all_bytes() -> None:
    numbers = np.arange(10**10, 10**10 + 256, dtype=np.int64)
    words = pixel_words(numbers, numbers, seed=0, key=1)
    for index in range(4):
        assert np.histogram(byte(words, index), bins=16, range=(0, 1))[0].min() > 3600  # of 4096 each


@pytest.mark.parametrize("other", [{"seed": 4}, {"key": 8}])
def test_seed_and_key_choose_the_noise(other: dict[str, int]) -> None:
    numbers = np.arange(50, dtype=np.int64)
    one = lattice_hash(numbers, numbers, seed=3, key=7)
    assert not (one == lattice_hash(numbers, numbers, **{"seed": 3, "key": 7, **other})).any()


@settings(max_examples=40, deadline=None)
@given(
    y=st.integers(-(10**9), 10**9),
    x=st.integers(-(10**9), 10**9),
    down=st.integers(0, 100),
    along=st.integers(0, 100),
    cell=st.integers(2, 900),
)
def test_noise_belongs_to_the_place(y: int, x: int, down: int, along: int, cell: int) -> None:
    one = smooth_noise(frame((y, x), size=140), cell, key=5)
    two = smooth_noise(frame((y + down, x + along)), cell, key=5)
    np.testing.assert_allclose(one[down : down + 40, along : along + 40], two, atol=2e-4)


def test_noise_is_smooth_and_of_the_height_promised() -> None:
    values = smooth_noise(frame((10**8, -(10**8)), size=800), 16, key=1)
    assert abs(values.mean()) < 0.05
    assert 0.45 < values.std() < 0.55
    assert np.abs(values).max() < 2
    assert np.abs(np.diff(values, axis=0)).max() < 0.25
    assert np.abs(np.diff(values, axis=1)).max() < 0.25
