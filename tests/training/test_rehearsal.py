"""A training whose steps may hold one patch is refused before it begins, if the network cannot learn from one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from geoseg.contexts.distributions import Distribution
from geoseg.errors import ConfigError
from geoseg.models.networks import build
from geoseg.training.rehearsal import refuse_lone_patches

SMALL: dict[str, Any] = {"encoder_name": "resnet18"}
SIZES = Distribution(sizes=(64, 96, 128), weights=(1, 1, 1))


def network(architecture: str = "DeepLabV3Plus") -> nn.Module:
    return build(architecture, SMALL, bands=3, classes=2)


@pytest.mark.parametrize("architecture", ["DeepLabV3Plus", "PAN", "UPerNet"])
def test_pooled_networks_need_two_patches(architecture: str) -> None:
    pooled = network(architecture)
    with pytest.raises(ConfigError, match=r"one patch of 128 px.* to 32,768 or leave out sizes above 110 px") as caught:
        refuse_lone_patches(pooled, contexts=SIZES, bands=3, budget=24_576)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="more than 1 value per channel"):  # what the step would have met
        pooled.train()(torch.zeros(1, 3, 128, 128))
    refuse_lone_patches(pooled, contexts=SIZES, bands=3, budget=32_768)


def test_one_size_alone_is_to_be_smaller() -> None:
    with pytest.raises(ConfigError, match=r"to 8,192 or take patches of at most 45 px"):
        refuse_lone_patches(network(), contexts=Distribution(sizes=(64,), weights=(1,)), bands=3, budget=4096)


@pytest.mark.parametrize("architecture", ["Unet", "PSPNet"])  # the latter pools to one value, and does not norm it
def test_others_learn_from_one(architecture: str) -> None:
    refuse_lone_patches(network(architecture), contexts=SIZES, bands=3, budget=128**2)


class Dropping(nn.Module):
    """Draws random numbers, and changes its weights and statistics with every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.norm.weight += 1
        return self.drop(self.norm(pixels))


def test_the_try_leaves_no_trace() -> None:
    tried = Dropping().eval()
    weights = {name: value.clone() for name, value in tried.state_dict().items()}
    state = torch.random.get_rng_state()
    refuse_lone_patches(tried, contexts=SIZES, bands=3, budget=128**2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not tried.norm.training
    assert all(torch.equal(value, weights[name]) for name, value in tried.state_dict().items())
