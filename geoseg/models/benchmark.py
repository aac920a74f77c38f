"""What a network costs at a patch size: time and memory of a forward and of a training pass."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from geoseg.errors import PlanError
from geoseg.models import measure
from geoseg.models.runtimes.memory import is_out_of_memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Of one batch, float32, channels last as in prediction."""

    forward_seconds: float
    """Median wall time of a forward pass in evaluation mode."""
    backward_seconds: float
    """Median wall time of a backward pass in training mode, the forward pass before it not counted."""
    inference_bytes: int
    """Peak of live tensors in a forward pass, weights apart."""
    training_bytes: int
    """Peak of live tensors in a forward and backward pass, weights apart, their gradients included."""


def costs(network: nn.Module, *, bands: int, size: int, batch: int = 1, repeats: int = 3) -> Costs:
    """Measures a network on its own device; leaves it as it was, but for the memory format of its weights.

    Args:
        network: (N, C, H, W) to logits.
        bands: C.
        size: side of the patches, pixels.
        batch: N.
        repeats: timed passes, after one that is not.

    Raises:
        PlanError: if there is not enough memory, or the network fails at this size.
    """
    try:
        network = network.to(memory_format=torch.channels_last)
        forward = _forward_seconds(network, bands=bands, size=size, batch=batch, repeats=repeats)
        backward = _backward_seconds(network, bands=bands, size=size, batch=batch, repeats=repeats)
        peaks = [
            measure.peak_bytes(network, bands=bands, side=size, batch=batch, training=training)
            for training in (False, True)
        ]
    except (RuntimeError, ValueError, MemoryError) as error:
        if is_out_of_memory(error):
            raise PlanError(f"{size} px: out of memory with a batch of {batch}") from error
        raise PlanError(f"{size} px: {' '.join(str(error).split())}") from error
    return Costs(forward_seconds=forward, backward_seconds=backward, inference_bytes=peaks[0], training_bytes=peaks[1])


def weight_bytes(network: nn.Module) -> int:
    """Bytes of parameters and buffers as they are."""
    return sum(t.numel() * t.element_size() for t in [*network.parameters(), *network.buffers()])


def _forward_seconds(network: nn.Module, *, bands: int, size: int, batch: int, repeats: int) -> float:
    with measure.evaluating(network) as device, torch.inference_mode():
        pixels = _pixels(bands, size=size, batch=batch, device=device)
        network(pixels)
        return statistics.median(_seconds(lambda: network(pixels), device=device) for _ in range(repeats))


def _backward_seconds(network: nn.Module, *, bands: int, size: int, batch: int, repeats: int) -> float:
    with measure.practising(network) as device:
        pixels = _pixels(bands, size=size, batch=batch, device=device)
        measure.loss(network, pixels).backward()  # type: ignore[no-untyped-call]
        found = []
        for _ in range(repeats):
            network.zero_grad(set_to_none=True)
            found.append(_seconds(measure.loss(network, pixels).backward, device=device))
        return statistics.median(found)


def _pixels(bands: int, *, size: int, batch: int, device: torch.device) -> torch.Tensor:
    pixels = torch.randn(batch, bands, size, size, generator=torch.Generator().manual_seed(0))
    return pixels.to(device, memory_format=torch.channels_last)


def _seconds(run: Callable[[], object], *, device: torch.device) -> float:
    """Wall time of a call, the device's queue emptied before and after."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
