"""The default model in every runtime, on a synthetic and on a real scene: eager float32's classes, but for ties."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from geoseg.choices import PlannedRuntime
from geoseg.geometry.windows import Window
from geoseg.models.bundle import open_bundle
from geoseg.models.card import Normalisation
from geoseg.models.runtimes import available, make_predictor
from geoseg.models.runtimes.eager import EagerPredictor
from geoseg.raster.reading import read_window
from geoseg.raster.scene import inspect_scene
from geoseg.synthesis.world import render

SIDE = 512

TIE = 1e-3
"""Logits that are this near are a tie: what rounding decides."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agreement-cache")


@pytest.fixture(scope="module")
def synthetic() -> npt.NDArray[np.generic]:
    windows = [Window(row_off=900 * k, col_off=-700 * k, height=SIDE, width=SIDE) for k in range(3)]
    return np.stack([render(window, seed=k)[0] for k, window in enumerate(windows)])


@pytest.fixture(scope="module")
def real(shared_data: Path) -> npt.NDArray[np.generic]:
    info = inspect_scene(str(shared_data / "dubai" / "tile4.tif"), bands=3)
    corners = [(300, 300), (900, 1500), (1500, 2200)]
    windows = [Window(row_off=row, col_off=col, height=SIDE, width=SIDE) for row, col in corners]
    return np.stack([read_window(info.recipe, window)[0] for window in windows])


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["synthetic", "real"])
@pytest.mark.parametrize("runtime", ["eager", "compile", "openvino"])
def test_classes_are_those_of_the_plain_network(
    scene: str, runtime: PlannedRuntime, cache: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = available(runtime)
    if reason is not None:
        pytest.skip(reason)
    monkeypatch.setenv("GEOSEG_CACHE", str(cache))
    pixels = request.getfixturevalue(scene)
    valid = np.ones((len(pixels), SIDE, SIDE), bool)
    bundle = open_bundle()
    plain: Normalisation = bundle.card.normalisation
    unfolded = EagerPredictor(bundle.load_network(), normalisation=plain, multiple=bundle.card.multiple)
    truth = _logits(unfolded, pixels, valid)
    found = _logits(make_predictor(bundle, runtime=runtime), pixels, valid)
    best, other = truth.argmax(axis=1), found.argmax(axis=1)
    assert len(np.unique(best)) >= 4
    assert (best == other).mean() >= 0.999
    lead = np.take_along_axis(truth, best[:, None], axis=1) - np.take_along_axis(truth, other[:, None], axis=1)
    assert lead.max() <= TIE


def _logits(predictor: Any, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    return np.asarray(predictor.logits(pixels, valid))
