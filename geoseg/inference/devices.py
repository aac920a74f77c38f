"""Where a tile's arithmetic runs: the threads of a device, and how many tiles may be at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from geoseg.inference.lanes import Lanes
from geoseg.inference.plan import Plan
from geoseg.inference.segment import Engine
from geoseg.models.batching import streams_of
from geoseg.models.runtimes.halving import HalvingPredictor
from geoseg.models.source import ModelRecipe

T = TypeVar("T")


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
) -> tuple[T, float]:
    """What work makes of the plan's network, and the seconds it took.

    PyTorch has one thread per device, on which all of a tile is done. OpenVINO runs patches on lanes of their own,
    while the tile's thread stitches; two plain tiles may be at it at once, or lanes would stand still when one ends,
    and each is then counted as half its time. Tiles that hold sums are planned for one by one.
    """

    def timed(lanes: Lanes | None) -> tuple[T, float]:
        begun = time.perf_counter()
        predictor = predictor_of(plan, model)
        winners = predictor.winners if predictor.decides else None
        found = work(Engine(predictor=predictor, check_stop=check_stop, winners=winners, lanes=lanes))
        return found, time.perf_counter() - begun

    if plan.runtime != "openvino":
        return _device_thread(plan.device, plan.threads).submit(timed, None).result()
    at_once = 2 if plan.stitch == "crop" and len(plan.contexts) == 1 else 1
    with place("computing", at_once, check_stop):
        found, seconds = timed(_lanes(plan.device, streams_of(plan.runtime, plan.threads)))
    return found, seconds / at_once


@contextmanager
def place(what: str, count: int, check_stop: Callable[[], None]) -> Iterator[None]:
    """One of so many places for something that tiles do; waits until there is one, or the run is stopped."""
    places = _places(what, count)
    while not places.acquire(timeout=0.5):
        check_stop()
    try:
        yield
    finally:
        places.release()


@cache
def _places(what: str, count: int) -> threading.BoundedSemaphore:  # noqa: ARG001 - the cache's key
    return threading.BoundedSemaphore(count)


@cache
def _lanes(device: str, count: int) -> Lanes:
    return Lanes(count, name=device)


@cache
def _device_thread(device: str, threads: int) -> ThreadPoolExecutor:
    """The one thread that computes on a device: it is the device's lock, and keeps one set of OpenMP threads."""
    return ThreadPoolExecutor(
        1, thread_name_prefix=f"geoseg-{device}", initializer=_use_torch_threads, initargs=(threads,)
    )


def _use_torch_threads(count: int) -> None:
    """PyTorch counts its threads thread by thread; where it does not compute it is not imported."""
    import torch

    torch.set_num_threads(count)
