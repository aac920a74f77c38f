"""``geoseg evaluate`` with boundaries and blocks: from files to files."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from click.testing import CliRunner

from geoseg.cli.main import cli
from geoseg.errors import OutputError, OutputExistsError, SceneError
from geoseg.verbs.evaluate import evaluate

LEGEND = [{"id": 0, "name": "land"}, {"id": 1, "name": "road"}, {"id": 4, "name": "water"}]
SHAPE = (200, 330)


def write_map(path: Path, ids: np.ndarray, *, crs: str | None = "EPSG:32633") -> Path:
    place = {} if crs is None else {"crs": crs, "transform": rasterio.Affine(2, 0, 500_000, 0, -2, 5_000_000)}
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="uint8", height=ids.shape[0], width=ids.shape[1], nodata=255, **place
    ) as out:
        out.write(ids, 1)
        out.update_tags(GEOSEG_LEGEND=json.dumps(LEGEND))
    return path


@pytest.fixture
def maps(tmp_path: Path) -> tuple[Path, Path]:
    """A map whose road is two pixels off, and the truth."""
    truth = np.zeros(SHAPE, np.uint8)
    truth[90:110] = 1
    truth[150:, 250:] = 4
    truth[:5] = 255
    return write_map(tmp_path / "map.tif", np.roll(truth, 2, axis=0)), write_map(tmp_path / "truth.tif", truth)


def test_what_is_wrong_near_boundaries_only_is_right_without_them(maps: tuple[Path, Path]) -> None:
    plain = evaluate(*maps, write=False).metrics
    assert 0.9 < plain["overall_accuracy"] < 1
    found = evaluate(*maps, erode_boundary=3, boundary=2, window=100, write=False).metrics
    assert found["overall_accuracy"] == 1
    assert found["eroded_pixels"] > 330 * 12
    for metrics in (plain, found):
        counted = metrics["pixels"] + metrics["unpredicted_pixels"] + metrics["unlabelled_pixels"]
        assert counted + metrics.get("eroded_pixels", 0) == SHAPE[0] * SHAPE[1]
    assert found["unlabelled_pixels"] == plain["unlabelled_pixels"] == 5 * 330
    assert found["boundary"]["classes"][1]["f1"] == 1
    assert found["boundary"]["classes"][1]["iou"] < 1
    assert "boundary" not in plain


def test_blocks_as_squares(maps: tuple[Path, Path], tmp_path: Path) -> None:
    target = tmp_path / "where.gpkg"
    result = evaluate(*maps, by_tile=target, tile=64, window=100, write=False)
    meta, _, wkb, data = pyogrio.raw.read(target)
    columns = dict(zip(meta["fields"], data, strict=True))
    squares = shapely.from_wkb(wkb)
    assert meta["crs"] == "EPSG:32633"
    assert len(squares) == 4 * 6
    assert shapely.bounds(shapely.union_all(squares)).tolist() == [500_000, 5_000_000 - 400, 500_660, 5_000_000]
    assert shapely.area(squares).sum() == pytest.approx(4 * SHAPE[0] * SHAPE[1])
    assert columns["pixels"].sum() == result.metrics["pixels"]
    matrix = np.array(result.metrics["confusion"])
    assert columns["wrong"].sum() == matrix.sum() - matrix.trace() > 0
    assert set(columns["mistake"][columns["row"] == 1]) == {"land taken for road"}
    assert np.isnan(columns["iou water"][0])
    assert columns["accuracy"][(columns["row"] == 2) & (columns["col"] == 0)] == 1


def test_blocks_as_pixels(maps: tuple[Path, Path], tmp_path: Path) -> None:
    squares = tmp_path / "where.gpkg"
    evaluate(*maps, by_tile=squares, tile=64, write=False)
    evaluate(*maps, by_tile=tmp_path / "where.tif", tile=64, write=False)
    meta, _, _, data = pyogrio.raw.read(squares, read_geometry=False)
    columns = dict(zip(meta["fields"], data, strict=True))
    with rasterio.open(tmp_path / "where.tif") as dataset:
        assert dataset.shape == (4, 6)
        assert dataset.transform == rasterio.Affine(128, 0, 500_000, 0, -128, 5_000_000)
        assert dataset.crs.to_epsg() == 32633
        assert np.isnan(dataset.nodata)
        assert dataset.descriptions[:2] == ("accuracy", "miou")
        for band, name in enumerate(dataset.descriptions, start=1):
            np.testing.assert_allclose(dataset.read(band).ravel(), columns[name].astype(np.float32))
        assert [c.name for c in dataset.colorinterp[:3]] == ["gray", "undefined", "undefined"]
    style = tmp_path / "where.qml"
    assert 'grayBand="1"' in style.read_text()
    style.write_text("mine")
    for overwrite in (False, True):
        (tmp_path / "where.tif").unlink()
        evaluate(*maps, by_tile=tmp_path / "where.tif", tile=64, write=False, overwrite=overwrite)
        assert (style.read_text() == "mine") != overwrite


def test_squares_are_of_a_geopackage_that_old_clients_know(maps: tuple[Path, Path], tmp_path: Path) -> None:
    evaluate(*maps, by_tile=tmp_path / "where.gpkg", tile=64, write=False)
    with sqlite3.connect(tmp_path / "where.gpkg") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (10300,)


def test_maps_that_lie_nowhere_have_blocks_too(tmp_path: Path) -> None:
    ids = np.zeros((40, 40), np.uint8)
    path = write_map(tmp_path / "map.tif", ids, crs=None)
    evaluate(path, path, by_tile=tmp_path / "b.tif", tile=16, write=False)
    with rasterio.open(tmp_path / "b.tif") as dataset:
        assert dataset.shape == (3, 3)
        assert dataset.transform == rasterio.Affine.scale(16)  # in the map's pixels, as the squares are
    evaluate(path, path, by_tile=tmp_path / "b.gpkg", tile=16, write=False)
    assert pyogrio.read_info(tmp_path / "b.gpkg")["total_bounds"] == (0, 0, 40, 40)


def test_what_cannot_be_asked_is_refused(maps: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.gpkg or a \.tif"):
        evaluate(*maps, by_tile=tmp_path / "where.csv")
    with pytest.raises(SceneError, match="1 to 256"):
        evaluate(*maps, boundary=0.5)
    with pytest.raises(SceneError, match="16 to 4096"):
        evaluate(*maps, by_tile=tmp_path / "where.gpkg", tile=5)
    (tmp_path / "where.gpkg").write_text("mine")
    with pytest.raises(OutputExistsError):
        evaluate(*maps, by_tile=tmp_path / "where.gpkg")
    assert (tmp_path / "where.gpkg").read_text() == "mine"


def test_on_the_command_line(maps: tuple[Path, Path], tmp_path: Path) -> None:
    asked = ["--erode-boundary", "3", "--boundary", "2", "--by", "tile", str(tmp_path / "w.gpkg"), "--no-write"]
    found = CliRunner().invoke(cli, ["evaluate", *map(str, maps), *asked, "--json"])
    assert found.exit_code == 0, found.output
    metrics = json.loads(found.stdout)
    assert metrics["erode_boundary"] == 3
    assert metrics["by_tile"] == str(tmp_path / "w.gpkg")
    assert "boundary IoU" in found.stderr
    assert "frequency-weighted IoU" in found.stderr
    assert CliRunner().invoke(cli, ["evaluate", *map(str, maps), "--by", "row", "x.gpkg"]).exit_code == 2
