"""The temperature: fitted by calibrate, obeyed by predict, changing confidence and no class."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray
from click.testing import CliRunner
from scipy import special

import geoseg
from geoseg.cli.main import cli
from geoseg.contexts.calibration import CalibratedContext, Calibration
from geoseg.errors import BundleError, GridError, OutputExistsError, PlanError, SceneError
from geoseg.evaluation.confidence import fit_temperature
from geoseg.legend import IGNORE
from geoseg.models.bundle import open_bundle, rewrite_card
from tests.scenes import random_pixels, write_scene

SHAPE = (300, 260)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> tuple[Path, Path]:
    """A scene and a truth that the tiny model is right about two times in three."""
    folder = tmp_path_factory.mktemp("temperature")
    scene = write_scene(folder / "held.tif", random_pixels(SHAPE))
    made = geoseg.predict(scene, outputs=folder / "own.zarr", model=tiny_bundle)
    classes = xarray.open_zarr(made.outputs[0])["classes"].to_numpy()
    random = np.random.default_rng(1)
    labels = np.where(random.random(SHAPE) < 0.66, classes, random.integers(0, 5, SHAPE)).astype(np.uint8)
    labels[:40] = IGNORE
    return scene, write_scene(folder / "truth.tif", labels[None])


@pytest.fixture(scope="module")
def fitted(pair: tuple[Path, Path], tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("fitted") / "fitted.safetensors"
    found = geoseg.calibrate(tiny_bundle, scenes=[pair], fit="temperature", output=target)
    assert found.calibration is None
    assert found.temperature is not None
    assert found.temperature.ece_after < found.temperature.ece_before
    assert found.temperature.nll_after < found.temperature.nll_before
    assert found.temperature.pixels == 260 * 260  # all that is labelled: fewer than are drawn
    return target


def test_the_temperature_is_that_of_the_stitched_logits(
    pair: tuple[Path, Path], tiny_bundle: Path, fitted: Path
) -> None:
    import rasterio

    with rasterio.open(pair[0]) as scene, rasterio.open(pair[1]) as truth:
        pixels, labels = scene.read(), truth.read(1)
    logits = geoseg.predict_array(pixels, tiny_bundle, patch_size=128, overlap=32, return_logits=True)
    known = labels != IGNORE
    expected = fit_temperature(logits[:, known].T, labels[known])
    card = open_bundle(fitted).card
    assert card.temperature == pytest.approx(expected, rel=1e-3)
    assert card.temperature_fit["scenes"] == ["held"]
    before = open_bundle(tiny_bundle).card
    assert replace(card, temperature=1.0, temperature_fit={}) == before


def test_confidence_changes_and_no_class_does(
    pair: tuple[Path, Path], tiny_bundle: Path, fitted: Path, tmp_path: Path
) -> None:
    options = {"confidence": True, "probabilities": True, "patch_size": 128, "overlap": 32}
    runs = {
        name: geoseg.predict(pair[0], outputs=tmp_path / f"{name}.zarr", model=model, **options)
        for name, model in (("plain", tiny_bundle), ("fitted", fitted))
    }
    plain, cooled = (xarray.open_zarr(run.outputs[0]) for run in runs.values())
    np.testing.assert_array_equal(plain["classes"], cooled["classes"])
    assert (plain["confidence"].to_numpy() != cooled["confidence"].to_numpy()).any()
    import rasterio

    with rasterio.open(pair[0]) as scene:
        logits = geoseg.predict_array(scene.read(), tiny_bundle, patch_size=128, overlap=32, return_logits=True)
    temperature = open_bundle(fitted).card.temperature
    shares = special.softmax(logits / temperature, axis=0) * 100
    np.testing.assert_allclose(cooled["probabilities"], shares, atol=0.51)
    np.testing.assert_allclose(cooled["confidence"], shares.max(0), atol=0.51)
    # and what is stored is honest: the verdict of evaluate, on all pixels
    before, after = (
        geoseg.evaluate(run.outputs[0], pair[1], calibration=True).metrics["calibration"] for run in runs.values()
    )
    assert after["ece"] < before["ece"]
    assert before["accuracy"] == after["accuracy"]
    assert before["pixels"] == 260 * 260


def test_contexts_are_fused_without_it(pair: tuple[Path, Path], fitted: Path, tmp_path: Path) -> None:
    bundle = open_bundle(fitted)
    rows = tuple(
        CalibratedContext(size=size, miou=0.5, overall_accuracy=0.5, seconds_per_megapixel=1.0) for size in (64, 128)
    )
    table = Calibration(rows=rows, scenes=("held",), pixels=1, overlap=32)
    models = [
        rewrite_card(
            bundle,
            replace(bundle.card, calibration=table, temperature=temperature),
            tmp_path / f"{temperature}.safetensors",
        ).path
        for temperature in (9.0, 1.0)
    ]
    for contexts in (2, "adaptive"):
        options = {"contexts": contexts, "confidence": True}
        maps = []
        for i, model in enumerate(models):
            geoseg.predict(pair[0], outputs=tmp_path / f"{contexts}{i}.zarr", model=model, **options)
            maps.append(xarray.open_zarr(tmp_path / f"{contexts}{i}.zarr"))
        np.testing.assert_array_equal(maps[0]["classes"], maps[1]["classes"])
        assert maps[0]["confidence"].mean() < maps[1]["confidence"].mean()


def test_the_plan_names_it(pair: tuple[Path, Path], fitted: Path) -> None:
    plan = geoseg.plan(pair[0], model=fitted)
    assert plan.temperature == open_bundle(fitted).card.temperature != 1
    assert replace(plan, temperature=1.0).digest != plan.digest
    stored = json.loads(json.dumps(plan.to_json()))
    assert type(plan).from_json(stored).temperature == plan.temperature
    del stored["temperature"]  # of an older geoseg
    assert type(plan).from_json(stored).temperature == 1


def test_both_parts_at_once(pair: tuple[Path, Path], tiny_bundle: Path, tmp_path: Path) -> None:
    target = tmp_path / "both.safetensors"
    run = CliRunner().invoke(
        cli,
        [
            "calibrate",
            str(tiny_bundle),
            "-s",
            str(pair[0]),
            "-r",
            str(pair[1]),
            "--sizes",
            "128",
            "-o",
            str(target),
            "--json",
        ],
    )
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    card = open_bundle(target).card
    assert told["temperature"] == card.temperature != 1
    assert told["temperature_fit"]["context"] == 128
    assert card.calibration is not None
    assert "ECE" in run.stderr
    told_again = CliRunner().invoke(cli, ["model", "info", str(target)])
    assert "fitted on held: ECE" in told_again.output


def test_what_cannot_be(pair: tuple[Path, Path], tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="fit 'all'"):
        geoseg.calibrate(tiny_bundle, scenes=[pair], fit="all")
    void = write_scene(tmp_path / "void.tif", np.full((1, *SHAPE), IGNORE, np.uint8))
    with pytest.raises(GridError, match="not one labelled pixel"):
        geoseg.calibrate(tiny_bundle, scenes=[(pair[0], void)], fit="temperature", output=tmp_path / "x.safetensors")
    with pytest.raises(BundleError, match="temperature"):
        replace(open_bundle(tiny_bundle).card, temperature=0.0)
    made = geoseg.predict(pair[0], outputs=tmp_path / "plain.zarr", model=tiny_bundle)
    with pytest.raises(SceneError, match="--confidence"):
        geoseg.evaluate(made.outputs[0], pair[1], calibration=True)


def test_a_diagram(pair: tuple[Path, Path], tiny_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    made = geoseg.predict(pair[0], outputs=tmp_path / "map.zarr", model=tiny_bundle, confidence=True)
    geoseg.evaluate(made.outputs[0], pair[1], reliability=tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(OutputExistsError):
        geoseg.evaluate(made.outputs[0], pair[1], reliability=tmp_path / "r.png")
