"""Laws 1 to 5 of the tiled path on plain arrays, against a slow whole-array oracle where there is one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from geoseg.choices import STITCHES
from geoseg.geometry.fitting import make_lattice
from geoseg.geometry.tiles import make_tiles
from geoseg.inference.array import predict_pixels
from geoseg.inference.layers import Layers
from geoseg.inference.passes import ContextPass, Passes
from geoseg.inference.segment import reflect_rim
from geoseg.models.runtimes.eager import EagerPredictor
from tests.running import tiles_of


class Constant(nn.Module):
    """Answers the same K logits everywhere."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.values = logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = torch.tensor(self.values).view(1, -1, 1, 1)
        return values.expand(x.shape[0], len(self.values), *x.shape[2:])


def small_network(*, pooled: bool, channels: int = 3, classes: int = 4) -> nn.Module:
    """A plain (m = 1, receptive radius 3) or a three-times pooled (m = 8, radius <= 24) random network."""
    torch.manual_seed(7)
    if not pooled:
        return nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, classes, 3, padding=1),
        )
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.Upsample(scale_factor=8),
        nn.Conv2d(8, classes, 3, padding=1),
    )


def full_frame(pixels: npt.NDArray[np.generic], network: nn.Module, multiple: int) -> npt.NDArray[np.float32]:
    """The oracle: one forward pass of the scene reflected on the right and bottom to a multiple of m."""
    height, width = pixels.shape[1:]
    rim = ((0, 0), (0, -height % multiple), (0, -width % multiple))
    whole = np.pad(pixels.astype(np.float32), rim, mode="reflect")
    with torch.inference_mode():
        logits = network.eval()(torch.from_numpy(whole)[None])[0]
    return logits[:, :height, :width].numpy()


sides = st.one_of(st.integers(1, 80), st.sampled_from([1, 2, 31, 33, 97, 127]))


@settings(max_examples=40, deadline=None)
@given(sides, sides, st.sampled_from(STITCHES), st.integers(8, 40), st.integers(0, 3), st.sampled_from([1, 8]))
def test_law_1_constant(height: int, width: int, stitch: str, patch: int, halo: int, multiple: int) -> None:
    halo *= multiple if multiple * 6 < patch else 0
    patch = -(-patch // multiple) * multiple
    network = Constant([0.25, -1.0, 3.5, 0.0])
    predictor = EagerPredictor(network, multiple=multiple)
    pixels = np.zeros((1, height, width), np.uint8)
    options = {"patch_size": patch, "overlap": 2 * halo, "stitch": stitch, "batch_size": 3, "exact": True}
    assert (predict_pixels(pixels, predictor, **options) == 2).all()
    logits = predict_pixels(pixels, predictor, return_logits=True, **options)
    np.testing.assert_allclose(
        logits, np.broadcast_to(np.array(network.values)[:, None, None], logits.shape), atol=1e-5
    )


@settings(max_examples=40, deadline=None)
@given(sides, sides, st.sampled_from(STITCHES), st.integers(6, 40), st.integers(0, 2), st.integers(1, 90))
def test_law_2_identity(height: int, width: int, stitch: str, patch: int, halo: int, tile: int) -> None:
    """A network that answers its input gives the scene back, in logits and in argmax."""
    random = np.random.default_rng(height * 1000 + width)
    scene = random.integers(0, 5, (height, width))
    pixels = np.eye(5, dtype=np.float32)[scene].transpose(2, 0, 1)
    predictor = EagerPredictor(nn.Identity(), multiple=1)
    lattice = make_lattice((height, width), context=patch, halo=halo, exact=True)
    grid = make_tiles(lattice, stitch=stitch, tile=tile)
    found = np.full((height, width), 99, np.uint8)
    passes = Passes(contexts=(ContextPass(size=patch, lattice=lattice, batch_size=2),), stitch=stitch)
    everywhere = np.ones((height, width), bool)
    for core, result in tiles_of(pixels, everywhere, passes=passes, grid=grid, predictor=predictor):
        found[core.row_off : core.row_stop, core.col_off : core.col_stop] = result.classes
    np.testing.assert_array_equal(found, scene)


@pytest.mark.parametrize("pooled", [False, True])
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(0, 10_000))
def test_law_4_equals_one_full_forward(pooled: bool, height: int, width: int, seed: int) -> None:
    multiple, overlap, patch = (8, 48, 80) if pooled else (1, 6, 29)
    network = small_network(pooled=pooled)
    pixels = np.random.default_rng(seed).normal(size=(3, height, width)).astype(np.float32)
    predictor = EagerPredictor(network, multiple=multiple)
    options = {"patch_size": patch, "overlap": overlap, "stitch": "crop", "batch_size": 2, "exact": True}
    logits = predict_pixels(pixels, predictor, return_logits=True, **options)
    expected = full_frame(pixels, network, multiple)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    classes = predict_pixels(pixels, predictor, **options)
    assert (classes != expected.argmax(0)).sum() == 0


def test_an_unaligned_lattice_would_break_law_4() -> None:
    """The law can fail: the pooled network on a lattice that thinks its multiple is 1."""
    network = small_network(pooled=True)
    pixels = np.random.default_rng(0).normal(size=(3, 144, 144)).astype(np.float32)
    wrong = predict_pixels(
        pixels, EagerPredictor(network, multiple=1), patch_size=80, overlap=44, stitch="crop", batch_size=1, exact=True
    )
    assert (wrong != full_frame(pixels, network, 8).argmax(0)).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 120), st.integers(1, 120), st.sampled_from(STITCHES), st.integers(0, 1000))
def test_law_5_nodata_is_255_and_its_values_change_nothing(height: int, width: int, stitch: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.normal(size=(3, height, width)).astype(np.float32)
    valid = random.random((height, width)) > random.random()
    valid[: height // 2, : width // 2] &= random.random() > 0.5
    lattice = make_lattice((height, width), context=32, halo=8, multiple=8, exact=True)
    grid = make_tiles(lattice, stitch=stitch, tile=48)
    predictor = EagerPredictor(small_network(pooled=True), multiple=8)
    layers = Layers(confidence=True, probabilities=True)
    passes = Passes(contexts=(ContextPass(size=32, lattice=lattice),), stitch=stitch)

    def run(scene: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        classes = np.zeros((2, height, width), np.uint8)
        for window, result in tiles_of(scene, valid, passes=passes, grid=grid, predictor=predictor, layers=layers):
            core = slice(window.row_off, window.row_stop), slice(window.col_off, window.col_stop)
            classes[0][core] = result.classes
            assert result.confidence is not None
            classes[1][core] = result.confidence
            if result.probabilities is not None:
                sums = result.probabilities.sum(axis=0, dtype=int)[valid[core]]
                np.testing.assert_allclose(sums, 100, atol=2)
                assert (result.probabilities[:, ~valid[core]] == 255).all()
        return classes

    first = run(np.where(valid, pixels, np.nan))
    second = run(np.where(valid, pixels, 1e9).astype(np.float32))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[0] == 255, ~valid)
    np.testing.assert_array_equal(first[1] == 255, ~valid)
    assert (first[1][valid] <= 100).all()


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 40), st.integers(0, 40))
def test_reflection_is_numpys(height: int, width: int, down: int, across: int) -> None:
    pixels = np.arange(2 * height * width).reshape(2, height, width)
    valid = pixels[0] % 3 > 0
    grown, grown_valid = reflect_rim(pixels, valid, height=height + down, width=width + across)
    rows = [min(k % max(2 * height - 2, 1), -k % max(2 * height - 2, 1)) for k in range(height + down)]
    cols = [min(k % max(2 * width - 2, 1), -k % max(2 * width - 2, 1)) for k in range(width + across)]
    np.testing.assert_array_equal(grown, pixels[:, rows][:, :, cols])
    np.testing.assert_array_equal(grown_valid, valid[rows][:, cols])
