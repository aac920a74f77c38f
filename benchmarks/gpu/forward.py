"""Forward passes alone: megapixels a second by network, patch size and way to run, with the floors beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from floors import Rates, convolution_traffic, floors
from timing import seconds
from torch import nn

HEADER = [
    "network",
    "px",
    "batch",
    "way",
    "ms",
    "Mpx/s",
    "arithmetic floor ms",
    "bytes floor ms",
    "floor / time",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A network that is measured."""

    name: str
    network: nn.Module
    macs_per_pixel: float


def subjects() -> list[Subject]:
    """A U-Net with a ResNet34 encoder, untrained, and geoseg's own default, on the CPU in float32."""
    from geoseg.models import measure
    from geoseg.models.bundle import open_bundle
    from geoseg.models.networks import build

    torch.manual_seed(0)
    networks = {
        "U-Net ResNet34": build("Unet", {"encoder_name": "resnet34"}, bands=3, classes=6).eval(),
        "geoseg's default": open_bundle().load_network(),
    }
    return [
        Subject(name=name, network=network, macs_per_pixel=measure.macs_per_pixel(network, bands=3, side=256))
        for name, network in networks.items()
    ]


def measure_forward(
    subject: Subject, *, sizes: list[int], batch_pixels: int, rates: Rates, device: torch.device, compiled: bool
) -> Iterator[list[str]]:
    """Rows of a network.

    Args:
        subject: its network is moved and cast on a copy.
        sizes: sides of patches, pixels.
        batch_pixels: of a batch, about: the batch is as large as fits, at least one patch.
        rates: of the device.
        device: where.
        compiled: by ``torch.compile`` alone, which takes a minute a size; else in all other ways.
    """
    plain = deepcopy(subject.network).to(device, memory_format=torch.channels_last)
    traffic = convolution_traffic(plain, bands=3)
    half = deepcopy(plain).to(torch.bfloat16)
    for size in sizes:
        batch = max(1, batch_pixels // size**2)
        least = floors(
            pixels=batch * size**2,
            macs_per_pixel=subject.macs_per_pixel,
            traffic=traffic,
            rates=rates,
            dtype=torch.bfloat16,
        )
        pixels = torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
        for way, make in _ways(plain, half, pixels, device=device, compiled=compiled):
            row = [subject.name, str(size), str(batch), way]
            try:
                with torch.inference_mode():
                    took = seconds(make(), device=device)
            except Exception as error:  # noqa: BLE001 - one way that fails must not cost the others their turn
                yield [*row, f"failed: {' '.join(str(error).split())[:100]}", *"----"]
                continue
            speed = batch * size**2 / 1e6 / took
            yield [
                *row,
                f"{1e3 * took:.2f}",
                f"{speed:.1f}",
                *(f"{1e3 * s:.2f}" for s in least),
                f"{max(least) / took:.0%}",
            ]


def _ways(
    plain: nn.Module, half: nn.Module, pixels: torch.Tensor, *, device: torch.device, compiled: bool
) -> Iterator[tuple[str, Callable[[], Callable[[], object]]]]:
    """Ways to run a network in bfloat16: what is printed, and what makes the call that is timed."""
    small = pixels.to(torch.bfloat16)

    def autocast() -> Callable[[], object]:
        def run() -> object:
            with torch.autocast(device.type, dtype=torch.bfloat16):
                return plain(pixels)

        return run

    def graph() -> Callable[[], object]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                half(small)
        torch.cuda.current_stream().wait_stream(stream)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            half(small)
        return captured.replay

    def compiling() -> Callable[[], object]:
        network = torch.compile(half, dynamic=False)
        return lambda: network(small)

    if compiled:
        yield "bf16 weights, compiled", compiling
        return
    yield "autocast, eager", autocast
    yield "bf16 weights, eager", lambda: lambda: half(small)
    if device.type == "cuda":
        yield "bf16 weights, CUDA graph", graph
