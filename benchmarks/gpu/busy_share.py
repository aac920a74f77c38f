"""How busy a device is while `predict` runs: its kernels and copies, as one span each, over the wall time of tiles."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timing import busy
from torch.profiler import ProfilerActivity, profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """Of one run."""

    tile_seconds: float
    """Wall time from before the first tile to after the last."""
    busy_seconds: float
    """In which the device had work."""
    total_seconds: float
    """Of the whole run in a warm process, overviews and COG included."""
    megapixels: float
    runtime: str
    """What the plan chose."""

    @property
    def share(self) -> float:
        """Of the tiles' wall time."""
        return self.busy_seconds / self.tile_seconds


def measure_busy(scene: Path, *, device: torch.device) -> Busy:
    """Runs `predict` once to warm the process, once under PyTorch's profiler.

    On a CPU the operations of all threads stand for kernels, so that the same code runs there.
    """
    import geoseg

    out = scene.with_name("busy.tif")
    marks: list[float] = []

    def run() -> Any:
        marks.clear()
        return geoseg.predict(
            scene,
            outputs=[out],
            device=device.type,
            overwrite=True,
            restart=True,
            resolution="native",
            on_progress=lambda _: marks.append(time.perf_counter()),
        )

    run()
    with _profiler(device) as profiler:
        result = run()
    spans = [
        (event.time_range.start / 1e6, event.time_range.end / 1e6)
        for event in profiler.events() or ()
        if (event.device_type == torch.autograd.DeviceType.CUDA) == (device.type == "cuda")
    ]
    return Busy(
        tile_seconds=marks[-1] - marks[0],
        busy_seconds=busy(spans),
        total_seconds=result.seconds["total"],
        megapixels=result.predicted_pixels / 1e6,
        runtime=str(getattr(result.plan, "runtime", "eager")),
    )


def _profiler(device: torch.device) -> profile:
    if device.type == "cuda":
        return profile(activities=[ProfilerActivity.CUDA])
    everyone = torch._C._profiler._ExperimentalConfig(profile_all_threads=True)
    return profile(activities=[ProfilerActivity.CPU], experimental_config=everyone)
