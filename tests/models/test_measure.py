"""Costs per pixel are what can be counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from geoseg.models.measure import activation_bytes_per_pixel, macs_per_pixel


def test_multiply_adds_of_convolutions() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    assert macs_per_pixel(network, bands=3, side=16) == pytest.approx(3 * 8 * 9 + 8 * 2)


def test_live_bytes_are_those_of_the_widest_moment() -> None:
    # input 3 + first 8 live at once; then 3 + 8 + 2 while the second layer is computed (the input is the caller's)
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1))
    assert activation_bytes_per_pixel(network, bands=3, side=16) == pytest.approx(4 * (3 + 8 + 2))


def test_what_is_freed_is_not_counted() -> None:
    deep = nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(20)))
    assert activation_bytes_per_pixel(deep, bands=4, side=16) == pytest.approx(4 * (4 + 4 + 4))


class Keeper(nn.Module):
    """Holds every intermediate to the end, as skip connections do, and looks at views of them."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        kept = [pixels + i for i in range(5)]
        views = [k[:, :, ::2].reshape(-1) for k in kept]
        del views
        return kept[0]


def test_what_is_kept_is_counted_and_views_are_not() -> None:
    found = activation_bytes_per_pixel(Keeper(), bands=1, side=16)
    # the input, five sums, and the reshaped halves (copies), of which all five live at once
    assert found == pytest.approx(4 * (1 + 5 + 2.5))


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    activation_bytes_per_pixel(network, bands=1, side=8)
    macs_per_pixel(network, bands=1, side=8)
    assert network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
