"""What geoseg's own networks have in common: the sides they take, their receptive field, the blocks of VGG16."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from geoseg.contexts.candidates import SizeRule
from geoseg.errors import BundleError, PlanError
from geoseg.models.networks import spans
from geoseg.models.networks.spans import Span

VGG16 = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""Per stage of VGG16 (Simonyan & Zisserman, ICLR 2015): channels in units of the first stage's, and convolutions."""


class Network(nn.Module):
    """Pixels (N, C, H, W), float, to logits (N, K, H, W)."""

    multiple: int = 1
    """Sides of the input are multiples of it: the network's total downsampling."""

    least: int = 1
    """The smallest side."""

    @property
    def size_rule(self) -> SizeRule:
        """Which sides it takes."""
        return SizeRule(multiple=self.multiple, least=self.least)

    @property
    def receptive_field(self) -> int:
        """Side of the largest window that one output pixel depends on, pixels, by arithmetic."""
        return spans.field(self.support, multiple=self.multiple)[0]

    @property
    def reach(self) -> int:
        """Distance to the farthest input pixel that an output pixel depends on, pixels, by arithmetic."""
        return spans.field(self.support, multiple=self.multiple)[1]

    def support(self, output: Span) -> Span:
        """The input positions that output positions depend on, along one axis."""
        raise NotImplementedError

    def refuse(self, pixels: torch.Tensor) -> None:
        """Refuses sides that the network does not take.

        Raises:
            PlanError: if the height or width of ``pixels`` (N, C, H, W) is not of :attr:`size_rule`.
        """
        rule = self.size_rule
        for side in pixels.shape[-2:]:
            refusal = rule.refusal(int(side))
            if refusal is not None:
                raise PlanError(f"{type(self).__name__}: {refusal}")


def positive(family: str, **numbers: int) -> None:
    """Refuses arguments that must be whole and positive and are not.

    Raises:
        BundleError: naming the argument.
    """
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise BundleError(f"{family} cannot be built with {name}={value!r}: give a whole number from 1 on")


def share(family: str, **numbers: float) -> None:
    """Refuses arguments that must lie in [0, 1) and do not.

    Raises:
        BundleError: naming the argument.
    """
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise BundleError(f"{family} cannot be built with {name}={value!r}: give a number from 0 to below 1")


def convolution(inputs: int, outputs: int, *, batch_norm: bool, kernel: int = 3, transposed: bool = False) -> nn.Module:
    """A convolution that keeps the size, then batch norm if wanted, then ReLU; weights after He et al., ICCV 2015."""
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer = kind(inputs, outputs, kernel, padding=kernel // 2, bias=not batch_norm)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    norm = [nn.BatchNorm2d(outputs)] if batch_norm else []
    return nn.Sequential(layer, *norm, nn.ReLU(inplace=True))


def vgg_stages(bands: int, *, width: int, batch_norm: bool) -> nn.ModuleList:
    """The five stages of VGG16's convolutions, without the pooling after each."""
    stages, inputs = nn.ModuleList(), bands
    for units, count in VGG16:
        outputs = units * width
        channels = [inputs] + [outputs] * count
        stages.append(nn.Sequential(*(convolution(a, b, batch_norm=batch_norm) for a, b in pairwise(channels))))
        inputs = outputs
    return stages


def vgg_support(pooled: Span, *, stages: int) -> Span:
    """What the first ``stages`` stages of VGG16, each with its pooling, read for positions of the last pooling."""
    for _, count in reversed(VGG16[:stages]):
        pooled = of_stage(spans.of_convolution(pooled, kernel=2, stride=2), count=count)
    return pooled


def of_stage(span: Span, *, count: int) -> Span:
    """What ``count`` convolutions 3 x 3 that keep the size read."""
    return spans.of_convolution(span, kernel=2 * count + 1, before=count)
