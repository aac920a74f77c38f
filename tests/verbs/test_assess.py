"""``geoseg assess``: from a class map to a sample, from an interpreted sample to areas."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from click.testing import CliRunner

from geoseg.cli.main import cli
from geoseg.errors import LegendError, OutputError, OutputExistsError, SampleError, SceneReadError
from geoseg.verbs.assess_design import assess_design as design
from geoseg.verbs.assess_design import design_rows
from geoseg.verbs.assess_estimate import assess_estimate as estimate
from geoseg.verbs.assess_estimate import estimate_rows

LEGEND = [{"id": 1, "name": "forest"}, {"id": 2, "name": "water"}, {"id": 3, "name": "town"}, {"id": 7, "name": "ice"}]
SHAPE = (260, 300)


def write_map(path: Path, *, crs: str | None = "EPSG:32633") -> np.ndarray:
    """A map of three of the legend's four classes, and some nodata."""
    ids = np.ones(SHAPE, np.uint8)
    ids[:, 200:] = 2
    ids[100:120, 30:60] = 3
    ids[:10] = 255
    place = {} if crs is None else {"crs": crs, "transform": rasterio.Affine(30, 0, 500_000, 0, -30, 5_000_000)}
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="uint8", height=SHAPE[0], width=SHAPE[1], nodata=255, **place
    ) as out:
        out.write(ids, 1)
        out.update_tags(GEOSEG_LEGEND=json.dumps(LEGEND))
    return ids


def fill(sample: Path, sql: str) -> None:
    """What an interpreter does in QGIS."""
    with sqlite3.connect(sample) as db:
        db.create_function("ST_IsEmpty", 1, lambda _: 0)  # of the spatial index
        for name in ("ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            db.create_function(name, 1, lambda _: 0.0)
        db.execute(sql)


@pytest.fixture
def drawn(tmp_path: Path) -> tuple[Path, np.ndarray]:
    ids = write_map(tmp_path / "map.tif")
    sample = tmp_path / "sample.gpkg"
    design(tmp_path / "map.tif", sample, size=200, minimum=40, seed=3)
    return sample, ids


def test_a_sample_lies_where_it_says(drawn: tuple[Path, np.ndarray]) -> None:
    sample, ids = drawn
    meta, _, wkb, data = pyogrio.raw.read(sample, layer="sample")
    columns = dict(zip(meta["fields"], data, strict=True))
    assert meta["crs"] == "EPSG:32633"
    assert columns["unit"].tolist() == list(range(1, 201))
    assert all(value is None for value in columns["reference"])
    with rasterio.open(sample.with_name("map.tif")) as dataset:
        points = shapely.get_coordinates(shapely.from_wkb(wkb))
        centres = dataset.xy(columns["row"], columns["col"], offset="center")
        np.testing.assert_allclose(points.T, np.array(centres))
        assert [int(v[0]) for v in dataset.sample(points)] == columns["map_class"].tolist()
    assert (ids[columns["row"], columns["col"]] == columns["map_class"]).all()
    strata, _, _, rows = pyogrio.raw.read(sample, layer="strata", read_geometry=False)
    table = dict(zip(strata["fields"], rows, strict=True))
    assert table["pixels"].tolist() == [(ids == i).sum() for i in (1, 2, 3, 7)]
    assert table["area_m2"] == pytest.approx(table["pixels"] * 900, rel=2e-3)  # 0.9996 squared is UTM's scale
    assert table["sampled"].tolist()[2:] == [40, 0]
    with sqlite3.connect(sample) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (10300,)  # what GDAL 3.6 knows without a warning


def test_squares_are_the_pixels(tmp_path: Path) -> None:
    write_map(tmp_path / "map.tif")
    found = design(tmp_path / "map.tif", tmp_path / "s.gpkg", size=150, shape="polygons")
    _, _, wkb, _ = pyogrio.raw.read(tmp_path / "s.gpkg", layer="sample")
    squares = shapely.from_wkb(wkb)
    assert set(shapely.area(squares).tolist()) == {900.0}
    assert shapely.is_valid(squares).all()
    assert any("no pixel of ice" in note for note in found.notes)
    assert design_rows(found)[-1][-1] == "150"


def test_an_interpreted_sample_gives_areas(drawn: tuple[Path, np.ndarray]) -> None:
    """Everything right but 10 of 40 'town' units, which are forest, and are filled in by name."""
    sample, ids = drawn
    fill(sample, "UPDATE sample SET reference = map_class")
    fill(sample, "UPDATE sample SET reference = ' Forest' WHERE unit IN"
                 " (SELECT unit FROM sample WHERE map_class = 3 LIMIT 10)")  # fmt: skip
    found = estimate(sample)
    pixels = np.array([(ids == i).sum() for i in (1, 2, 3, 7)])
    moved = pixels[2] / 4
    assert found.unit == "ha"
    total = sum(found.mapped)
    assert total == pytest.approx(pixels.sum() * 0.09, rel=2e-3)
    shares = np.array([pixels[0] + moved, pixels[1], pixels[2] - moved, 0]) / pixels.sum()
    assert found.estimates.shares == pytest.approx(shares, rel=1e-4)
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    town = data["classes"][2]
    assert town["users_accuracy"]["value"] == 0.75
    assert town["users_accuracy"]["half_width_95"] == pytest.approx(1.96 * np.sqrt(0.75 * 0.25 / 39))
    assert data["classes"][3]["producers_accuracy"]["value"] is None
    assert len({len(row) for row in estimate_rows(found)}) == 1
    assert estimate(sample, unit="km2").mapped[0] == pytest.approx(found.mapped[0] / 100)


def test_without_a_crs_areas_are_pixels(tmp_path: Path) -> None:
    ids = write_map(tmp_path / "map.tif", crs=None)
    assert any("in pixels" in note for note in design(tmp_path / "map.tif", tmp_path / "s.gpkg", size=200).notes)
    fill(tmp_path / "s.gpkg", "UPDATE sample SET reference = map_class")
    found = estimate(tmp_path / "s.gpkg")
    assert found.unit == "pixels"
    assert found.mapped[:3] == tuple((ids == i).sum() for i in (1, 2, 3))
    assert any("pixels" in note for note in found.notes)


def test_references_that_are_missing_or_strange(drawn: tuple[Path, np.ndarray]) -> None:
    sample, _ = drawn
    with pytest.raises(SampleError, match=r"200 of 200 units .* 40 of town.*--skip-unfilled"):
        estimate(sample)
    fill(sample, "UPDATE sample SET reference = map_class WHERE unit > 12")
    with pytest.raises(SampleError, match="12 of 200 units"):
        estimate(sample)
    found = estimate(sample, skip_unfilled=True)
    assert found.counts.sum() == 188
    assert any("12 units" in note for note in found.notes)
    fill(sample, "UPDATE sample SET reference = '9' WHERE unit = 50")
    fill(sample, "UPDATE sample SET reference = 'lava' WHERE unit IN (51, 52)")
    with pytest.raises(LegendError, match=r"3 of 200 units .*'lava' \(2\), '9' \(1\); the legend is 1 forest"):
        estimate(sample, skip_unfilled=True)
    fill(sample, "UPDATE sample SET reference = map_class")
    fill(sample, "UPDATE sample SET reference = NULL WHERE map_class = 3")
    with pytest.raises(SampleError, match="no interpreted unit in town"):
        estimate(sample, skip_unfilled=True)


def test_samples_that_lost_something(drawn: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    sample, _ = drawn
    fill(sample, "UPDATE sample SET reference = map_class")
    whole = estimate(sample).to_json()
    other = tmp_path / "other.gpkg"
    shutil.copy(sample, other)
    fill(other, "ALTER TABLE sample DROP COLUMN reference")
    with pytest.raises(SampleError, match="no column 'reference', it has unit, map_class"):
        estimate(other)
    saved_as = tmp_path / "saved_as.geojson"  # as GIS people do
    meta, _, wkb, data = pyogrio.raw.read(sample, layer="sample")
    pyogrio.raw.write(saved_as, wkb, data, meta["fields"], geometry_type="Point", crs=meta["crs"], driver="GeoJSON")
    with pytest.raises(SampleError, match=r"no table 'strata'.*--strata"):
        estimate(saved_as)
    again = estimate(saved_as, strata=sample).to_json()
    assert {**again, "sample": ""} == {**whole, "sample": ""}
    fill(sample, "UPDATE strata SET pixels = 0 WHERE map_class = 3")
    with pytest.raises(SampleError, match=r"map_class 3 \(40 units\) is no stratum"):
        estimate(sample)
    with pytest.raises(SceneReadError, match="no such file"):
        estimate(tmp_path / "gone.gpkg")


def test_designs_that_cannot_be(tmp_path: Path) -> None:
    write_map(tmp_path / "map.tif")
    target = tmp_path / "s.gpkg"
    with pytest.raises(OutputError, match=r"end in \.gpkg"):
        design(tmp_path / "map.tif", tmp_path / "s.geojson")
    with pytest.raises(SampleError, match="100 units are too few for at least 50 in each of 3 classes"):
        design(tmp_path / "map.tif", target, size=100)
    with pytest.raises(LegendError, match="no class 'lava'"):
        design(tmp_path / "map.tif", target, expected_of={"lava": 0.5})
    with pytest.raises(SampleError, match="standard error"):
        design(tmp_path / "map.tif", target, target_se=0)
    design(tmp_path / "map.tif", target)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        design(tmp_path / "map.tif", target)
    assert not list(tmp_path.glob(".*"))


def test_on_the_command_line(tmp_path: Path) -> None:
    write_map(tmp_path / "map.tif")
    run = CliRunner().invoke
    sample = str(tmp_path / "s.gpkg")
    made = run(cli, ["assess", "design", str(tmp_path / "map.tif"), sample, "--expect", "town=0.6,0.9", "--json"])
    assert made.exit_code == 0, made.output
    assert '"town": 0.6' in made.output
    fill(Path(sample), "UPDATE sample SET reference = map_class")
    told = run(cli, ["assess", "estimate", sample])
    assert told.exit_code == 0, told.output
    assert "overall accuracy" in told.stdout
    told = run(cli, ["assess", "estimate", sample, "--json", "-q"])
    assert json.loads(told.stdout)["overall_accuracy"]["value"] == pytest.approx(1)
    assert run(cli, ["assess", "design", "a", "b", "--expect", "1.2"]).exit_code == 2
