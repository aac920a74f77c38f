"""Folding: every batch norm that follows a convolution and nothing else, and no other; the answers stay."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from geoseg.models.networks import build, size_rule
from geoseg.models.runtimes.eager import EagerPredictor
from geoseg.models.runtimes.folding import fold_batch_norms

# architecture, arguments, batch norms that are never run (stages that the encoder has and does not use)
NETWORKS = [
    ("Unet", {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}, 10),
    ("Unet", {"encoder_name": "tu-tf_efficientnet_lite0"}, 0),
    ("Linknet", {"encoder_name": "resnet18"}, 0),
    ("PSPNet", {"encoder_name": "resnet18"}, 10),
    ("Dilated6Pooling", {}, 0),
]


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def lively(network: nn.Module) -> nn.Module:
    """With norms that do something: an untrained one's running statistics are 0 and 1."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return network.eval()


@pytest.mark.parametrize(("architecture", "arguments", "left"), NETWORKS)
@torch.inference_mode()
def test_all_norms_are_folded_and_the_answers_stay(architecture: str, arguments: dict[str, Any], left: int) -> None:
    network = lively(build(architecture, arguments, bands=3, classes=4))
    side = size_rule(network).near(64)[-1]
    pixels = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    before, had = network(pixels), norms(network)
    assert fold_batch_norms(network) == had - left
    assert norms(network) == left
    assert (network(pixels) - before).abs().max() <= 1e-4 * before.abs().max()


class Forked(nn.Module):
    """What the convolution gives is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.conv(x)
        return self.norm(found) + found


class Shared(nn.Module):
    """One convolution under two names, one of them without a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))
        self.second = self.first[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] < 0:  # cannot be traced
            raise ValueError
        return self.second(self.first(x))


class Stubborn(nn.Module):
    """Cannot be traced; its norm's forward is called from outside a module that could."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)) if x.mean() > -1e9 else x


class Scaled(nn.Conv2d):
    """A convolution that does more than its parent."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 3


@pytest.mark.parametrize(
    "network",
    [Forked(), Shared(), Stubborn(), nn.Sequential(Scaled(3, 4, 3), nn.BatchNorm2d(4))],
    ids=["forked", "shared", "stubborn", "subclass"],
)
@torch.inference_mode()
def test_what_is_not_plain_stays_as_it_is(network: nn.Module) -> None:
    lively(network)
    pixels = torch.randn(1, 3, 16, 16)
    before = network(pixels)
    assert fold_batch_norms(network) == 0
    assert torch.equal(network(pixels), before)


def test_a_callers_module_is_left_as_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
    weight = network[0].weight.detach().clone()
    EagerPredictor(network)
    assert norms(network) == 1
    assert torch.equal(network[0].weight, weight)
    assert network[0].weight.stride() == weight.stride()
