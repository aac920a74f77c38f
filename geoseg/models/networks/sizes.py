"""Which patch sides a network takes: its own word, an smp model's strides, or trial."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from geoseg.contexts.candidates import SizeRule
from geoseg.models.modes import modes_of, restore_modes


def multiple_of(network: nn.Module) -> int:
    """See :func:`geoseg.models.networks.multiple_of`."""
    own = getattr(network, "multiple", None)
    if isinstance(own, int) and not isinstance(own, bool) and own >= 1:
        return own
    encoder = getattr(network, "encoder", None)
    stride = getattr(encoder, "output_stride", 1)
    if not isinstance(stride, int) or stride < 1:
        return 1
    if _is_smp(network, "PAN"):
        return 8 * stride  # its feature pyramid pools three times more
    if _is_smp(network, "DPT"):
        # its decoder makes maps of 1/4, 1/8 ... out of the transformer's only one, and doubles them up again
        return math.lcm(stride, 2 ** (len(encoder.output_strides) + 1))  # type: ignore[union-attr]
    if type(encoder).__name__ == "MixVisionTransformerEncoder":
        return max(stride, 32)  # its attention reduces keys by 8 at 1/4, by 4 at 1/8 ...
    return stride


def size_rule(network: nn.Module) -> SizeRule:
    """See :func:`geoseg.models.networks.size_rule`."""
    own = getattr(network, "size_rule", None)
    if isinstance(own, SizeRule):
        return own
    multiple = multiple_of(network)
    return SizeRule(multiple=multiple, only=_only(network, multiple=multiple))


def takes(network: nn.Module, size: int, *, bands: int) -> bool:
    """Whether the network answers a patch of this side in this side, tried without computing anything."""
    modes, parameter = modes_of(network), next(network.parameters(), None)
    network.eval()
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            answer = network(torch.zeros(1, bands, size, size, device=None if parameter is None else parameter.device))
        return tuple(answer.shape[-2:]) == (size, size)
    except (RuntimeError, ValueError, AssertionError, IndexError):  # what networks raise at sizes they do not take
        return False
    finally:
        restore_modes(modes)


def _only(network: nn.Module, *, multiple: int) -> tuple[int, ...]:
    """The sides its timm encoder was built for, if trial shows that it takes no other."""
    built_for = sorted(set(_built_for(network)))
    if not built_for:
        return ()
    bands = next(m.in_channels for m in network.modules() if isinstance(m, nn.Conv2d))
    fixed = tuple(side for side in built_for if side % multiple == 0 and takes(network, side, bands=bands))
    others = {multiple, 2 * multiple, *(side + multiple * n for side in fixed for n in (1, 2, -1) if side > multiple)}
    if any(takes(network, side, bands=bands) for side in sorted(others - set(fixed))):
        return ()
    return fixed


def _built_for(network: nn.Module) -> Iterable[int]:
    """Square sides that a timm encoder or its parts name as theirs."""
    model = getattr(getattr(network, "encoder", None), "model", None)
    if not isinstance(model, nn.Module):
        return
    config: Any = getattr(model, "pretrained_cfg", None) or {}
    named = [config.get("input_size", ())[-2:]] if isinstance(config, dict) else []
    named += [getattr(module, "img_size", None) for module in model.modules()]
    for size in named:
        if isinstance(size, int):
            yield size
        elif isinstance(size, tuple | list) and len(size) == 2 and size[0] == size[1]:
            yield int(size[0])


def _is_smp(network: nn.Module, name: str) -> bool:
    return type(network).__name__ == name and type(network).__module__.startswith("segmentation_models_pytorch.")
