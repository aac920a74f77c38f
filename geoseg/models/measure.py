"""What a forward pass costs per pixel: live memory and multiply-adds, measured on the network itself."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


def activation_bytes_per_pixel(network: nn.Module, *, bands: int, side: int) -> float:
    """Peak bytes of live tensors, weights apart, in one forward pass (fp32, batch 1, no gradients) per input pixel.

    Every operation's outputs are followed until their storage is freed. What an operation needs inside itself
    (oneDNN's packed copies, say) is not seen, so a plan should leave a margin.

    Args:
        network: (N, C, H, W) to logits; measured on its own device, in evaluation mode.
        bands: input channels C.
        side: side of the square input, pixels; a multiple of the network's multiple.
    """
    with _evaluating(network) as device, torch.no_grad():
        pixels = torch.zeros(1, bands, side, side, device=device)
        with _LiveStorages(kept=[*network.parameters(), *network.buffers()], counted=[pixels]) as live:
            network(pixels)
    return float(live.peak / (side * side))


def macs_per_pixel(network: nn.Module, *, bands: int, side: int) -> float:
    """Multiply-adds of one forward pass per input pixel (torch's FLOP counter, which counts two for each).

    Args:
        network: as for :func:`activation_bytes_per_pixel`.
        bands: input channels C.
        side: side of the square input, pixels.
    """
    with _evaluating(network) as device, torch.no_grad():
        counter = FlopCounterMode(display=False)
        with counter:
            network(torch.zeros(1, bands, side, side, device=device))
    return float(counter.get_total_flops()) / 2 / (side * side)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[torch.device]:
    """The network in evaluation mode for a while; gives its device."""
    was_training = network.training
    network.eval()
    first = next(network.parameters(), None)
    try:
        yield torch.device("cpu") if first is None else first.device
    finally:
        network.train(was_training)


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
