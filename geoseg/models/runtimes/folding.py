"""Batch norm folded into the convolution before it: in evaluation mode both are one linear map, and one is cheaper.

Which norm follows which convolution is read off the network's own data flow (``torch.fx``), module by module: where a
module's forward cannot be traced (it branches on values or shapes), its children are tried one by one. What is found
is folded in place; whatever is not found stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

_CONVS = ("Conv2d", "ConvTranspose2d", "Conv2dSame")
"""Classes whose forward is a convolution with their weight plus their bias: torch's, and timm's with other padding."""

_NORMS = ("BatchNorm2d", "BatchNormAct2d")
"""Torch's, and timm's, which ends in an activation."""


def fold_batch_norms(network: nn.Module) -> int:
    """Folds each batch norm that follows a convolution and nothing else, in place; gives how many.

    Args:
        network: in evaluation mode; ours to change. Its answers stay the same but for the rounding of float32.
    """
    uses = Counter(id(module) for _, module in network.named_modules(remove_duplicate=False))
    folded = 0
    for conv_name, norm_name in list(_pairs(network)):
        conv, norm = network.get_submodule(conv_name), network.get_submodule(norm_name)
        if uses[id(conv)] != 1 or uses[id(norm)] != 1 or norm.training:
            continue
        _fold(conv, norm)
        parent, _, own = norm_name.rpartition(".")
        setattr(network.get_submodule(parent), own, _rest_of(norm))
        folded += 1
    return folded


class _Tracer(fx.Tracer):
    """Sees convolutions and norms whole, whatever package they are from."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        kinds = nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d
        return isinstance(m, kinds) or super().is_leaf_module(m, module_qualified_name)


def _pairs(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names of convolutions and of the batch norms that alone take their output."""
    try:
        graph = _Tracer().trace(module)
    except Exception:  # noqa: BLE001 - a network may do anything in its forward; then its parts are looked at
        for name, child in module.named_children():
            yield from _pairs(child, f"{prefix}{name}.")
        return
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        before = node.args[0] if node.args else None
        if node.op != "call_module" or not isinstance(before, fx.Node) or before.op != "call_module":
            continue
        conv, norm = str(before.target), str(node.target)
        once = calls[before.target] == calls[node.target] == 1 and len(before.users) == 1
        if once and _foldable(module.get_submodule(conv), module.get_submodule(norm)):
            yield prefix + conv, prefix + norm


def _foldable(conv: nn.Module, norm: nn.Module) -> bool:
    """True for the known kinds; another subclass may do more than its parent says."""
    if type(conv).__name__ not in _CONVS or type(norm).__name__ not in _NORMS:
        return False
    known = isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d)
    return known and norm.running_mean is not None and not (isinstance(conv, nn.ConvTranspose2d) and conv.groups > 1)


def _fold(conv: Any, norm: Any) -> None:
    """Puts a norm into the weights of the convolution before it."""
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
        transpose=isinstance(conv, nn.ConvTranspose2d),
    )


def _rest_of(norm: Any) -> nn.Module:
    """What a norm does beside normalising: nothing, or timm's activation."""
    if type(norm).__name__ == "BatchNorm2d":
        return nn.Identity()
    return nn.Sequential(norm.drop, norm.act)
