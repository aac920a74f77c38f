"""The quick tools of the synthesis against NumPy's own."""

from __future__ import annotations

import numpy as np
import pytest

from geoseg.synthesis.noise import Frame
from geoseg.synthesis.sampling import Sampler, look_up, paint, saw
from geoseg.synthesis.terrain import STEP


def test_paint_is_a_masked_copy() -> None:
    random = np.random.default_rng(0)
    target = random.integers(0, 256, (30, 40), dtype=np.uint8)
    where = random.random((30, 40)) < 0.5
    values = random.integers(0, 256, (30, 40), dtype=np.uint8)
    for value in (values, 7, 255):
        expected = np.where(where, value, target)
        painted = target.copy()
        paint(painted, value, where)
        np.testing.assert_array_equal(painted, expected)


def test_look_up_is_indexing() -> None:
    random = np.random.default_rng(1)
    table = random.random(256).astype(np.float32)
    for dtype in (np.uint8, np.intp):
        index = random.integers(0, 256, (20, 20)).astype(dtype)
        np.testing.assert_array_equal(look_up(table, index), table[index])


@pytest.mark.parametrize("period", [4.0, 5.0])
def test_saw_rises_and_falls(period: float) -> None:
    place = np.linspace(-50, 50, 1001, dtype=np.float32)
    expected = np.abs(np.remainder(place, period) / period - 0.5) * 4 - 1
    np.testing.assert_allclose(saw(place, period), expected, atol=1e-4)


def test_planes_come_through_exactly_and_indices_are_the_nearest_points() -> None:
    coarse = Frame(
        seed=0, anchor=(0, 0),
        y=(np.arange(30) * STEP - 20).astype(np.float32), x=(np.arange(40) * STEP - 24).astype(np.float32),
    )  # fmt: skip
    fine = Frame(
        seed=0, anchor=(0, 0),
        y=np.arange(60, dtype=np.float32) + np.float32(0.5), x=np.arange(70, dtype=np.float32) + np.float32(0.5),
    )  # fmt: skip
    sampler = Sampler(coarse=coarse, fine=fine)
    plane = 3 * coarse.y[:, None] - 2 * coarse.x[None, :]
    np.testing.assert_allclose(sampler.linear(plane), 3 * fine.y[:, None] - 2 * fine.x[None, :], atol=1e-3)
    y, x = (a.astype(np.float32) for a in np.meshgrid(fine.y, fine.x, indexing="ij"))
    found = sampler.indices(y, x)
    assert np.abs(coarse.y[found // 40] - y).max() <= STEP / 2
    assert np.abs(coarse.x[found % 40] - x).max() <= STEP / 2
    assert sampler.indices(y + 1000, x - 1000).max() < 30 * 40
