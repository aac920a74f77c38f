"""The receptive field of any network, measured: which input pixels one output pixel depends on.

Every operation is replaced by one that hides no dependency: weights by positive constants, activations and
normalisations by the identity, maxima by means. The gradient of an output pixel is then positive at every input pixel
that could ever change it and exactly zero elsewhere (the theoretical receptive field; Araujo et al., Distill, 2019;
Luo et al., NeurIPS 2016 for why the effective one is smaller). Along one axis only: the input is a strip.

Normalisation over places (group and instance norm), global pooling and attention make every output depend on every
input: the receptive field is global, and patches of a scene are never exactly what the whole scene would give.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from geoseg.contexts.candidates import SizeRule
from geoseg.models.networks.spans import Span, field

LONGEST = 4096
"""Longest strip that is tried, pixels: what depends on all of it counts as global."""

_SHORTEST = 512
_WIDTH = 32  # of the strip: kernels of an even number of taps look past the middle column, so one would not do
_FUNCTIONS = (torch, F, torch.Tensor, torch.nn.init)

_ACTIVATIONS = (
    "relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "prelu", "elu", "elu_", "selu", "selu_", "celu", "celu_",
    "gelu", "silu", "mish", "hardswish", "hardsigmoid", "hardtanh", "hardtanh_", "sigmoid", "sigmoid_", "tanh", "tanh_",
    "softplus", "logsigmoid", "rrelu", "rrelu_",
)  # fmt: skip
_NORMS = ("batch_norm", "layer_norm", "rms_norm")
_NORMS_OVER_PLACES = ("group_norm", "instance_norm")
_SOFTMAXES = ("softmax", "log_softmax")


def measure(network: nn.Module, *, bands: int, rule: SizeRule, longest: int = LONGEST) -> tuple[int, int] | None:
    """Side of the receptive field and the farthest reach, pixels; None if it is global.

    Args:
        network: (N, C, H, W) to logits (N, K, H, W); not changed.
        bands: input channels C.
        rule: the sides it takes.
        longest: the longest strip that is tried, pixels: what depends on all of it counts as global.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        return _measure(network, bands=bands, rule=rule, longest=longest)


def _measure(network: nn.Module, *, bands: int, rule: SizeRule, longest: int) -> tuple[int, int] | None:
    probe = copy.deepcopy(network).cpu().double().eval().requires_grad_(False)
    if rule.only:
        side = max(rule.only)
        return _Strip(probe, bands=bands, length=side, width=side).field(rule.multiple)
    width = rule.near(_WIDTH)[-1]
    length = rule.near(_SHORTEST)[-1]
    while length <= longest:
        strip = _Strip(probe, bands=bands, length=max(length, width), width=width)
        found = strip.field(rule.multiple)
        if found is not None or strip.mixed:
            return found
        length *= 2
    return None


class _Strip:
    """The dependencies of a network's output on a strip of input."""

    def __init__(self, network: nn.Module, *, bands: int, length: int, width: int) -> None:
        self.length = length
        self.pixels = torch.ones(1, bands, length, width, dtype=torch.float64, requires_grad=True)
        with _Dependencies() as dependencies:
            output = network(self.pixels)
        self.mixed = dependencies.mixed
        """Whether something ran that mixes all places: a longer strip would not show more."""
        output = output["out"] if isinstance(output, dict) else output
        self.rows = output.sum(dim=(0, 1, 3))

    def field(self, multiple: int) -> tuple[int, int] | None:
        """(side, reach) of the output pixels of one period in the middle.

        None if one of them depends on the strip's ends, or if the next period is not the same, shifted: windowed
        attention, whose windows are no divisor of the period.
        """
        middle = self.length // 2 // multiple * multiple
        spans = []
        for phase in range(2 * multiple):
            span = self._support(middle + phase)
            if span.first <= 0 or span.last >= self.length - 1:
                return None
            spans.append(span.shifted(-middle))
            if phase >= multiple and spans[phase - multiple].shifted(multiple) != spans[phase]:
                return None
        return field(lambda output: spans[output.first], multiple=multiple)

    def _support(self, row: int) -> Span:
        (gradient,) = torch.autograd.grad(self.rows[row], self.pixels, retain_graph=True)
        touched = gradient.abs().sum(dim=(0, 1, 3)).nonzero()
        return Span(int(touched[0]), int(touched[-1]))


class _Dependencies(TorchFunctionMode):
    """Runs a network with operations that hide no dependency, and notes whether any mixes all places."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.mixed |= func in _MIXING
        replacement = _REPLACEMENTS.get(func)
        return (replacement or func)(*args, **(kwargs or {}))


def _passed(features: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """Ones that depend on the features as the features do: nothing can grow, vanish or saturate on the way."""
    return 1 + (features - features.detach())


def _passed_over_places(features: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    everywhere = features.mean(dim=tuple(range(2, features.ndim)), keepdim=True)
    return _passed(features + everywhere)


def _softened(features: torch.Tensor, dim: int | None = None, *_: Any, **__: Any) -> torch.Tensor:
    """Equal shares, each of which depends on all: at equal shares the real gradient is zero."""
    axis = -1 if dim is None else dim
    return _passed(features + features.mean(dim=axis, keepdim=True)) / features.shape[axis]


def _convolved(
    features: torch.Tensor, weight: torch.Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0,  # noqa: ARG001
    dilation: Any = 1, groups: int = 1,
) -> torch.Tensor:  # fmt: skip
    """A convolution with positive constant weights. Channels are averaged before it: the answer is that of all."""
    taps = features.new_full((groups, 1, *weight.shape[2:]), 1 / weight[0, 0].numel())
    means = features.reshape(len(features), groups, -1, *features.shape[2:]).mean(dim=2)
    return F.conv2d(means, taps, None, stride, padding, dilation, groups).repeat_interleave(
        weight.shape[0] // groups, dim=1
    )


def _transposed(
    features: torch.Tensor, weight: torch.Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0,  # noqa: ARG001
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> torch.Tensor:  # fmt: skip
    """A transposed convolution with positive constant weights, likewise."""
    taps = features.new_full((groups, 1, *weight.shape[2:]), 1 / weight[0, 0].numel())
    means = features.reshape(len(features), groups, -1, *features.shape[2:]).mean(dim=2)
    return F.conv_transpose2d(means, taps, None, stride, padding, output_padding, groups, dilation).repeat_interleave(
        weight.shape[1], dim=1
    )


def _linear(features: torch.Tensor, weight: torch.Tensor, bias: Any = None) -> torch.Tensor:  # noqa: ARG001
    return features.mean(dim=-1, keepdim=True).expand(*features.shape[:-1], weight.shape[0])


def _averaged(features: torch.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
              ceil_mode: bool = False, return_indices: bool = False) -> Any:  # fmt: skip
    """A mean in place of a maximum; its places, if they are asked for, say nothing."""
    if dilation not in (1, (1, 1), [1, 1]):
        raise NotImplementedError("max pooling with holes")
    found = F.avg_pool2d(features, kernel_size, stride, padding, ceil_mode)
    return (found, torch.zeros_like(found, dtype=torch.int64)) if return_indices else found


def _unpooled(features: torch.Tensor, _indices: torch.Tensor, kernel_size: Any, *_: Any, **__: Any) -> torch.Tensor:
    """A value may land anywhere in its block."""
    return F.interpolate(features, scale_factor=kernel_size, mode="nearest")


def _named(*names: str) -> list[Any]:
    """The functions and methods of these names, wherever PyTorch keeps them."""
    return [getattr(owner, name) for owner in _FUNCTIONS for name in names if hasattr(owner, name)]


_MIXING = frozenset(
    _named(
        *_NORMS_OVER_PLACES, "adaptive_avg_pool2d", "adaptive_max_pool2d", "scaled_dot_product_attention", "matmul",
        "__matmul__", "bmm", "baddbmm", "einsum",
    )
)  # fmt: skip

_REPLACEMENTS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(_named(*_ACTIVATIONS, *_NORMS), _passed),
    **dict.fromkeys(_named(*_NORMS_OVER_PLACES), _passed_over_places),
    **dict.fromkeys(_named("linear"), _linear),
    **dict.fromkeys(_named(*_SOFTMAXES), _softened),
    F.conv2d: _convolved,
    F.conv_transpose2d: _transposed,
    **dict.fromkeys([F.max_pool2d, torch.max_pool2d], _averaged),
    F.max_pool2d_with_indices: lambda *args, **kwargs: _averaged(*args, **{**kwargs, "return_indices": True}),
    F.adaptive_max_pool2d: lambda features, output_size, *_: F.adaptive_avg_pool2d(features, output_size),
    F.max_unpool2d: _unpooled,
}
