"""What training reads of a real scene is what the files hold."""

from __future__ import annotations

import tomllib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geoseg.contexts.candidates import SizeRule
from geoseg.legend import Legend
from geoseg.raster.labels import inspect_labels, read_labels
from geoseg.raster.scene import inspect_scene, read_window
from geoseg.training.augment import Placement
from geoseg.training.config import parse_config
from geoseg.training.draws import check_sizes
from geoseg.training.patches import cut_patch
from geoseg.training.scenes import LabelledScene, scan_labels


def test_labels_and_pixels_of_a_real_scene(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "dubai"
    info = inspect_scene(folder / "tile2.tif", bands=3, gsd=1.0)
    recipe = inspect_labels(str(folder / "tile2_mask.png"), legend=Legend.numbered(5), onto=info.geobox).recipe
    labels, counts = scan_labels(
        partial(read_labels, recipe), shape=info.geobox.shape, legend=Legend.numbered(5), path=tmp_path / "tile2.u8"
    )
    with rasterio.open(folder / "tile2_mask.png") as file:
        stored = file.read(1)
    np.testing.assert_array_equal(labels, stored)
    assert counts.sum(axis=(0, 1)).tolist() == np.bincount(stored.ravel(), minlength=256)[:5].tolist()
    scene = LabelledScene(name="tile2", read=partial(read_window, info.recipe), labels=labels, counts=counts)
    pixels, _, found = cut_patch(
        scene,
        centre=(700, 800),
        placement=Placement(),
        size=96,
        normalise=lambda values, _: values.astype(np.float32),
    )
    with rasterio.open(folder / "tile2.tif") as file:
        np.testing.assert_array_equal(pixels, file.read(window=((652, 748), (752, 848))))
    np.testing.assert_array_equal(found, stored[652:748, 752:848])


def test_the_default_models_configuration_holds(shared_data: Path) -> None:
    path = Path(__file__).resolve().parent.parent.parent / "pipelines" / "default_model.toml"
    data = tomllib.loads(path.read_text())
    if not (shared_data / "dubai").is_dir():
        pytest.skip("the dubai scenes are not here")
    # The synthetic scenes and the encoder that training starts from are made first, by the commands in the file's head.
    data["scenes"] = [s for s in data["scenes"] if "/dubai/" in s["image"]]
    del data["model"]["start"]
    config = parse_config(data, folder=path.parent)
    check_sizes(config, rule=SizeRule(multiple=32))
    assert [s.name for s in config.of_split("validation")] == ["tile4"]
    assert config.legend.names == ("building", "land", "road", "vegetation", "water")
    assert config.bundle == path.parent.parent / "geoseg" / "data" / "default.safetensors"
