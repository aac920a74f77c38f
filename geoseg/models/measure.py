"""What a network costs: live memory of a forward or a training pass, multiply-adds, measured on the network itself."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from geoseg.models.modes import modes_of, restore_modes


def activation_bytes_per_pixel(network: nn.Module, *, bands: int, side: int) -> float:
    """Peak bytes of live tensors, weights apart, in one forward pass (fp32, batch 1, no gradients) per input pixel.

    See :func:`peak_bytes`; measured by following tensors on every device.

    Args:
        network: (N, C, H, W) to logits; measured on its own device, in evaluation mode.
        bands: input channels C.
        side: side of the square input, pixels; a multiple of the network's multiple.
    """
    with evaluating(network) as device, torch.no_grad():
        pixels = torch.zeros(1, bands, side, side, device=device)
        with _LiveStorages(kept=[*network.parameters(), *network.buffers()], counted=[pixels]) as live:
            network(pixels)
    return float(live.peak / (side * side))


def peak_bytes(network: nn.Module, *, bands: int, side: int, batch: int = 1, training: bool = False) -> int:
    """Peak bytes of live tensors, weights apart, in one pass (fp32).

    On the CPU every operation's outputs are followed until their storage is freed; what an operation needs inside
    itself (oneDNN's packed copies, say) is not seen, so a plan should leave a margin. On CUDA the allocator tells, and
    what it tells includes that.

    Args:
        network: (N, C, H, W) to logits; measured on its own device, left as it was.
        bands: input channels C.
        side: side of the square input, pixels.
        batch: N.
        training: a forward pass in training mode, cross-entropy and the backward pass, gradients of weights included
            (an optimiser's state is not); else a forward pass in evaluation mode.
    """
    with practising(network) if training else evaluating(network) as device:
        cuda = device.type == "cuda"
        if cuda:
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device) if cuda else 0
        pixels = torch.zeros(batch, bands, side, side, device=device)
        with _LiveStorages(kept=[*network.parameters(), *network.buffers()], counted=[pixels]) as live:
            if training:
                loss(network, pixels).backward()  # type: ignore[no-untyped-call]
            else:
                with torch.no_grad():
                    network(pixels)
        return int(torch.cuda.max_memory_allocated(device) - before) if cuda else live.peak


def loss(network: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the network's logits against class 0 everywhere, which costs what any labels cost."""
    logits = network(pixels)
    labels = torch.zeros((len(logits), *logits.shape[2:]), dtype=torch.int64, device=logits.device)
    return F.cross_entropy(logits, labels)


def macs_per_pixel(network: nn.Module, *, bands: int, side: int) -> float:
    """Multiply-adds of one forward pass per input pixel (torch's FLOP counter, which counts two for each).

    Args:
        network: as for :func:`activation_bytes_per_pixel`.
        bands: input channels C.
        side: side of the square input, pixels.
    """
    with evaluating(network) as device, torch.no_grad():
        counter = FlopCounterMode(display=False)
        with counter:
            network(torch.zeros(1, bands, side, side, device=device))
    return float(counter.get_total_flops()) / 2 / (side * side)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[torch.device]:
    """The network in evaluation mode for a while; gives its device."""
    modes = modes_of(network)
    network.eval()
    try:
        yield _device(network)
    finally:
        restore_modes(modes)


@contextmanager
def practising(network: nn.Module) -> Iterator[torch.device]:
    """The network in training mode, without gradients, for a while; then as it was, running statistics too.

    Batch norm cannot be trained on a single value per channel, which is what global pooling leaves of a batch of one:
    there it takes its running statistics, at about the same cost.
    """
    modes = modes_of(network)
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    gradients = {parameter: parameter.grad for parameter in network.parameters()}
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    hooks = [norm.register_forward_pre_hook(_spare_single_values) for norm in norms]
    network.train()
    for parameter in gradients:
        parameter.grad = None
    try:
        yield _device(network)
    finally:
        for hook in hooks:
            hook.remove()
        restore_modes(modes)
        for parameter, gradient in gradients.items():
            parameter.grad = gradient
        with torch.no_grad():
            for name, buffer in network.named_buffers():
                buffer.copy_(buffers[name])


def _spare_single_values(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    if inputs[0].numel() == inputs[0].shape[1]:
        norm.eval()


def _device(network: nn.Module) -> torch.device:
    first = next(network.parameters(), None)
    return torch.device("cpu") if first is None else first.device


class _LiveStorages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages that operations make, from their making to their freeing."""

    def __init__(self, *, kept: list[torch.Tensor], counted: list[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._seen: set[int] = {t.untyped_storage()._cdata for t in kept}
        for tensor in counted:
            self._follow(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._follow(leaf)
        return result

    def _follow(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata  # address of the storage itself: unique while it lives, shared by its views
        if key in self._seen:
            return
        self._seen.add(key)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.live -= size
