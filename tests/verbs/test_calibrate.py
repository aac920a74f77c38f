"""Calibration measures what predict and evaluate say, and predict then obeys it; contexts arrive in the outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray

import geoseg
from geoseg.contexts.calibration import CalibratedContext, Calibration
from geoseg.errors import GeosegError, PlanError
from geoseg.models.bundle import open_bundle, rewrite_card
from tests.scenes import random_pixels, write_scene


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("calibrate")
    scene = write_scene(folder / "held.tif", random_pixels((300, 260)))
    labels = np.random.default_rng(1).integers(0, 5, (1, 300, 260)).astype(np.uint8)
    return scene, write_scene(folder / "truth.tif", labels)


def test_the_table_is_what_predict_says(pair: tuple[Path, Path], tiny_bundle: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    found = geoseg.calibrate(
        tiny_bundle,
        scenes=[pair],
        sizes=[64, 128, 256],
        output=tmp_path / "new.safetensors",
        on_row=lambda row: seen.append(row.size),
    )
    assert seen == [64, 128, 256]
    table = open_bundle(tmp_path / "new.safetensors").card.calibration
    assert table == found.calibration
    assert table is not None
    for row in table.rows:
        run = geoseg.predict(
            pair[0], outputs=tmp_path / f"{row.size}.zarr", model=tiny_bundle, reference=pair[1], patch_size=row.size
        )
        assert run.metrics is not None
        assert row.miou == pytest.approx(run.metrics["miou"], abs=1e-5)
        assert row.overall_accuracy == pytest.approx(run.metrics["overall_accuracy"], abs=1e-5)
        assert row.seconds_per_megapixel > 0
    assert table.pixels == 300 * 260
    best = max(table.rows, key=lambda row: row.miou).miou
    chosen = geoseg.plan(pair[0], model=tmp_path / "new.safetensors").contexts[0].size
    assert next(r.miou for r in table.rows if r.size == chosen) >= best - 0.001
    before, after = open_bundle(tiny_bundle), open_bundle(tmp_path / "new.safetensors")
    assert replace(after.card, calibration=None, temperature=1.0, temperature_fit={}) == before.card
    weights = after.load_network().state_dict()
    for name, tensor in before.load_network().state_dict().items():
        assert (weights[name] == tensor).all()


def test_counts_of_several_scenes_are_summed(pair: tuple[Path, Path], tiny_bundle: Path, tmp_path: Path) -> None:
    once = geoseg.calibrate(tiny_bundle, scenes=[pair], sizes=[128], output=tmp_path / "a.safetensors")
    twice = geoseg.calibrate(tiny_bundle, scenes=[pair, pair], sizes=[128], output=tmp_path / "b.safetensors")
    assert twice.calibration.rows[0].miou == once.calibration.rows[0].miou
    assert twice.calibration.pixels == 2 * once.calibration.pixels


def test_what_cannot_be_calibrated_leaves_the_bundle_as_it_was(
    pair: tuple[Path, Path], tiny_bundle: Path, tmp_path: Path
) -> None:
    digest = open_bundle(tiny_bundle).digest
    void = write_scene(tmp_path / "void.tif", np.full((1, 300, 260), 255, np.uint8))
    for sizes, truth, message in (
        ([100], pair[1], "no context among 100 px fits"),
        ([16], pair[1], "overlap"),
        ([128], void, "not one labelled pixel"),
        ([128], tmp_path / "missing.tif", r"missing\.tif"),
    ):
        with pytest.raises(GeosegError, match=message):
            geoseg.calibrate(tiny_bundle, scenes=[(pair[0], truth)], sizes=sizes)
    (tmp_path / "file").touch()
    with pytest.raises(GeosegError, match="cannot write"):
        geoseg.calibrate(
            tiny_bundle, scenes=[pair], sizes=[128], output=tmp_path / "file" / "x.safetensors", on_size=lambda _: 1 / 0
        )
    with pytest.raises(PlanError, match="at least one scene"):
        geoseg.calibrate(tiny_bundle, scenes=[])
    assert open_bundle(tiny_bundle).digest == digest


@pytest.fixture(scope="module")
def model(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = open_bundle(tiny_bundle)
    rows = tuple(
        CalibratedContext(size=s, miou=v, overall_accuracy=v, seconds_per_megapixel=c)
        for s, v, c in ((64, 0.55, 2.0), (96, 0.56, 1.5), (128, 0.55, 1.0))
    )
    table = Calibration(rows=rows, scenes=("held",), pixels=1, overlap=32)
    target = tmp_path_factory.mktemp("model") / "m.safetensors"
    return rewrite_card(bundle, replace(bundle.card, calibration=table), target).path


def test_fused_and_adaptive_runs_are_the_same_however_they_are_cut(
    pair: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    """Law 3 on files: tiles, schedulers, order."""
    for contexts in (2, 3, "adaptive"):
        runs = [
            geoseg.predict(
                pair[0],
                outputs=tmp_path / f"{contexts}{i}.zarr",
                model=model,
                contexts=contexts,
                confidence=True,
                threads=1,
                **cut,
            )
            for i, cut in enumerate(({}, {"scheduler": "sync"}, {"tile": 100}))
        ]
        assert len({r.computed_pixels for r in runs[:2]}) == 1
        maps = [xarray.open_zarr(r.outputs[0]) for r in runs]
        for other in maps[1:]:
            for layer in ("classes", "confidence"):
                np.testing.assert_array_equal(maps[0][layer], other[layer])
        assert maps[0].attrs["geoseg_contexts"] == ",".join(str(c.size) for c in runs[0].plan.contexts)


def test_the_context_layer_says_which_sizes_decided(pair: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    run = geoseg.predict(pair[0], outputs=tmp_path / "a.zarr", model=model, contexts="adaptive", budget=1.6)
    single = geoseg.predict(pair[0], outputs=tmp_path / "s.zarr", model=model, patch_size=128)
    assert [c.size for c in run.plan.contexts] == [128, 96, 64]
    assert single.computed_pixels < run.computed_pixels <= 1.6 * single.computed_pixels
    layer = xarray.open_zarr(tmp_path / "a.zarr")["context"]
    assert layer.dtype == np.uint8
    assert layer.attrs["flag_masks"] == [1, 2, 4]
    assert layer.attrs["flag_meanings"] == "context_128_px context_96_px context_64_px"
    values = set(np.unique(layer).tolist())
    assert 1 in values
    assert 3 in values
    assert all(v & 1 for v in values)
    once = layer.to_numpy() == 1
    classes = xarray.open_zarr(tmp_path / "a.zarr")["classes"].to_numpy()
    np.testing.assert_array_equal(classes[once], xarray.open_zarr(tmp_path / "s.zarr")["classes"].to_numpy()[once])
    assert "context" not in xarray.open_zarr(tmp_path / "s.zarr")
