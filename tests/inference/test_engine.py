"""Patches on lanes, and predictors that decide themselves: the same layers as one patch after the other, by logits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest

from geoseg.choices import STITCHES, Stitch
from geoseg.errors import StoppedError
from geoseg.geometry.fitting import make_lattice
from geoseg.geometry.tiles import make_tiles
from geoseg.geometry.windows import Window
from geoseg.inference.decide import TileResult
from geoseg.inference.lanes import Lanes
from geoseg.inference.layers import Layers
from geoseg.inference.passes import Adaptive, ContextPass, Passes
from geoseg.inference.segment import Engine, TilePixels, segment_tile
from geoseg.models.runtimes.halving import HalvingPredictor
from tests.running import tiles_of

SHAPE = (90, 110)


class Slow:
    """Logits by pixels and by where in the patch they lie; an answer takes its time, now more, now less."""

    multiple = 1

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.threads: set[str] = set()

    def logits(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        self.asked.append("logits")
        return self.answer(pixels, valid)

    def answer(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        self.threads.add(threading.current_thread().name)
        time.sleep(float(pixels[0, 0, 0, 0]) / 255 / 200)
        height, width = pixels.shape[2:]
        slope = np.linspace(0, 40, height)[:, None] + np.linspace(0, 40, width)
        found = np.stack([pixels[:, 0], pixels[:, 1] + slope, 150 - pixels[:, 0] / 2], axis=1)
        return np.where(valid[:, None], found, 0).astype(np.float32) / 50


class Deciding(Slow):
    """One that can do without handing out logits."""

    def winners(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
        self.asked.append("winners")
        return self.answer(pixels, valid).argmax(axis=1, keepdims=True).astype(np.uint8)


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    with ThreadPoolExecutor(3, "lanes-under-test") as pool:
        yield Lanes(pool, 3)


def passes_of(count: int, *, stitch: Stitch = "crop", adaptive: bool = False) -> Passes:
    first = make_lattice(SHAPE, context=32, halo=4, exact=True)
    block = make_tiles(first, stitch=stitch, tile=60)
    others = [make_lattice(SHAPE, context=24, halo=4, core=block.core)][: count - 1]
    return Passes(
        contexts=tuple(
            ContextPass(size=lattice.patch[0], lattice=lattice, weight=1 / count, batch_size=2)
            for lattice in (first, *others)
        ),
        stitch=stitch,
        adaptive=Adaptive(budget=1.6, confident=0.99, block=block.cells) if adaptive else None,
    )


def run(passes: Passes, engine: Engine, layers: Layers) -> list[TileResult]:
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (2, *SHAPE), dtype=np.uint8)
    valid = rng.random(SHAPE) < 0.9
    valid[:40, :50] = False  # patches that are left out
    grid = make_tiles(passes.contexts[0].lattice, stitch=passes.stitch, tile=60)
    found = tiles_of(pixels, valid, passes=passes, grid=grid, predictor=engine.predictor, engine=engine, layers=layers)
    return [result for _, result in found]


def assert_same(one: list[TileResult], other: list[TileResult]) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.computed_pixels == b.computed_pixels
        for name in ("classes", "confidence", "probabilities", "contexts"):
            assert np.array_equal(getattr(a, name), getattr(b, name)), name


@pytest.mark.parametrize("stitch", STITCHES)
@pytest.mark.parametrize("count", [1, 2])
def test_lanes_change_nothing(stitch: Stitch, count: int, lanes: Lanes) -> None:
    passes = passes_of(count, stitch=stitch)
    layers = Layers(confidence=True, probabilities=True, contexts=True)
    beside = Slow()
    assert_same(
        run(passes, Engine(predictor=Slow()), layers), run(passes, Engine(predictor=beside, lanes=lanes), layers)
    )
    assert len(beside.threads) > 1
    assert lanes.seconds > 0
    assert all(name.startswith("lanes-under-test") for name in beside.threads)


def test_lanes_change_nothing_of_an_adaptive_run(lanes: Lanes) -> None:
    passes = passes_of(2, adaptive=True)
    layers = Layers(confidence=True, contexts=True)
    found = run(passes, Engine(predictor=Slow()), layers)
    assert_same(found, run(passes, Engine(predictor=Slow(), lanes=lanes), layers))
    assert any((result.contexts == 3).any() for result in found if result.contexts is not None)


@pytest.mark.parametrize(
    ("stitch", "count", "layers", "asked"),
    [
        ("crop", 1, Layers(), "winners"),
        ("crop", 1, Layers(contexts=True), "winners"),
        ("crop", 1, Layers(confidence=True), "logits"),
        ("crop", 1, Layers(probabilities=True), "logits"),
        ("hann", 1, Layers(), "logits"),
        ("crop", 2, Layers(), "logits"),
    ],
)
def test_logits_stay_where_they_are_if_classes_are_all_that_is_wanted(
    stitch: Stitch, count: int, layers: Layers, asked: str, lanes: Lanes
) -> None:
    passes = passes_of(count, stitch=stitch)
    deciding = Deciding()
    found = run(passes, Engine(predictor=HalvingPredictor(deciding), lanes=lanes), layers)
    assert {*deciding.asked} == {asked}
    assert_same(found, run(passes, Engine(predictor=Slow()), layers))


def test_a_run_that_is_stopped_begins_no_more_patches(lanes: Lanes) -> None:
    """It ends with the patches that are in work: those that wait for a lane are withdrawn."""
    held = threading.Event()
    begun: list[int] = []

    class Held(Slow):
        def logits(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
            begun.append(len(pixels))
            held.wait(10)
            return self.answer(pixels, valid)

    calls = 0

    def check_stop() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:  # the three lanes are taken
            held.set()
            raise StoppedError("stopped", signum=15)

    passes = passes_of(1)
    window = Window.whole(SHAPE)
    source = TilePixels(pixels=np.full((2, *SHAPE), 255, np.uint8), valid=np.ones(SHAPE, bool), window=window)
    with pytest.raises(StoppedError):
        segment_tile(source, window, passes=passes, engine=Engine(predictor=Held(), lanes=lanes, check_stop=check_stop))
    time.sleep(0.1)
    assert len(begun) == 3
    assert passes.contexts[0].lattice.count > 8
