"""Chooses what runs the network: what was asked for, or what is predicted to finish first, start-up included.

The figures are what `benchmarks/runtimes.py` measured (2026-11-26, default model, 2 cores of an Intel Xeon that others
used too, so efficiency is by CPU seconds); starts of eager and OpenVINO are of a quiet AMD EPYC, by `planner.py` and
`startup.py` there. They decide between runtimes; a plan's time is no promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from geoseg.choices import PLANNED_RUNTIMES, PlannedPrecision, PlannedRuntime
from geoseg.errors import MissingExtraError, PlanError
from geoseg.inference import machine
from geoseg.inference.capacity import Capacity
from geoseg.inference.options import PlanOptions
from geoseg.models.runtimes import refuse_precision
from geoseg.models.runtimes.ir import is_converted, refusal
from geoseg.models.source import ModelSource

CUDA_PRECISION: PlannedPrecision = "fp16"
"""What ``auto`` is on CUDA: the cheapest that keeps 99.9 % of real scenes' classes. Of four 512 px patches fp16 kept
99.95 %, bf16 99.68 % (autocast on a CPU, 2026-11-26, benchmarks/results.md)."""

_WORTH = 0.9
"""Another runtime than eager must be predicted to take at most this share of eager's time: predictions err."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What a runtime costs on a CPU."""

    start: float
    """Seconds of a run that do not grow with the scene: imports, the network's weights, planning, closing."""
    per_shape: float
    """Seconds until the first patch of a size is through, beyond its arithmetic: what is compiled for it."""
    efficiency: float
    """Multiply-adds per second, as a share of ``machine.macs_per_second()``."""
    libraries_bytes: int
    """Memory of what it loads, activations apart."""


SPEEDS: Mapping[PlannedRuntime, Speed] = {
    "eager": Speed(start=5.0, per_shape=0.0, efficiency=0.5, libraries_bytes=1_200_000_000),
    "compile": Speed(start=7.5, per_shape=35.0, efficiency=0.5, libraries_bytes=1_600_000_000),
    "openvino": Speed(start=1.5, per_shape=0.4, efficiency=0.85, libraries_bytes=600_000_000),
}

CONVERSION_SECONDS = 15.0
"""OpenVINO's once per model, where its IR is not in the cache."""

_OF_THIS_RUN = 0.5
"""Share of a conversion that a run must earn back itself: what is kept serves later runs of the model too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeChoice:
    """What runs the network."""

    runtime: PlannedRuntime
    precision: PlannedPrecision
    reason: str
    """Why, for the plan."""
    note: str | None = None
    """What the user should know of it."""


def choose_runtime(
    model: ModelSource,
    options: PlanOptions,
    *,
    capacity: Capacity,
    computed_pixels: int,
    shapes: int,
    rates: Mapping[PlannedRuntime, float | None] | None = None,
) -> RuntimeChoice:
    """What runs the network on one scene.

    Args:
        model: the network.
        options: what was asked for.
        capacity: of the smallest worker; its device is the one that computes.
        computed_pixels: of all network inputs.
        shapes: patch sizes.
        rates: seconds per pixel on this machine, of runtimes that a probe measured.

    Raises:
        PlanError: if runtime, model, device and precision do not go together.
        MissingExtraError: if the runtime that was asked for is not installed on every worker.
    """
    precision, note = options.precision, None
    if precision == "auto":
        precision = "fp32" if capacity.device == "cpu" or model.path is None else CUDA_PRECISION
    predicted = predicted_seconds(
        model, capacity, computed_pixels=computed_pixels, shapes=shapes, rates=rates or {}, threads=options.threads
    )
    if options.runtime != "auto":
        _demand(options.runtime, model, capacity)
        refuse_precision(options.runtime, precision)
        runtime, reason = options.runtime, "asked for"
    elif model.path is None:
        runtime, reason = "eager", "a module is run as it is"
    elif capacity.device != "cpu":
        runtime, reason = "eager", f"on {capacity.device}"
    elif precision != "fp32":
        runtime, reason = "eager", f"the one that computes in {precision}"
    elif predicted is None:
        runtime, reason = "eager", "nothing is known of the network's arithmetic"
    else:
        runtime, reason = _quickest(predicted, model, capacity, to_come=options.to_come)
        refused = refusal(model.digest)
        if refused is not None and "openvino" not in dict(capacity.lacks):
            note = f"OpenVINO is left out: {refused} (--runtime openvino tries again)"
    return RuntimeChoice(runtime=runtime, precision=precision, reason=reason, note=note)


def _demand(runtime: PlannedRuntime, model: ModelSource, capacity: Capacity) -> None:
    """Refuses a runtime that cannot be.

    Raises:
        PlanError, MissingExtraError: as ``choose_runtime``.
    """
    if model.path is None and runtime != "eager":
        raise PlanError(
            f"a torch.nn.Module is run as it is, not by {runtime}: save it as a bundle"
            " (geoseg.models.bundle.save_bundle), or leave out --runtime"
        )
    reason = dict(capacity.lacks).get(runtime)
    if reason is not None:
        raise (MissingExtraError if "not installed" in reason else PlanError)(reason)


def starting_seconds(runtime: PlannedRuntime, model: ModelSource, *, capacity: Capacity, shapes: int) -> float:
    """Seconds until the network computes: imports, weights, what is made once per model or per patch size.

    Workers elsewhere are taken not to have converted the model.
    """
    speed = SPEEDS[runtime]
    convert = runtime == "openvino" and not (capacity.local and is_converted(model.digest))
    return speed.start + shapes * speed.per_shape + (CONVERSION_SECONDS if convert else 0.0)


def predicted_seconds(
    model: ModelSource,
    capacity: Capacity,
    *,
    computed_pixels: int,
    shapes: int,
    rates: Mapping[PlannedRuntime, float | None],
    threads: int | None = None,
) -> dict[PlannedRuntime, float] | None:
    """Seconds of each runtime on one of the workers; None if the network's arithmetic or the device is not known.

    Workers elsewhere are taken to be as fast as this machine.

    Args:
        model: the network.
        capacity: of the smallest worker.
        computed_pixels: of all network inputs.
        shapes: patch sizes.
        rates: seconds per pixel with all of a worker's threads, where they were measured.
        threads: of the network's arithmetic; None: all of the worker's.
    """
    if model.macs_per_pixel is None or capacity.device != "cpu":
        return None
    slower = capacity.threads / min(threads or capacity.threads, capacity.threads)
    found: dict[PlannedRuntime, float] = {}
    for name, speed in SPEEDS.items():
        rate = rates.get(name) or model.macs_per_pixel / (machine.macs_per_second() * speed.efficiency)
        start = starting_seconds(name, model, capacity=capacity, shapes=shapes)
        found[name] = start + computed_pixels / capacity.workers * rate * slower
    return found


def _quickest(
    predicted: Mapping[PlannedRuntime, float], model: ModelSource, capacity: Capacity, *, to_come: int
) -> tuple[PlannedRuntime, str]:
    """The runtime that is predicted to finish first, of those that every worker has, and why.

    What is done once is shared with the scenes to come: a process's start, and a conversion. Not what is compiled for a
    patch size: theirs may be others.
    """
    lacks = dict(capacity.lacks)
    refused = refusal(model.digest) is not None
    have = [name for name in PLANNED_RUNTIMES if name not in lacks and not (refused and name == "openvino")]
    share = 1 / (1 + to_come)
    counted = {name: seconds - (1 - share) * SPEEDS[name].start for name, seconds in predicted.items()}
    if not (capacity.local and is_converted(model.digest)):
        counted["openvino"] -= (1 - min(share, _OF_THIS_RUN)) * CONVERSION_SECONDS
    best = min(have, key=lambda name: counted[name])
    if counted[best] > _WORTH * counted["eager"]:
        best = "eager"
    told = ", ".join(f"{name} {predicted[name]:.0f} s" for name in sorted(have, key=lambda name: predicted[name]))
    told += f"; {to_come:,} scenes to come share what is done once" if to_come else ""
    return best, f"predicted: {told}{_state(best, predicted, model) if capacity.local and 'openvino' in have else ''}"


def _state(best: PlannedRuntime, predicted: Mapping[PlannedRuntime, float], model: ModelSource) -> str:
    """What there is to say of the conversion to OpenVINO."""
    if is_converted(model.digest):
        return ", converted"
    repaid = best == "openvino" and predicted["openvino"] > predicted["eager"]
    return ", not converted yet; later runs find what is converted now" if repaid else ", not converted yet"
