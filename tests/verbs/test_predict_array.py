"""``geoseg.predict_array``: any shape, any real dtype, any module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import geoseg
from geoseg.errors import PlanError


class Seen(nn.Module):
    """Remembers what it was given; logits are the first two bands."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()
        self.sizes: set[tuple[int, ...]] = set()
        self.training_flags: set[bool] = set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.dtypes.add(x.dtype)
        self.sizes.add(tuple(x.shape[2:]))
        self.training_flags.add(self.training)
        return x[:, :2]


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(["uint8", "uint16", "int16", "float32", "float64", "bool", "int64"]),
)
def test_any_shape_and_dtype_arrives_as_unnormalised_float32(height: int, width: int, dtype: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 200, (3, height, width)).astype(dtype)
    network = Seen()
    logits = geoseg.predict_array(pixels, network, patch_size=32, overlap=8, batch_size=3, return_logits=True)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits, pixels[:2].astype(np.float32))
    classes = geoseg.predict_array(pixels, network, patch_size=32, overlap=8)
    assert classes.dtype == np.uint8
    np.testing.assert_array_equal(classes, pixels[1] > pixels[0])
    assert network.dtypes == {torch.float32}
    assert network.training_flags == {False}
    assert network.training


def test_an_smp_model_gets_patches_of_its_output_stride() -> None:
    torch.manual_seed(0)
    network = smp.Unet("resnet18", encoder_weights=None, encoder_depth=3, decoder_channels=(16, 8, 8), classes=4)
    pixels = np.random.default_rng(0).normal(size=(3, 75, 131)).astype(np.float32)
    logits = geoseg.predict_array(pixels, network, patch_size=64, overlap=32, return_logits=True)
    assert logits.shape == (4, 75, 131)
    whole = np.pad(pixels, ((0, 0), (0, 5), (0, 5)), mode="reflect")
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(whole)[None])[0, :, :75, :131].numpy()
    assert (logits.argmax(0) == expected.argmax(0)).mean() > 0.9  # its receptive field is wider than the overlap


def test_a_bundle_normalises_for_itself(tiny_bundle: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 90, 120), dtype=np.uint8)
    classes = geoseg.predict_array(pixels, tiny_bundle)
    bundle = geoseg.open_bundle(tiny_bundle)
    normal = bundle.card.normalisation
    shape = (3, 1, 1)
    by_hand = (pixels - np.reshape(normal.mean, shape)) / np.reshape(normal.std, shape)
    other = geoseg.predict_array(by_hand, bundle.load_network(), patch_size=bundle.card.context, overlap=32)
    assert (classes == other).mean() > 0.999


@pytest.mark.parametrize("stitch", ["hann", "gaussian", "average"])
def test_blended_classes_are_those_of_blended_logits_across_tiles(stitch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from geoseg.inference import array

    torch.manual_seed(0)
    network = nn.Conv2d(2, 3, 5, padding=2)
    pixels = np.random.default_rng(1).normal(size=(2, 150, 170)).astype(np.float32)
    options = {"patch_size": 40, "overlap": 12, "stitch": stitch, "exact": True}
    logits = geoseg.predict_array(pixels, network, return_logits=True, **options)
    monkeypatch.setattr(array, "_TILE", 60)
    np.testing.assert_array_equal(geoseg.predict_array(pixels, network, **options), logits.argmax(0))


@pytest.mark.parametrize(
    ("pixels", "network", "fragment"),
    [
        (np.zeros((5, 5)), nn.Identity(), "(C, H, W)"),
        (np.zeros((3, 0, 5)), nn.Identity(), "(C, H, W)"),
        (np.zeros((3, 5, 5), complex), nn.Identity(), "complex"),
        (np.zeros((3, 64, 64)), nn.Conv2d(3, 2, 3), "of the patches' height and width"),
        (np.zeros((3, 64, 64)), nn.Flatten(), "logits must be"),
    ],
)
def test_bad_arrays_and_networks_are_said(pixels: np.ndarray, network: nn.Module, fragment: str) -> None:
    with pytest.raises(PlanError) as caught:
        geoseg.predict_array(pixels, network, patch_size=32, overlap=0)
    assert fragment in str(caught.value)


def test_a_module_comes_back_with_its_frozen_parts_frozen() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 2, 1)
    )
    network.train()
    network[1].eval()
    geoseg.predict_array(np.zeros((3, 40, 40), np.uint8), network)
    assert [m.training for m in network] == [True, False, True]
