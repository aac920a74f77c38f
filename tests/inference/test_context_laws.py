"""The laws again with several contexts: fused everywhere, or run again where the first pass is in doubt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from geoseg.choices import STITCHES, Stitch
from geoseg.geometry.fitting import make_lattice
from geoseg.geometry.tiles import TileGrid, make_tiles
from geoseg.inference.array import predict_pixels
from geoseg.inference.layers import Layers
from geoseg.inference.passes import Adaptive, ContextPass, Passes
from geoseg.models.runtimes.eager import EagerPredictor
from tests.running import tiles_of

Classes = npt.NDArray[np.uint8]

SIDES = st.integers(1, 110)


def network(*, multiple: int, classes: int = 4) -> nn.Module:
    """A random network whose answer depends on the patch it sees (halo 0 or less than its radius)."""
    torch.manual_seed(11)
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(multiple),
        nn.Conv2d(6, 6, 3, padding=1),
        nn.Upsample(scale_factor=multiple),
        nn.Conv2d(6, classes, 3, padding=1),
    )


def passes_of(
    shape: tuple[int, int],
    sizes: tuple[int, ...],
    *,
    stitch: Stitch = "crop",
    halo: int = 4,
    multiple: int = 4,
    weights: tuple[float, ...] = (0.5, 0.3, 0.2),
    adaptive: tuple[float, float] | None = None,
    core: int = 64,
) -> tuple[Passes, TileGrid]:
    """Passes of about these sizes and the grid of their default cores."""
    first = make_lattice(shape, context=sizes[0], halo=halo, multiple=multiple, exact=True)
    block = make_tiles(first, stitch=stitch, tile=core)
    others = [make_lattice(shape, context=s, halo=halo, multiple=multiple, core=block.core) for s in sizes[1:]]
    contexts = tuple(
        ContextPass(size=s, lattice=lattice, weight=w, batch_size=2)
        for s, lattice, w in zip(sizes, [first, *others], weights, strict=False)
    )
    again = None if adaptive is None else Adaptive(budget=adaptive[0], confident=adaptive[1], block=block.cells)
    return Passes(contexts=contexts, stitch=stitch, adaptive=again), block


def whole(
    pixels: npt.NDArray[np.generic],
    passes: Passes,
    grid: TileGrid,
    model: nn.Module,
    *,
    multiple: int = 4,
    valid: npt.NDArray[np.bool_] | None = None,
    host: bool = False,
) -> tuple[Classes, Classes, Classes, int]:
    """Classes, confidence and contexts of the whole array, and the pixels computed."""
    shape = pixels.shape[1:]
    valid = np.ones(shape, bool) if valid is None else valid
    found = np.full((3, *shape), 77, np.uint8)
    computed = 0
    for core, result in tiles_of(
        pixels,
        valid,
        passes=passes,
        grid=grid,
        predictor=(NumPyAnswers if host else EagerPredictor)(model, multiple=multiple),
        layers=Layers(confidence=True, contexts=True),
    ):
        at = slice(core.row_off, core.row_stop), slice(core.col_off, core.col_stop)
        assert result.confidence is not None
        assert result.contexts is not None
        found[0][at], found[1][at], found[2][at] = result.classes, result.confidence, result.contexts
        computed += result.computed_pixels
    return found[0], found[1], found[2], computed


class NumPyAnswers(EagerPredictor):
    """Answers as a runtime without torch does."""

    def logits(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        return super().logits(pixels, valid).numpy()


def scene(height: int, width: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(3, height, width)).astype(np.float32)


ADAPTIVE = st.sampled_from([None, (1.0, 2.0), (1.4, 0.5), (1.7, 2.0), (3.0, 2.0)])


@settings(max_examples=30, deadline=None)
@given(SIDES, SIDES, st.sampled_from(STITCHES), ADAPTIVE)
def test_law_1_constant(height: int, width: int, stitch: Stitch, adaptive: tuple[float, float] | None) -> None:
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([0.25, -1.0, 3.5, 0.0]).view(1, -1, 1, 1).expand(x.shape[0], 4, *x.shape[2:])

    passes, grid = passes_of((height, width), (32, 20, 48), stitch=stitch, adaptive=adaptive)
    classes, confidence, contexts, _ = whole(scene(height, width), passes, grid, Constant())
    assert (classes == 2).all()
    assert len(np.unique(confidence)) == 1
    assert ((contexts & 1) == 1).all()


@settings(max_examples=30, deadline=None)
@given(SIDES, SIDES, st.sampled_from(STITCHES), ADAPTIVE)
def test_law_2_identity(height: int, width: int, stitch: Stitch, adaptive: tuple[float, float] | None) -> None:
    ids = np.random.default_rng(height * 1000 + width).integers(0, 5, (height, width))
    pixels = np.eye(5, dtype=np.float32)[ids].transpose(2, 0, 1)
    passes, grid = passes_of((height, width), (32, 21, 47), stitch=stitch, adaptive=adaptive, multiple=1, halo=3)
    classes, *_ = whole(pixels, passes, grid, nn.Identity(), multiple=1)
    np.testing.assert_array_equal(classes, ids)


@settings(max_examples=20, deadline=None)
@given(SIDES, SIDES, st.sampled_from(STITCHES), ADAPTIVE)
def test_numpys_answers_are_decided_as_torchs(
    height: int, width: int, stitch: Stitch, adaptive: tuple[float, float] | None
) -> None:
    passes, grid = passes_of((height, width), (32, 20, 48), stitch=stitch, adaptive=adaptive)
    pixels, model = scene(height, width), network(multiple=4)
    one, two = whole(pixels, passes, grid, model), whole(pixels, passes, grid, model, host=True)
    assert (one[0] != two[0]).mean() < 0.01, "but for ties within rounding"
    assert np.abs(one[1].astype(int) - two[1]).max() <= 1, "but for a percent of rounding"


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, st.sampled_from(STITCHES), ADAPTIVE, st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_law_3_tiles_change_nothing(
    height: int, width: int, stitch: Stitch, adaptive: tuple[float, float] | None, down: int, across: int, host: bool
) -> None:
    passes, block = passes_of((height, width), (32, 20, 48), stitch=stitch, adaptive=adaptive, core=40)
    unit = block.cells if adaptive is not None else (1, 1)
    other = replace(block, cells=(unit[0] * down, unit[1] * across))
    pixels, model = scene(height, width), network(multiple=4)
    one, two = whole(pixels, passes, block, model, host=host), whole(pixels, passes, other, model, host=host)
    for a, b in zip(one[:3], two[:3], strict=True):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=20, deadline=None)
@given(SIDES, st.sampled_from(STITCHES))
def test_fused_contexts_are_the_weighted_mean_of_their_probabilities(side: int, stitch: Stitch) -> None:
    """The oracle: each context stitched over the whole array by itself, softmax, weighted sum, argmax."""
    passes, grid = passes_of((side, side), (32, 20, 48), stitch=stitch)
    pixels, model = scene(side, side), network(multiple=4)
    total = np.zeros((4, side, side))
    for context in passes.contexts:
        logits = predict_pixels(
            pixels,
            EagerPredictor(model, multiple=4),
            patch_size=context.lattice.rows.patch,
            overlap=8,
            stitch=stitch,
            batch_size=1,
            exact=True,
            return_logits=True,
        )
        total += context.weight * softmax(logits)
    classes, confidence, _, _ = whole(pixels, passes, grid, model)
    best = np.sort(total, axis=0)
    clear = best[-1] - best[-2] > 1e-5
    np.testing.assert_array_equal(classes[clear], total.argmax(axis=0)[clear])
    np.testing.assert_allclose(confidence, 100 * best[-1], atol=0.51)


def softmax(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    shares = np.exp(logits.astype(np.float64) - logits.max(axis=0))
    return np.asarray(shares / shares.sum(axis=0))


@settings(max_examples=25, deadline=None)
@given(SIDES, SIDES, st.integers(0, 1000), st.sampled_from(STITCHES))
def test_law_5_nodata(height: int, width: int, seed: int, stitch: Stitch) -> None:
    random = np.random.default_rng(seed)
    valid = random.random((height, width)) > random.random()
    valid[: height // 2] &= random.random() > 0.5
    passes, grid = passes_of((height, width), (32, 20), stitch=stitch, adaptive=(1.6, 0.6))
    pixels, model = scene(height, width, seed), network(multiple=4)
    one = whole(np.where(valid, pixels, np.nan), passes, grid, model, valid=valid)
    two = whole(np.where(valid, pixels, 1e9).astype(np.float32), passes, grid, model, valid=valid)
    for a, b in zip(one[:3], two[:3], strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a == 255, ~valid)


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, st.floats(1.0, 3.0), st.sampled_from([0.3, 0.5, 0.8, 2.0]))
def test_an_adaptive_run_keeps_its_budget(height: int, width: int, budget: float, confident: float) -> None:
    pixels, model = scene(height, width), network(multiple=4)
    single, grid = passes_of((height, width), (32,))
    _, _, _, once = whole(pixels, single, grid, model)
    passes, grid = passes_of((height, width), (32, 20, 48), adaptive=(budget, confident))
    _, _, contexts, computed = whole(pixels, passes, grid, model)
    assert once <= computed <= budget * once
    assert computed <= passes.computed_pixels(grid)
    if computed == once:
        assert (contexts == 1).all()


def adaptive_oracle(
    pixels: npt.NDArray[np.float32], model: nn.Module, passes: Passes, *, core: tuple[int, int]
) -> tuple[Classes, Classes]:
    """Two contexts under ``crop`` on whole arrays: classes and contexts, with every block looked at by itself."""
    height, width = pixels.shape[1:]
    shares = []
    for context in passes.contexts:
        logits = predict_pixels(
            pixels,
            EagerPredictor(model, multiple=4),
            patch_size=context.lattice.rows.patch,
            overlap=8,
            stitch="crop",
            batch_size=2,
            exact=True,
            return_logits=True,
        )
        shares.append(softmax(logits))
    first, second = shares
    fused, contexts = first.copy(), np.ones((height, width), np.uint8)
    a, b = passes.contexts
    assert passes.adaptive is not None
    for top in range(0, height, core[0]):
        for left in range(0, width, core[1]):
            inside = np.zeros((height, width), bool)
            inside[top : top + core[0], left : left + core[1]] = True
            patches = sum(
                _cell(a, i, j, (height, width))[inside].any()
                for i in range(a.lattice.rows.count)
                for j in range(a.lattice.cols.count)
            )
            left_over = int((passes.adaptive.budget - 1) * patches * a.lattice.patch[0] * a.lattice.patch[1])
            doubts = []
            for i in range(b.lattice.rows.count):
                for j in range(b.lattice.cols.count):
                    at = _cell(b, i, j, (height, width)) & inside
                    if at.any():
                        doubts.append((first.max(axis=0)[at].mean(), i, j, at))
            doubts = sorted((d for d in doubts if d[0] < passes.adaptive.confident), key=lambda d: d[:3])
            for _, _, _, at in doubts[: left_over // (b.lattice.patch[0] * b.lattice.patch[1])]:
                fused[:, at] = (a.weight * first[:, at] + b.weight * second[:, at]) / (a.weight + b.weight)
                contexts[at] = 3
    return fused.argmax(axis=0).astype(np.uint8), contexts


def _cell(context: ContextPass, i: int, j: int, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    found = np.zeros(shape, bool)
    found[slice(*context.lattice.rows.cell(i)), slice(*context.lattice.cols.cell(j))] = True
    return found


@pytest.mark.parametrize("sizes", [(32, 20), (20, 32), (32, 48)])
@pytest.mark.parametrize("side", [70, 101, 128])
@pytest.mark.parametrize("budget", [1.3, 1.9, 4.0])
def test_what_is_run_again_is_what_the_oracle_says(sizes: tuple[int, int], side: int, budget: float) -> None:
    pixels, model = scene(side, side, seed=side), network(multiple=4)
    passes, block = passes_of((side, side), sizes, adaptive=(budget, 1.0), core=48)
    first = replace(passes, contexts=passes.contexts[:1], adaptive=None)
    middling = float(whole(pixels, first, block, model)[1].mean()) / 100  # about half of the patches are in doubt
    assert passes.adaptive is not None
    passes = replace(passes, adaptive=replace(passes.adaptive, confident=middling))
    expected, expected_contexts = adaptive_oracle(pixels, model, passes, core=block.core)
    classes, _, contexts, _ = whole(pixels, passes, block, model)
    np.testing.assert_array_equal(contexts, expected_contexts)
    assert (classes != expected).mean() < 1e-4
    if budget > 1.5:
        assert 0.1 < (contexts == 3).mean() < 0.9


def test_everything_doubtful_and_no_budget_is_fusion() -> None:
    pixels, model = scene(100, 90), network(multiple=4)
    fused, grid = passes_of((100, 90), (32, 20))
    adaptive = replace(fused, adaptive=Adaptive(budget=100.0, confident=2.0, block=grid.cells))
    one, two = whole(pixels, fused, grid, model), whole(pixels, adaptive, grid, model)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[2], two[2])
    assert (two[2] == 3).all()
