"""What a run will take: memory, disk, time; and what the machine has to give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geoseg.choices import PlannedRuntime
from geoseg.geometry.tiles import TileGrid
from geoseg.inference.capacity import Capacity
from geoseg.inference.devices import PLAIN_TILES
from geoseg.inference.known import Known
from geoseg.inference.layers import Layers
from geoseg.inference.passes import ContextPass, Passes
from geoseg.inference.plan import Cost
from geoseg.inference.runtime_choice import SPEEDS
from geoseg.inference.tasks import SLOTS
from geoseg.models.batching import ACTIVATION_BYTES_PER_PIXEL, streams_of
from geoseg.models.source import ModelSource
from geoseg.raster.datasets import DEFAULT_CACHE_MB
from geoseg.raster.remote import FETCHING_BYTES, REMOTE_CACHE_MB
from geoseg.raster.scene import SceneInfo
from geoseg.raster.urls import is_url

_MEASURED = 1.15
"""A probe sees how resident memory grows, and may see too little: a part may have been there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Peak memory of the process that computes."""

    host: int
    """Bytes of the machine's memory; on a CPU all of it."""
    device: int
    """Bytes of the GPU's memory; 0 on a CPU."""

    def fits(self, capacity: Capacity) -> bool:
        """True if a worker, and its device, have that to give."""
        on_device = capacity.device == "cpu" or self.device <= capacity.device_to_give
        return self.host <= capacity.host_to_give and on_device


def memory_need(
    passes: Passes,
    grid: TileGrid,
    *,
    model: ModelSource,
    info: SceneInfo,
    layers: Layers,
    device: str,
    runtime: PlannedRuntime,
    threads: int,
    known: Known,
) -> Need:
    """Libraries, windows in flight, and on the device activations of a batch and the sums of blending and fusion.

    OpenVINO runs a batch patch by patch, but several patches at once.
    """
    classes = len(model.legend)
    several = len(passes.contexts) > 1
    streams = streams_of(runtime, threads) if runtime == "openvino" else 0
    activations = max(_activations(c, model, streams=streams, known=known) for c in passes.contexts)
    if streams:  # logits that wait to be stitched, and what becomes of one of them
        answer = 4 * classes if layers.confidence or layers.probabilities or several or passes.stitch != "crop" else 1
        waiting = max(_area(c.lattice.patch) * c.batch_size for c in passes.contexts)
        activations += PLAIN_TILES * (streams + 2) * answer * waiting
    height, width = (min(core, n) for core, n in zip(grid.core, grid.lattice.shape, strict=True))
    rolling = 0
    if passes.stitch != "crop":  # a copy while it moves down; fused, its probabilities and their mix
        copies = 4 if several else 2
        rolling = max(copies * 4 * classes * c.lattice.patch[0] * width for c in passes.contexts)
    fused = 0
    if several:  # the mean of a block, its weights, and a patch's probabilities and their mix
        cells = grid.cells if passes.adaptive is None else passes.adaptive.block
        block = [
            min(n * s, length) for n, s, length in zip(cells, grid.lattice.stride, grid.lattice.shape, strict=True)
        ]
        part = max(_area(c.lattice.stride) for c in passes.contexts)
        fused = 4 * (classes + 1) * block[0] * block[1] + 2 * 4 * classes * min(part, block[0] * block[1])
    computing = int(activations + rolling + fused)
    stored = info.recipe.bands * np.dtype(info.dtype).itemsize + 1
    kept = 1 + layers.confidence + classes * layers.probabilities + layers.contexts
    windows = SLOTS * (_most_read(passes, grid) * stored + height * width * (kept + 1))
    remote = any(is_url(uri) for uri in info.recipe.uris)
    cached = REMOTE_CACHE_MB * 2**20 + FETCHING_BYTES if remote else DEFAULT_CACHE_MB * 2**20
    host = int(SPEEDS[runtime].libraries_bytes + cached + windows)
    return Need(host=host + computing, device=0) if device == "cpu" else Need(host=host, device=computing)


def _activations(context: ContextPass, model: ModelSource, *, streams: int, known: Known) -> float:
    """Bytes of what the network holds while it computes; ``streams`` 0: a batch goes through it as one."""
    patch, batch = context.lattice.patch, 1 if streams else context.batch_size
    measured = known.activation_bytes(patch, batch)
    if measured is not None:
        return _MEASURED * measured * max(1, streams)
    per_pixel = model.activation_bytes_per_pixel or ACTIVATION_BYTES_PER_PIXEL
    return per_pixel * _area(patch) * (streams or batch)


def _most_read(passes: Passes, grid: TileGrid) -> int:
    """Pixels of the largest read window: at a corner, or inside, where patches reach over on all sides."""
    rows, cols = grid.shape
    places = {(r, c) for r in (0, rows // 2, rows - 1) for c in (0, cols // 2, cols - 1)}
    return max(passes.read(grid.tile(r, c).core).pixels for r, c in places)


def cost_of(
    passes: Passes,
    grid: TileGrid,
    *,
    model: ModelSource,
    info: SceneInfo,
    layers: Layers,
    device: str,
    runtime: PlannedRuntime,
    threads: int,
    known: Known,
    seconds: float | None,
) -> Cost:
    """What the run is predicted to take; ``seconds`` are those of ``seconds_of``."""
    pixels = grid.lattice.shape[0] * grid.lattice.shape[1]
    maps = 1 + layers.confidence + layers.contexts + len(model.legend) * layers.probabilities
    need = memory_need(
        passes,
        grid,
        model=model,
        info=info,
        layers=layers,
        device=device,
        runtime=runtime,
        threads=threads,
        known=known,
    )
    return Cost(
        memory_bytes=need.host,
        device_bytes=need.device,
        disk_bytes=int(pixels * (maps + 2) * 4 / 3),
        seconds=None if seconds is None else round(seconds, 1),
    )


def _area(patch: tuple[int, int]) -> int:
    return patch[0] * patch[1]
