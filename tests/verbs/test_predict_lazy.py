"""Lazy arrays: any subset, on any scheduler, equal to what is written; nothing is computed that is not asked for."""

from __future__ import annotations

import gc
import pickle
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import torch
from rasterio.transform import Affine

import geoseg
from geoseg.errors import BundleError, MissingExtraError, PlanError, SceneReadError
from geoseg.geometry.windows import Window
from geoseg.inference import lazy
from geoseg.models import source
from geoseg.raster.datasets import close_datasets
from geoseg.raster.zarr_store import open_store
from tests.scenes import UTM, random_pixels, write_scene

xarray = pytest.importorskip("xarray")
pytest.importorskip("rioxarray")

SHAPE = (500, 500)
OPTIONS: dict[str, Any] = {"tile": 200, "batch_size": 4, "threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    valid = np.ones(SHAPE, np.bool_)
    valid[:250, :230] = False
    return write_scene(tmp_path_factory.mktemp("lazy") / "scene.tif", random_pixels(SHAPE), valid=valid)


@pytest.fixture(scope="module")
def written(scene: Path, tiny_bundle: Path) -> Path:
    target = scene.with_name("written.zarr")
    geoseg.predict(scene, outputs=target, model=tiny_bundle, confidence=True, **OPTIONS)
    return target


@pytest.fixture(scope="module")
def classes(written: Path) -> np.ndarray[Any, Any]:
    return open_store(written).read_classes(Window.whole(SHAPE))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The tiles that were worked on since."""
    found: list[tuple[int, int]] = []
    real = lazy.segment

    def counted(plan: Any, model: Any, tile: Any) -> Any:
        found.append((tile.row, tile.col))
        return real(plan, model, tile)

    monkeypatch.setattr(lazy, "segment", counted)
    return found


def test_it_equals_what_is_written(
    scene: Path, tiny_bundle: Path, written: Path, classes: np.ndarray[Any, Any]
) -> None:
    found = geoseg.predict_lazy(scene, tiny_bundle, **OPTIONS)
    assert found.dtype == np.uint8
    assert found.dims == ("y", "x")
    assert found.data.numblocks == (3, 3)
    for scheduler in ("synchronous", "threads"):
        np.testing.assert_array_equal(found.compute(scheduler=scheduler).values, classes)
    sure = geoseg.predict_lazy(scene, tiny_bundle, layer="confidence", **OPTIONS)
    np.testing.assert_array_equal(sure.values, open_store(written).read_confidence(Window.whole(SHAPE)))
    assert sure.attrs["units"] == "percent"


def test_it_lies_where_the_written_map_lies(scene: Path, tiny_bundle: Path, written: Path) -> None:
    found = geoseg.predict_lazy(scene, tiny_bundle, **OPTIONS)
    stored = xarray.open_zarr(written)["classes"]
    assert found.rio.crs == stored.rio.crs
    assert found.rio.transform() == stored.rio.transform() == UTM
    assert found.rio.nodata == stored.rio.nodata == 255
    np.testing.assert_array_equal(found.x, stored.x)
    np.testing.assert_array_equal(found.y, stored.y)
    for name in ("legend", "flag_values", "flag_meanings", "flag_colors"):
        assert found.attrs[name] == stored.attrs[name]
    part = found.isel(y=slice(100, 120), x=slice(30, 70))
    assert part.rio.transform(recalc=True) == UTM * Affine.translation(30, 100)
    assert part.rio.bounds(recalc=True) == (UTM.c + 60, UTM.f - 240, UTM.c + 140, UTM.f - 200)


def test_a_rotated_scene_keeps_its_transform(tiny_bundle: Path, tmp_path: Path) -> None:
    turned = UTM * Affine.rotation(30)
    found = geoseg.predict_lazy(
        write_scene(tmp_path / "turned.tif", random_pixels((64, 80)), transform=turned), tiny_bundle, **OPTIONS
    )
    assert found.rio.transform().almost_equals(turned)
    assert found.rio.crs.to_epsg() == 32633
    assert "x" not in found.coords
    plain = write_scene(tmp_path / "plain.tif", random_pixels((64, 80)), transform=None, crs=None)
    assert "spatial_ref" not in geoseg.predict_lazy(plain, tiny_bundle, **OPTIONS).coords


def test_it_is_written_by_xarray_and_read_back(
    scene: Path, tiny_bundle: Path, classes: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    geoseg.predict_lazy(scene, tiny_bundle, **OPTIONS).to_zarr(tmp_path / "own.zarr")
    back = xarray.open_zarr(tmp_path / "own.zarr", decode_coords="all", mask_and_scale=False)["classes"]
    assert back.rio.transform() == UTM
    np.testing.assert_array_equal(back.values, classes)


def test_a_mosaic_is_a_scene(tiny_bundle: Path, tmp_path: Path) -> None:
    pixels = random_pixels((90, 200))
    files = [
        write_scene(tmp_path / f"{col}.tif", pixels[:, :, col : col + 100], transform=UTM @ Affine.translation(col, 0))
        for col in (0, 100)
    ]
    geoseg.predict(files, outputs=tmp_path / "map.zarr", model=tiny_bundle, **OPTIONS)
    found = geoseg.predict_lazy(files, tiny_bundle, **OPTIONS)
    assert found.shape == (90, 200)
    np.testing.assert_array_equal(found.values, open_store(tmp_path / "map.zarr").read_classes(Window.whole((90, 200))))


def test_only_what_is_asked_for_is_computed(
    scene: Path, tiny_bundle: Path, classes: np.ndarray[Any, Any], calls: list[tuple[int, int]]
) -> None:
    found = geoseg.predict_lazy(scene, tiny_bundle, **OPTIONS)
    assert calls == []
    height, width = (axis[0] for axis in found.chunks)
    for rows, cols, tiles in (
        (slice(0, 10), slice(0, 10), {(0, 0)}),
        (slice(height - 1, height + 1), slice(width, width + 1), {(0, 1), (1, 1)}),
        (slice(None), slice(-1, None), {(0, 2), (1, 2), (2, 2)}),
    ):
        calls.clear()
        np.testing.assert_array_equal(found.isel(y=rows, x=cols).values, classes[rows, cols])
        assert sorted(calls) == sorted(tiles)


def test_one_plan_has_one_name(scene: Path, tiny_bundle: Path) -> None:
    one, other = (geoseg.predict_lazy(scene, tiny_bundle, **OPTIONS) for _ in range(2))
    assert one.data.name == other.data.name
    assert geoseg.predict_lazy(scene, tiny_bundle, **{**OPTIONS, "tile": 100}).data.name != one.data.name
    graph = dict(one.data.dask)
    plans = [value for value in graph.values() if isinstance(value, lazy.LazyWork)]
    assert len(plans) == 1  # once, not once per tile
    sizes = sorted(len(pickle.dumps(value)) for value in graph.values())
    assert sizes[-2] < 1000 < sizes[-1]


@pytest.mark.slow
def test_processes_compute_the_same(scene: Path, tiny_bundle: Path, classes: np.ndarray[Any, Any]) -> None:
    found = geoseg.predict_lazy(scene, tiny_bundle, **OPTIONS).isel(y=slice(200, 320))
    np.testing.assert_array_equal(found.compute(scheduler="processes", num_workers=1).values, classes[200:320])


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_cluster_computes_the_same(
    scene: Path, tiny_bundle: Path, classes: np.ndarray[Any, Any], processes: bool
) -> None:
    from distributed import Client, LocalCluster

    # A busy machine is slow to start a process and to answer; that is no failure of the array's.
    patient = dask.config.set({"distributed.comm.timeouts.connect": "120s", "distributed.comm.timeouts.tcp": "120s"})
    listens = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
    listens |= {"host": "127.0.0.1"} if processes else {"protocol": "inproc://"}
    with (
        patient,
        LocalCluster(n_workers=1, threads_per_worker=2, processes=processes, memory_limit=0, **listens) as cluster,
        Client(cluster, timeout=120),
    ):
        found = geoseg.predict_lazy(scene, tiny_bundle, **OPTIONS)
        np.testing.assert_array_equal(found.isel(x=slice(300, 500)).values, classes[:, 300:500])
        missing = scene.with_name("moved.tif")
        write_scene(missing, random_pixels((64, 64)))
        gone = geoseg.predict_lazy(missing, tiny_bundle, **OPTIONS)
        close_datasets()
        missing.unlink()
        with pytest.raises(SceneReadError, match="no such file"):
            gone.compute()


@pytest.fixture
def module() -> torch.nn.Module:
    torch.manual_seed(5)
    return torch.nn.Conv2d(3, 4, 3, padding=1).train()


def test_a_module_is_copied_and_for_threads(scene: Path, module: torch.nn.Module) -> None:
    found, other = (geoseg.predict_lazy(scene, module, **OPTIONS) for _ in range(2))
    assert module.training  # nobody's business
    expected = other.values
    del other
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(found.values, expected)
    assert len(np.unique(expected)) > 2
    held = set(source._held)
    work = pickle.loads(pickle.dumps(next(v for v in dict(found.data.dask).values() if isinstance(v, lazy.LazyWork))))
    with pytest.raises(BundleError, match="its own process only"):
        replace(work, process=work.process + 1)(0, 2)
    del found, work
    gc.collect()
    assert len(held - set(source._held)) == 1  # forgotten with the last array


def test_what_is_missing_or_wrong_is_said(scene: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlanError, match="classes, confidence"):
        geoseg.predict_lazy(scene, tiny_bundle, layer="probabilities")
    monkeypatch.setitem(sys.modules, "rioxarray", None)
    with pytest.raises(MissingExtraError, match=r"geoseg\[lazy\]"):
        geoseg.predict_lazy(scene, tiny_bundle)


def test_the_example_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fine = Affine(0.5, 0.0, 500_000.0, 0.0, -0.5, 4_000_000.0)
    write_scene(tmp_path / "scene.tif", random_pixels((160, 160)), transform=fine)
    text = (Path(__file__).parents[2] / "docs" / "lazy.md").read_text(encoding="utf-8")
    example = text.partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(compile(example, "lazy.md", "exec"), names)
    assert names["corner"].shape[0] > 0
    assert 0.9 < float(names["share"]) <= 1.0
