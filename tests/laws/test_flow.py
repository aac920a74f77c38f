"""Laws 3, 5, 6 and 8 on files, with the real executor."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import rioxarray  # noqa: F401 - registers .rio
import torch
import xarray as xr
import zarr
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import Affine
from torch import nn

import geoseg
from geoseg.errors import OutputExistsError, PlanError, SceneReadError
from geoseg.inference.executors import ClusterOptions, Session, open_session
from geoseg.inference.tilework import TileReport, TileTask, work_tile
from tests.scenes import UTM, random_pixels, write_scene

SMALL: dict[str, Any] = {"patch_size": 64, "overlap": 16, "exact": True, "tile": 100, "device": "cpu"}


@pytest.fixture
def network() -> nn.Module:
    """A plain network of receptive radius 2 that tells three classes apart."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1))


def classes_of(path: Path) -> npt.NDArray[np.uint8]:
    return np.asarray(zarr.open_group(path, mode="r")["classes"][:])


def test_law_3_tiles_order_workers_and_scheduler_change_nothing(tmp_path: Path, network: nn.Module) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((333, 271)))
    found = {}
    for stitch in ("crop", "hann"):
        for tile, scheduler, batch in itertools.product((48, 100, 1000), ("threads", "sync"), (1, 3)):
            if (scheduler, batch) == ("sync", 3):
                continue
            target = tmp_path / f"{stitch}-{tile}-{scheduler}-{batch}.zarr"
            options = {**SMALL, "tile": tile, "scheduler": scheduler, "batch_size": batch, "stitch": stitch}
            geoseg.predict(scene, outputs=target, model=network, **options)
            found[target] = classes_of(target)
        first = next(v for k, v in found.items() if k.name.startswith(stitch))
        for target, classes in found.items():
            if target.name.startswith(stitch):
                np.testing.assert_array_equal(classes, first, err_msg=target.name)
    assert len(np.unique(first)) == 3


class _Reordering(Session):
    """Another session's tiles in another order, or more than once."""

    def __init__(self, plain: Session, change: str) -> None:
        self._plain, self._change = plain, change

    def run(self, task: TileTask, tiles: Iterable[tuple[int, int]], **rest: Any) -> Iterator[TileReport]:
        listed = list(tiles)
        order = {
            "reversed": listed[::-1],
            "shuffled": [listed[i] for i in np.random.default_rng(0).permutation(len(listed))],
            "twice": [*listed, *listed],
        }.get(self._change, listed)
        return self._plain.run(task, order, **rest)


@pytest.mark.parametrize("change", ["reversed", "shuffled", "twice", "one slot", "seven slots"])
def test_law_3_order_retries_and_slots_change_nothing(tmp_path: Path, network: nn.Module, change: str) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((333, 271)))
    options = {**SMALL, "stitch": "gaussian"}
    geoseg.predict(scene, outputs=tmp_path / "plain.zarr", model=network, **options)
    slots = {"one slot": 1, "seven slots": 7}.get(change, 3)
    with open_session(ClusterOptions(), slots=slots) as plain:
        session = _Reordering(plain, change)
        geoseg.predict(scene, outputs=tmp_path / "changed.zarr", model=network, session=session, **options)
    np.testing.assert_array_equal(classes_of(tmp_path / "changed.zarr"), classes_of(tmp_path / "plain.zarr"))


def test_law_3_a_real_network_is_bit_equal_across_tiles(tmp_path: Path, tiny_bundle: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((400, 300)))
    results = []
    for tile, scheduler in ((96, "threads"), (400, "sync")):
        target = tmp_path / f"{tile}.zarr"
        geoseg.predict(scene, outputs=target, model=tiny_bundle, tile=tile, scheduler=scheduler)
        results.append(classes_of(target))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("stitch", ["crop", "gaussian"])
def test_law_4_the_written_classes_are_those_of_one_forward_pass(
    tmp_path: Path, network: nn.Module, stitch: str
) -> None:
    pixels = random_pixels((150, 213))
    scene = write_scene(tmp_path / "scene.tif", pixels)
    geoseg.predict(scene, outputs=tmp_path / "out.zarr", model=network, **{**SMALL, "stitch": stitch})
    with torch.inference_mode():
        whole = network(torch.from_numpy(pixels.astype(np.float32))[None])[0].argmax(0).numpy()
    different = (classes_of(tmp_path / "out.zarr") != whole).sum()
    assert different == 0 if stitch == "crop" else different < 0.02 * whole.size


def test_law_5_nodata_is_255_whatever_it_holds(tmp_path: Path, network: nn.Module) -> None:
    pixels = random_pixels((200, 180))
    valid = np.ones((200, 180), bool)
    valid[30:120, 50:] = False
    found = []
    for value in (0, 250):
        changed = np.where(valid, pixels, np.uint8(value))
        scene = write_scene(tmp_path / f"{value}.tif", changed, valid=valid)
        geoseg.predict(scene, outputs=tmp_path / f"{value}.zarr", model=network, **SMALL)
        found.append(classes_of(tmp_path / f"{value}.zarr"))
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(found[0] == 255, ~valid)


class _Counter(Session):
    """One tile after the other, counted; may fail at the n-th."""

    def __init__(self, *, fail_at: int | None = None) -> None:
        self.keys: list[tuple[int, int]] = []
        self._fail_at = fail_at

    def run(self, task: TileTask, tiles: Iterable[tuple[int, int]], **_: Any) -> Iterator[TileReport]:
        for row, col in tiles:
            if len(self.keys) == self._fail_at:
                raise SceneReadError("the disk went away")
            self.keys.append((row, col))
            yield work_tile(task, row, col)


def test_law_6_a_run_that_failed_goes_on_where_it_was(tmp_path: Path, network: nn.Module) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((300, 300)))
    target = tmp_path / "out.zarr"
    broken, rest = _Counter(fail_at=4), _Counter()
    with pytest.raises(SceneReadError):
        geoseg.predict(scene, outputs=target, model=network, session=broken, **SMALL)
    assert not target.exists()
    geoseg.predict(scene, outputs=target, model=network, session=rest, **SMALL)
    assert len(broken.keys) == 4
    assert not set(broken.keys) & set(rest.keys)
    geoseg.predict(scene, outputs=tmp_path / "once.zarr", model=network, **SMALL)
    np.testing.assert_array_equal(classes_of(target), classes_of(tmp_path / "once.zarr"))
    assert [p.name for p in tmp_path.glob(".*")] == []


def test_an_unfinished_run_with_other_settings_is_refused_by_name(tmp_path: Path, network: nn.Module) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((300, 300)))
    with pytest.raises(SceneReadError):
        geoseg.predict(scene, outputs=tmp_path / "out.tif", model=network, session=_Counter(fail_at=1), **SMALL)
    with pytest.raises(PlanError, match="stitch crop -> hann"):
        geoseg.predict(scene, outputs=tmp_path / "out.tif", model=network, **{**SMALL, "stitch": "hann"})
    geoseg.predict(scene, outputs=tmp_path / "out.tif", model=network, **{**SMALL, "stitch": "hann", "restart": True})
    assert (tmp_path / "out.tif").exists()


def test_an_output_is_never_replaced_unasked(tmp_path: Path, network: nn.Module) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((90, 90)))
    for name in ("out.tif", "out.zarr"):
        geoseg.predict(scene, outputs=tmp_path / name, model=network, **SMALL)
        before = classes_of(tmp_path / name) if name == "out.zarr" else (tmp_path / name).read_bytes()
        with pytest.raises(OutputExistsError, match="--overwrite"):
            geoseg.predict(scene, outputs=tmp_path / name, model=network, **{**SMALL, "stitch": "average"})
        after = classes_of(tmp_path / name) if name == "out.zarr" else (tmp_path / name).read_bytes()
        np.testing.assert_array_equal(before, after)
        geoseg.predict(scene, outputs=tmp_path / name, model=network, **{**SMALL, "overwrite": True})


ROTATED = Affine(1.9, 0.4, 500_000.0, 0.3, -2.1, 4_000_000.0)


@pytest.mark.parametrize("transform", [UTM, ROTATED])
def test_law_8_crs_and_transform_arrive_in_every_output(tmp_path: Path, network: nn.Module, transform: Affine) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((130, 90)), transform=transform)
    outputs = [tmp_path / "out.tif", tmp_path / "out.zarr"]
    geoseg.predict(scene, outputs=outputs, model=network, **SMALL)
    with rasterio.open(outputs[0]) as cog:
        assert cog.crs.to_epsg() == 32633
        assert cog.transform == transform
        assert cog.nodata == 255
        assert cog.dtypes == ("uint8",)
    with xr.open_zarr(outputs[1], consolidated=False) as store:
        classes = store["classes"]
        assert classes.dtype == np.uint8
        assert classes.rio.crs.to_epsg() == 32633
        assert classes.rio.transform() == transform
        assert classes.rio.nodata == 255


def test_law_8_gcps_arrive_in_the_cog(tmp_path: Path, network: nn.Module) -> None:
    pixels = random_pixels((80, 100))
    points = [GroundControlPoint(r, c, 10 + c / 1e4, 50 - r / 1e4) for r, c in ((0, 0), (0, 100), (80, 0), (80, 100))]
    path = tmp_path / "gcps.tif"
    with rasterio.open(path, "w", driver="GTiff", count=3, height=80, width=100, dtype="uint8") as target:
        target.write(pixels)
        target.gcps = (points, rasterio.crs.CRS.from_epsg(4326))
    geoseg.predict(path, outputs=tmp_path / "out.tif", model=network, **SMALL)
    with rasterio.open(tmp_path / "out.tif") as cog:
        found, crs = cog.gcps
        assert crs.to_epsg() == 4326
        assert [(p.row, p.col, p.x, p.y) for p in found] == [(p.row, p.col, p.x, p.y) for p in points]


def test_law_8_rpcs_arrive_in_the_cog(tmp_path: Path, network: nn.Module) -> None:
    path = tmp_path / "rpcs.tif"
    coefficients = [1.0, *[0.0] * 19]
    rpcs = RPC(
        height_off=10.0, height_scale=500.0, lat_off=50.0, lat_scale=0.1, long_off=10.0, long_scale=0.1, line_off=40.0,
        line_scale=40.0, samp_off=50.0, samp_scale=50.0, line_num_coeff=coefficients, line_den_coeff=coefficients,
        samp_num_coeff=coefficients, samp_den_coeff=coefficients,
    )  # fmt: skip
    with rasterio.open(path, "w", driver="GTiff", count=3, height=80, width=100, dtype="uint8") as target:
        target.write(random_pixels((80, 100)))
        target.rpcs = rpcs
    geoseg.predict(path, outputs=tmp_path / "out.tif", model=network, **SMALL)
    with rasterio.open(path) as before, rasterio.open(tmp_path / "out.tif") as after:
        assert after.rpcs is not None
        assert after.rpcs.to_gdal() == before.rpcs.to_gdal()


def test_zarr_2_opens_in_gdal(tmp_path: Path, network: nn.Module) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((130, 90)))
    target = tmp_path / "out.zarr"
    geoseg.predict(scene, outputs=target, model=network, **{**SMALL, "zarr_format": 2})
    with rasterio.open(f'ZARR:"{target}":/classes') as found:
        assert found.crs.to_epsg() == 32633
        assert found.transform == UTM
        assert found.nodata == 255
        np.testing.assert_array_equal(found.read(1), classes_of(target))


def test_the_reference_is_scored_and_both_outputs_carry_the_scores(tmp_path: Path, network: nn.Module) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((130, 90)))
    geoseg.predict(scene, outputs=tmp_path / "first.zarr", model=network, **SMALL)
    truth = classes_of(tmp_path / "first.zarr").copy()
    truth[:65] = (truth[:65] + 1) % 3
    write_scene(tmp_path / "truth.tif", truth[None], nodata=255)
    outputs = [tmp_path / "out.tif", tmp_path / "out.zarr"]
    result = geoseg.predict(scene, outputs=outputs, model=network, reference=tmp_path / "truth.tif", **SMALL)
    assert result.metrics is not None
    assert result.metrics["overall_accuracy"] == pytest.approx(0.5)
    for output in outputs:
        again = geoseg.evaluate(output, tmp_path / "truth.tif", write=False)
        assert again.metrics["miou"] == pytest.approx(result.metrics["miou"])
    with rasterio.open(outputs[0]) as cog:
        assert '"miou"' in cog.tags()["GEOSEG_METRICS"]
    assert zarr.open_group(outputs[1], mode="r").attrs["metrics"]["miou"] == pytest.approx(result.metrics["miou"])


def test_a_scene_that_fails_midway_names_the_window_and_keeps_what_is_done(tmp_path: Path, network: nn.Module) -> None:
    """The real executor: GDAL's error crosses Dask and still is one line."""
    scene = write_scene(tmp_path / "scene.tif", random_pixels((300, 300)))
    data = bytearray(scene.read_bytes())
    with rasterio.open(scene) as source:
        offset = int(source.tags(1, ns="TIFF")["BLOCK_OFFSET_3_3"]) if source.tags(1, ns="TIFF") else None
    del data[(offset or len(data) * 2 // 3) :]
    scene.write_bytes(data)
    with pytest.raises(SceneReadError, match=r"reading rows \d+-\d+, columns \d+-\d+ failed"):
        geoseg.predict(scene, outputs=tmp_path / "out.tif", model=network, **SMALL)
    assert not (tmp_path / "out.tif").exists()
    assert list(tmp_path.glob(".out.tif.part.zarr/classes/.geoseg-done/*"))
