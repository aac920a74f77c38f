"""The effective receptive field of networks whose field is known by arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from geoseg.models.networks import reach
from geoseg.models.probing.field import MIDDLE, gradient_distances, replaced
from geoseg.models.probing.seams import Frame


class Box(nn.Module):
    """Two logits: the mean of a window, and nothing."""

    def __init__(self, radius: int) -> None:
        super().__init__()
        self.radius = radius

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        side = 2 * self.radius + 1
        mean = F.conv2d(pixels, torch.full((1, 1, side, side), 1 / side**2), padding=self.radius)
        return torch.cat([mean, torch.zeros_like(mean)], dim=1)


@pytest.mark.parametrize("radius", [3, 10, 20])
def test_the_gradient_of_a_box_is_spread_evenly(radius: int) -> None:
    found = gradient_distances(Box(radius), [torch.rand(1, 1, 64, 64)])
    within = ((2 * np.arange(radius + 1) + 1) / (2 * radius + 1)) ** 2
    for share, distance in found.items():
        assert distance == np.flatnonzero(within >= float(share) - 1e-5)[0]


def test_content_beyond_the_reach_changes_nothing() -> None:
    network = Box(10)
    random = np.random.default_rng(0)
    valid = np.ones((96, 96), bool)
    patches = [Frame(pixels=random.normal(k % 2, 1, (1, 96, 96)).astype(np.float32), valid=valid) for k in range(4)]

    def logits_of(found: list[Frame]) -> np.ndarray:
        return network(torch.from_numpy(np.stack([p.pixels for p in found]))).numpy()

    rows = replaced(patches, logits_of=logits_of, distances=[0, 5, 10, 20])
    assert [d for d, _, _ in rows] == [0, 5, 10, 20]
    moved = [m for _, _, m in rows]
    assert moved[0] > moved[1] > 0.01
    assert moved[2:] == [0, 0]
    assert rows[2][1] == 0
    assert MIDDLE + 2 * 20 < 96


def test_a_long_reach_is_not_looked_for_when_that_is_said() -> None:
    layers = [nn.Conv2d(1, 1, 3, padding=32, dilation=32, bias=False) for _ in range(5)]
    network = nn.Sequential(*layers)
    assert reach(network, bands=1) == 160
    assert reach(network, bands=1, longest=512) == 160
    assert reach(nn.Sequential(*layers, *layers), bands=1, longest=512) is None
    assert reach(nn.Sequential(*layers, *layers), bands=1) == 320
