"""What kept probes say of a model on the machine that will run it: its halo, and how fast it is."""

from __future__ import annotations

from dataclasses import dataclass

from geoseg.geometry.lattice import Lattice
from geoseg.inference import machine
from geoseg.inference.capacity import Capacity
from geoseg.models.probing.kept import any_probe, kept_probe
from geoseg.models.probing.result import ProbedSpeed, ProbeResult
from geoseg.models.source import ModelSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Probes of a model; nothing where nobody probed it."""

    seams: ProbeResult | None = None
    """Of any machine, device and runtime: what a patch's rim is worth is the model's own."""
    speeds: ProbeResult | None = None
    """Of this machine, device and runtime alone."""

    def halo(self, patch: tuple[int, int]) -> int | None:
        """The smallest halo that keeps to the probe's tolerance; None without a probe, or if it would cost too much.

        Args:
            patch: (height, width), pixels.
        """
        return None if self.seams is None else self.seams.halo(patch)

    def disagreement(self, patch: tuple[int, int], halo: int) -> float | None:
        """Share of pixels whose class differs from full-frame inference's; None where nothing is known."""
        return None if self.seams is None else self.seams.disagreement(patch, halo)

    def seconds_per_pixel(self, patch: tuple[int, int], batch: int) -> float | None:
        """Of input, on this machine if nothing else ran; None where nothing is known."""
        return None if self.speeds is None else self.speeds.seconds_per_pixel(patch, batch)

    def activation_bytes(self, patch: tuple[int, int], batch: int) -> int | None:
        """Memory that a forward pass takes beyond what the process holds; None where nothing was measured.

        At each measured size by the largest batch that is no larger, whose bytes per patch are no fewer; between sizes
        by the greater bytes per pixel of the two beside.

        Args:
            patch: (height, width), pixels.
            batch: patches per forward pass.
        """
        measured = () if self.speeds is None else self.speeds.speeds
        told = [speed for speed in measured if speed.bytes is not None]
        sizes = sorted({speed.size for speed in told})
        if not sizes:
            return None
        area = patch[0] * patch[1]
        beside = {max((s for s in sizes if s * s <= area), default=sizes[0])}
        beside |= {min((s for s in sizes if s * s >= area), default=sizes[-1])}
        return round(area * max(_bytes_per_area([s for s in told if s.size == size], batch) for size in beside))


def _bytes_per_area(speeds: list[ProbedSpeed], batch: int) -> float:
    """Bytes of a whole batch per pixel of one patch, from batches of one size."""
    smaller = [speed for speed in speeds if speed.batch <= batch]
    if smaller:
        nearest = max(smaller, key=lambda speed: speed.batch)
        times = batch / nearest.batch
    else:  # a smaller batch takes no more
        nearest, times = min(speeds, key=lambda speed: speed.batch), 1.0
    return times * (nearest.bytes or 0) / nearest.size**2


def seams_of(model: ModelSource) -> ProbeResult | None:
    """The newest probe that tells halos; whatever runs the plan, it is the same one.

    A caller's module is never probed: nothing names it from one process to the next.
    """
    return None if model.path is None else any_probe(model.digest)


def speeds_of(model: ModelSource, *, capacity: Capacity, runtime: str) -> ProbeResult | None:
    """The probe of this machine, the capacity's device and a runtime; None for workers elsewhere and for a module."""
    if model.path is None or not capacity.local:
        return None
    named = machine.describe_machine(capacity.device)
    return kept_probe(model.digest, device=capacity.device, runtime=runtime, machine=named)


def seamed(lattice: Lattice, size: int) -> tuple[int, int]:
    """(height, width) of a lattice's patches where they have seams; of an axis with one patch, the context itself."""
    rows, cols = ((axis.side if axis.count > 1 else max(size, axis.side)) for axis in (lattice.rows, lattice.cols))
    return rows, cols
