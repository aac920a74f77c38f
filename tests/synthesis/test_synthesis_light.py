"""Shadows and colours."""

from __future__ import annotations

import numpy as np
import pytest

from geoseg.synthesis import kinds
from geoseg.synthesis.legend import LEGEND
from geoseg.synthesis.light import Weather, shadows


def test_every_material_has_a_class_and_every_class_a_material() -> None:
    assert len(kinds.CLASS_OF) == kinds.MATERIALS
    assert tuple(np.unique(kinds.CLASS_OF)) == LEGEND.ids
    assert kinds.CLASS_OF[kinds.TREE] == 3
    assert kinds.CLASS_OF[kinds.POOL] == 4
    assert kinds.CLASS_OF[kinds.ROOF_0] == 0
    assert abs(sum(k.weight for k in kinds.KINDS) - 1) < 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_a_tower_throws_a_shadow_as_long_as_the_sun_says(seed: int) -> None:
    weather = Weather.of(seed)
    height = np.zeros((120, 120), dtype=np.float32)
    height[60:80, 50:70] = tall = 12.0
    shade = shadows(height, weather=weather, gsd=1.0)
    rows, cols = np.mgrid[:120, :120]
    length = tall / weather.rise
    expected = np.zeros_like(shade, dtype=bool)
    for step in np.arange(0.25, length, 0.25):
        down, along = rows + weather.sun[0] * step, cols + weather.sun[1] * step
        expected |= (down >= 60) & (down < 80) & (along >= 50) & (along < 70)
    expected[60:80, 50:70] = False
    assert (shade[60:80, 50:70] == 0).all()
    found = shade > 0.5
    common = (found & expected).sum() / (found | expected).sum()
    assert common > 0.8
    assert found[:, :].sum() > 20


def test_a_plain_has_no_shadow() -> None:
    assert not shadows(np.full((50, 50), 3, np.float32), weather=Weather.of(0), gsd=1.0).any()
