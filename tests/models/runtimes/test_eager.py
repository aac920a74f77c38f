"""Eager PyTorch: what invalid pixels hold changes nothing, half precision is near, errors say what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from geoseg.choices import PlannedPrecision
from geoseg.errors import OutOfMemoryError, PlanError
from geoseg.models.bundle import open_bundle
from geoseg.models.card import Normalisation
from geoseg.models.runtimes import make_predictor
from geoseg.models.runtimes.eager import EagerPredictor
from tests.scenes import random_pixels


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_invalid_pixels_are_0_after_normalisation_whatever_they_hold(dtype: str) -> None:
    normalisation = Normalisation(mean=(10.3, 20.7), std=(2.0, 3.0))
    predictor = EagerPredictor(nn.Identity(), normalisation=normalisation, multiple=1)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 200, (2, 2, 5, 7)).astype(dtype)
    valid = random.random((2, 5, 7)) < 0.7
    holes = np.broadcast_to(~valid[:, None], pixels.shape)
    truth = (pixels.astype(np.float64) - np.reshape([10.3, 20.7], (2, 1, 1))) / np.reshape([2.0, 3.0], (2, 1, 1))
    found = []
    for value in (0, 99, np.nan) if dtype.startswith("float") else (0, 99):
        pixels[holes] = value
        found.append(predictor.logits(pixels, valid).numpy())
        assert np.all(found[-1][holes] == 0)
        assert np.allclose(found[-1][~holes], truth[~holes], atol=1e-4)
    assert all(np.array_equal(each, found[0]) for each in found)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near_and_gives_float32(tiny_bundle: Path, precision: PlannedPrecision) -> None:
    pixels, valid = random_pixels((128, 128))[None], np.ones((1, 128, 128), bool)
    full = make_predictor(open_bundle(tiny_bundle)).logits(pixels, valid)
    half = make_predictor(open_bundle(tiny_bundle), precision=precision).logits(pixels, valid)
    assert isinstance(full, torch.Tensor)
    assert isinstance(half, torch.Tensor)
    assert half.dtype == torch.float32
    difference = float((half - full).abs().max() / full.abs().max())
    assert 0 < difference < (0.05 if precision == "bf16" else 0.01)


class Failing(nn.Module):
    """Raises what it is given."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
    ],
)
def test_no_memory_is_told_from_other_errors(error: Exception) -> None:
    ones = np.ones((2, 3, 8, 8), np.uint8), np.ones((2, 8, 8), bool)
    with pytest.raises(OutOfMemoryError, match=r"2 patches of 8 x 8 px with 3 bands: use a smaller --batch-size"):
        EagerPredictor(Failing(error), multiple=1).logits(*ones)
    with pytest.raises(PlanError, match=r"multiples of 1 were planned\): sizes of tensors") as caught:
        EagerPredictor(Failing(RuntimeError("sizes of tensors")), multiple=1).logits(*ones)
    assert not isinstance(caught.value, OutOfMemoryError)


def test_an_error_of_our_own_passes_as_it_is() -> None:
    own = PlanError("use --runtime eager")
    with pytest.raises(PlanError) as caught:
        EagerPredictor(Failing(own), multiple=1).logits(np.ones((1, 3, 8, 8), np.uint8), np.ones((1, 8, 8), bool))
    assert caught.value is own


def test_an_answer_of_another_shape_is_refused() -> None:
    with pytest.raises(PlanError, match=r"answered \(1, 3, 4, 4\)"):
        EagerPredictor(nn.MaxPool2d(2), multiple=2).logits(np.ones((1, 3, 8, 8), np.uint8), np.ones((1, 8, 8), bool))
