"""Scenes, paths and modules at the edge of what there is, through the whole of ``predict``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import segmentation_models_pytorch as smp
import torch
from torch import nn

import geoseg
from geoseg.errors import OutputError, PlanError
from geoseg.legend import Legend
from tests.scenes import random_pixels, write_scene


class Constant(nn.Module):
    """Always the same class out of three; no parameters, nothing that tells one from another."""

    def __init__(self, winner: int) -> None:
        super().__init__()
        self.winner = winner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(x.shape[0], 3, *x.shape[2:])
        logits[:, self.winner] = 1
        return logits


def classes_of(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read(1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 5), (257, 129)])
def test_scenes_of_any_size(tmp_path: Path, tiny_bundle: Path, shape: tuple[int, int]) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels(shape))
    geoseg.predict(scene, outputs=[tmp_path / "a.tif", tmp_path / "a.zarr"], model=tiny_bundle)
    assert classes_of(tmp_path / "a.tif").shape == shape
    assert (classes_of(tmp_path / "a.tif") < 5).all()


@pytest.mark.parametrize("name", ["with space.tif", "große Szene.tif", "no_suffix", "two.dots.tif"])
def test_names_of_any_kind(tmp_path: Path, tiny_bundle: Path, name: str) -> None:
    scene = write_scene(tmp_path / name, random_pixels((60, 60)))
    result = geoseg.predict(scene, model=tiny_bundle)
    assert {Path(p).name for p in result.outputs} == {f"{Path(name).stem}_classes{s}" for s in (".tif", ".zarr")}


def test_a_linked_scene_keeps_its_name_and_its_sidecars(tmp_path: Path, tiny_bundle: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    write_scene(store / "KEY-123.tif", random_pixels((60, 60)))
    (tmp_path / "scene.tif").symlink_to(store / "KEY-123.tif")
    result = geoseg.predict(tmp_path / "scene.tif", model=tiny_bundle)
    assert {Path(p) for p in result.outputs} == {tmp_path / "scene_classes.tif", tmp_path / "scene_classes.zarr"}


def test_a_scene_without_data_is_nodata_and_has_no_score(tmp_path: Path, tiny_bundle: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", np.zeros((3, 90, 90), np.uint8), nodata=0)
    truth = write_scene(tmp_path / "truth.tif", np.ones((1, 90, 90), np.uint8))
    result = geoseg.predict(scene, outputs=tmp_path / "a.tif", model=tiny_bundle, reference=truth)
    assert (classes_of(tmp_path / "a.tif") == 255).all()
    assert result.metrics is not None
    assert result.metrics["miou"] is None
    assert json.dumps(result.to_json())
    assert any("no score" in note for note in result.notes)


def test_modules_that_look_alike_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((40, 50)))
    for winner in (0, 2, 1):
        target = tmp_path / f"{winner}.tif"
        geoseg.predict(scene, outputs=target, model=Constant(winner))
        assert (classes_of(target) == winner).all()


def test_an_smp_module_is_run_and_given_back_as_it_was(tmp_path: Path) -> None:
    network = smp.Unet("resnet18", encoder_weights=None, encoder_depth=3, decoder_channels=(16, 8, 8), classes=4)
    scene = write_scene(tmp_path / "scene.tif", random_pixels((100, 90)))
    legend = Legend.from_json([{"id": i, "name": n} for i, n in ((1, "a"), (4, "b"), (7, "c"), (9, "d"))])
    result = geoseg.predict(scene, outputs=tmp_path / "a.tif", model=network, legend=legend)
    assert network.training
    assert result.plan.multiple == 8
    assert set(np.unique(classes_of(tmp_path / "a.tif"))) <= {1, 4, 7, 9}


def test_a_pooled_module_may_be_told_its_multiple(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.MaxPool2d(4), nn.Upsample(scale_factor=4), nn.Conv2d(6, 3, 1)
    )
    pixels = random_pixels((130, 150))
    scene = write_scene(tmp_path / "scene.tif", pixels)
    options = {"patch_size": 48, "overlap": 16, "exact": True, "tile": 60}
    geoseg.predict(scene, outputs=tmp_path / "a.tif", model=network, multiple=4, **options)
    rim = np.pad(pixels, ((0, 0), (0, 2), (0, 2)), mode="reflect").astype(np.float32)
    with torch.inference_mode():
        whole = network(torch.from_numpy(rim)[None])[0, :, :130, :150].argmax(0).numpy()
    np.testing.assert_array_equal(classes_of(tmp_path / "a.tif"), whole)
    with pytest.raises(PlanError, match=r"multiples of 1 were planned|height and width"):
        geoseg.predict(scene, outputs=tmp_path / "b.tif", model=network, patch_size=51, overlap=2, exact=True)


def test_a_bundle_object_is_as_good_as_its_path(tmp_path: Path, tiny_bundle: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((40, 50)))
    geoseg.predict(scene, outputs=tmp_path / "a.tif", model=geoseg.open_bundle(tiny_bundle))
    with pytest.raises(PlanError, match="for modules"):
        geoseg.predict(scene, outputs=tmp_path / "b.tif", model=tiny_bundle, multiple=4)


def test_more_channels_than_ids_are_refused() -> None:
    with pytest.raises(PlanError, match="300 channels"):
        geoseg.predict_array(np.zeros((1, 8, 8)), nn.Conv2d(1, 300, 1))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_quick_look_of_any_dtype(tmp_path: Path, dtype: str) -> None:
    scene = write_scene(tmp_path / "scene.tif", (random_pixels((70, 80), bands=2) * 1.0).astype(dtype), nodata=0)
    geoseg.predict(scene, outputs=tmp_path / "a.zarr", model=nn.Conv2d(2, 3, 1), preview=tmp_path / "look.png")
    with rasterio.open(tmp_path / "look.png") as look:
        assert look.width > 80
        assert look.height >= 70


def test_a_quick_look_must_be_a_png_and_a_failure_makes_no_folder(tmp_path: Path, tiny_bundle: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((40, 50)))
    with pytest.raises(OutputError, match=r"must end in \.png"):
        geoseg.predict(scene, outputs=tmp_path / "a.tif", model=tiny_bundle, preview=tmp_path / "a.tif")
    with pytest.raises(OSError, match="no such file"):
        geoseg.predict(tmp_path / "none.tif", outputs=tmp_path / "fresh" / "a.tif", model=tiny_bundle)
    assert not (tmp_path / "fresh").exists()
