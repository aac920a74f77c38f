"""What a forward pass takes at the least: its arithmetic at the rate of large matrix products, its bytes at a copy's.

The bytes are those of convolutions that each read their input and weights and write their output once. A network whose
layers are fused moves less, one that normalises and pads in passes of its own moves more.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from timing import seconds
from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Of a device, measured."""

    flops: float
    """Floating-point operations per second of a square matrix product, multiply and add counted apart."""
    bytes: float
    """Bytes per second of a copy, read and written both counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a network's convolutions move in one pass, in elements."""

    per_pixel: float
    """Inputs and outputs, per pixel of the network's input."""
    weights: int


def measure_rates(device: torch.device, *, dtype: torch.dtype) -> Rates:
    """Rates of a device: an 8192 x 8192 product and a copy of 1 GiB, small ones on a CPU."""
    cuda = device.type == "cuda"
    side = 8192 if cuda else 512
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product = seconds(lambda: left @ right, device=device)
    source = torch.empty((1 << 30) if cuda else (1 << 26), dtype=torch.uint8, device=device).fill_(1)
    target = torch.empty_like(source)
    copy = seconds(lambda: target.copy_(source), device=device)
    return Rates(flops=2 * side**3 / product, bytes=2 * source.numel() / copy)


def convolution_traffic(network: nn.Module, *, bands: int, side: int = 256) -> Traffic:
    """Counts a network's convolutions on a small input, on the device it is on."""
    moved, weights = 0, 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal moved, weights
        moved += inputs[0].numel() + output.numel()
        weights += sum(parameter.numel() for parameter in module.parameters())

    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    hooks = [module.register_forward_hook(count) for module in network.modules() if isinstance(module, kinds)]
    parameter = next(network.parameters())
    try:
        with torch.inference_mode():
            network(torch.zeros(1, bands, side, side, device=parameter.device, dtype=parameter.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    return Traffic(per_pixel=moved / side**2, weights=weights)


def floors(
    *, pixels: int, macs_per_pixel: float, traffic: Traffic, rates: Rates, dtype: torch.dtype
) -> tuple[float, float]:
    """Seconds that the arithmetic and the bytes of a pass of so many pixels take at the least."""
    moved = (traffic.per_pixel * pixels + traffic.weights) * dtype.itemsize
    return 2 * macs_per_pixel * pixels / rates.flops, moved / rates.bytes
