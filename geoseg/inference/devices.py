"""Where a tile's arithmetic runs: the threads of a device, and which tiles may be at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from geoseg.inference.lanes import Lanes
from geoseg.inference.plan import Plan
from geoseg.inference.segment import Engine
from geoseg.inference.turns import Turnstile, taken
from geoseg.models.batching import streams_of
from geoseg.models.runtimes.halving import HalvingPredictor
from geoseg.models.source import ModelRecipe

T = TypeVar("T")

PLAIN_TILES = 2
"""Tiles at a device at once where none of them holds sums: the next begins before the last patches of one are through.
"""

_made: dict[tuple[Any, ...], Any] = {}
_making = threading.Lock()


def predictor_of(plan: Plan, model: ModelRecipe) -> HalvingPredictor:
    """What runs the plan's network in this process, loaded once.

    Raises:
        BundleError: if the model is another than the one that was planned with.
        MissingExtraError: if the runtime is not installed.
    """
    return model.predictor(
        plan.device,
        runtime=plan.runtime,
        precision=plan.precision,
        threads=plan.threads,
        streams=streams_of(plan.runtime, plan.threads),
    )


def on_device(
    plan: Plan, model: ModelRecipe, work: Callable[[Engine], T], *, check_stop: Callable[[], None] = lambda: None
) -> tuple[T, float, tuple[str, ...]]:
    """What work makes of the plan's network.

    PyTorch has one thread per device, on which all of a tile is done. OpenVINO runs patches on lanes of their own,
    while the tile's thread stitches.

    Returns:
        What work gave; the seconds that the device was busy with it; what there is to say of how it ran.
    """
    turnstile = _one("turnstile", plan.device, make=Turnstile)
    with turnstile.pass_through(plan.digest, most=tiles_at_once(plan), check_stop=check_stop):
        if plan.runtime != "openvino":
            thread = _one("thread", plan.device, make=lambda: ThreadPoolExecutor(1, f"geoseg-{plan.device}"))
            return thread.submit(_on_torch, plan, model, work, check_stop).result()  # type: ignore[no-any-return]
        streams = streams_of(plan.runtime, plan.threads)
        pool = _one("lanes", plan.device, streams, make=lambda: ThreadPoolExecutor(streams, f"geoseg-{plan.device}"))
        lanes = Lanes(pool, streams)
        predictor = predictor_of(plan, model)
        found = work(Engine(predictor=predictor, check_stop=check_stop, lanes=lanes))
        return found, lanes.seconds, _notes(plan, predictor)


def tiles_at_once(plan: Plan) -> int:
    """Tiles of the plan that may be at a device at once; memory is counted for one tile's sums."""
    plain = plan.stitch == "crop" and len(plan.contexts) == 1
    return PLAIN_TILES if plain and plan.runtime == "openvino" else 1


def slot(count: int, check_stop: Callable[[], None] = lambda: None) -> AbstractContextManager[None]:
    """One of the slots for tiles in work that memory was planned for, however many threads a process has."""
    return taken(_one("slots", count, make=lambda: threading.BoundedSemaphore(count)), check_stop)


def _on_torch(
    plan: Plan, model: ModelRecipe, work: Callable[[Engine], T], check_stop: Callable[[], None]
) -> tuple[T, float, tuple[str, ...]]:
    """On the device's thread, which keeps one set of OpenMP threads."""
    import torch  # where it does not compute it is not imported

    torch.set_num_threads(plan.threads)  # PyTorch counts them thread by thread
    begun = time.perf_counter()
    predictor = predictor_of(plan, model)
    found = work(Engine(predictor=predictor, check_stop=check_stop))
    return found, time.perf_counter() - begun, _notes(plan, predictor)


def _notes(plan: Plan, predictor: HalvingPredictor) -> tuple[str, ...]:
    return predictor.notes(max(context.batch_size for context in plan.passes.contexts))


def _one(*key: Any, make: Callable[[], Any]) -> Any:
    """What a process has one of for each key; the first to ask makes it."""
    with _making:
        if key not in _made:
            _made[key] = make()
        return _made[key]
