"""``geoseg evaluate --objects``: two files of polygons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyogrio
import pytest
import shapely
from click.testing import CliRunner
from pyarrow import parquet
from pyproj import Transformer

import geoseg
from geoseg.cli.main import cli
from geoseg.errors import GridError, LegendError, SceneError, SceneReadError
from geoseg.raster.aoi_files import read_area
from geoseg.raster.labels import inspect_labels
from geoseg.synthesis.legend import LEGEND as SYNTHETIC
from geoseg.verbs.evaluate_objects import evaluate_objects
from geoseg.verbs.outputs import VECTOR_SUFFIXES

WEST, NORTH = 500_000.0, 5_000_000.0


def squares(corners: list[tuple[float, float]], side: float = 10.0) -> np.ndarray:
    return np.array([shapely.box(WEST + x, NORTH + y, WEST + x + side, NORTH + y + side) for x, y in corners], object)


def write(path: Path, geometries: np.ndarray, *, crs: str | None = "EPSG:32633", **columns: list) -> Path:
    kinds = set(shapely.get_type_id(geometries).tolist())
    pyogrio.raw.write(
        path, shapely.to_wkb(geometries), [np.array(v, object) if isinstance(v[0], str) else np.array(v)
        for v in columns.values()], list(columns), geometry_type="Polygon" if kinds == {3} else "Unknown", crs=crs,
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One map in every format that geoseg writes polygons in, by suffix; and its classes."""
    folder = tmp_path_factory.mktemp("exported")
    geoseg.synth(folder / "scene.tif", width=300, height=200, truth=folder / "classes.tif")
    outputs = [folder / f"map{suffix}" for suffix in VECTOR_SUFFIXES]
    geoseg.export(folder / "classes.tif", outputs, legend=SYNTHETIC)
    return {".tif": folder / "classes.tif", **dict(zip(VECTOR_SUFFIXES, outputs, strict=True))}


@pytest.mark.filterwarnings("error:More than one layer")
@pytest.mark.parametrize("suffix", VECTOR_SUFFIXES)
def test_every_format_that_is_written_is_read(exported: dict[str, Path], suffix: str) -> None:
    for pair in ((suffix, ".gpkg"), (".gpkg", suffix)):
        found = evaluate_objects(*(exported[s] for s in pair))
        assert found.column == "class_id"
        assert found.f1 == 1
        assert found.classes[-1]["predicted"] == pyogrio.read_info(exported[".fgb"])["features"]
        assert [row["name"] for row in found.classes[:-1]] == [c["name"] for c in SYNTHETIC.to_json()]
        assert [row["class"] for row in found.classes[:-1]] == [str(i) for i in SYNTHETIC.ids]


@pytest.mark.parametrize("suffix", VECTOR_SUFFIXES)
def test_classes_go_by_id_and_by_name(exported: dict[str, Path], suffix: str) -> None:
    by_name, by_id = (evaluate_objects(exported[suffix], exported[suffix], classes=[word]) for word in ("water", "4"))
    assert by_name.classes == by_id.classes
    assert by_name.classes[-1]["predicted"] > 0
    with pytest.raises(LegendError, match="has no moon in 'class_id'"):
        evaluate_objects(exported[suffix], exported[suffix], classes=["moon"])


@pytest.mark.parametrize("suffix", VECTOR_SUFFIXES)
def test_every_format_that_is_written_is_an_area_of_interest(exported: dict[str, Path], suffix: str) -> None:
    box = inspect_labels(str(exported[".tif"]), legend=SYNTHETIC).geobox
    assert shapely.area(shapely.from_wkb(read_area(str(exported[suffix]), box).wkb)) == pytest.approx(
        300 * 200, rel=1e-6
    )


def test_other_parquet_is_refused(tmp_path: Path, exported: dict[str, Path]) -> None:
    plain, torn = tmp_path / "plain.parquet", tmp_path / "torn.parquet"
    parquet.write_table(pa.table({"class_id": [1]}), plain)
    torn.write_bytes(exported[".parquet"].read_bytes()[:-9])
    for path, said in ((plain, "without the metadata of GeoParquet"), (torn, "cannot be read as GeoParquet")):
        with pytest.raises(SceneReadError, match=f"{path.name}: .*{said}"):
            evaluate_objects(path, exported[".gpkg"])


def test_a_vector_file_is_no_raster_of_labels(exported: dict[str, Path]) -> None:
    for pair in ((".parquet", ".fgb"), (".parquet", ".tif"), (".tif", ".geojson")):
        made = CliRunner().invoke(cli, ["evaluate", *(str(exported[s]) for s in pair)])
        assert made.exit_code == 2
        assert "vector file" in made.output


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Three buildings of four found, one made up; a road that is called a building."""
    truth = write(
        tmp_path / "truth.gpkg",
        squares([(0, 0), (100, 0), (200, 0), (300, 0), (0, 100)]),
        class_name=["building"] * 4 + ["road"],
    )
    predicted = write(
        tmp_path / "predicted.gpkg",
        squares([(1, 0), (100, 2), (200, 0), (400, 0), (0, 100)]),
        class_name=["building"] * 5,
    )
    return predicted, truth


def test_classes_are_scored_each_for_itself(files: tuple[Path, Path]) -> None:
    found = evaluate_objects(*files)
    building, road, everything = found.classes
    assert [building[k] for k in ("name", "predicted", "truth", "matched")] == ["building", 5, 4, 3]
    assert (building["precision"], building["recall"]) == (0.6, 0.75)
    assert building["matched_iou"] == pytest.approx((9 / 11 + 8 / 12 + 1) / 3)
    assert [road[k] for k in ("predicted", "truth", "matched", "recall", "precision")] == [0, 1, 0, 0.0, None]
    assert everything["matched"] == 3
    assert found.f1 == pytest.approx(2 * 3 / 10)
    assert evaluate_objects(*files, threshold=0.7).classes[0]["matched"] == 2
    assert evaluate_objects(*files, threshold=1.0).classes[0]["matched"] == 1


def test_one_class_against_a_reference_of_it_alone(files: tuple[Path, Path], tmp_path: Path) -> None:
    footprints = write(tmp_path / "footprints.gpkg", squares([(0, 0), (0, 100)]), height=[3.0, 4.0])
    found = evaluate_objects(files[1], footprints, classes=["building"])
    assert [found.classes[0][k] for k in ("name", "predicted", "truth", "matched")] == ["all", 4, 2, 1]
    named = evaluate_objects(files[1], footprints, classes=["building"], column="class_name")
    assert named.classes == found.classes
    plain = evaluate_objects(files[1], footprints)
    assert plain.classes[0]["matched"] == 2
    assert any("one class" in note for note in plain.notes)


def test_a_reference_of_another_crs_is_moved(files: tuple[Path, Path], tmp_path: Path) -> None:
    move = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    _, _, wkb, data = pyogrio.raw.read(files[1])
    moved = shapely.transform(shapely.from_wkb(wkb), lambda p: np.column_stack(move.transform(p[:, 0], p[:, 1])))
    other = write(tmp_path / "degrees.geojson", moved, crs="EPSG:4326", class_name=data[0].tolist())
    here, there = evaluate_objects(*files).classes, evaluate_objects(files[0], other).classes
    for one, two in zip(here, there, strict=True):
        assert one["matched"] == two["matched"]
        assert one["matched_iou"] == (
            None if two["matched_iou"] is None else pytest.approx(two["matched_iou"], rel=1e-4)
        )
    nowhere = write(tmp_path / "nowhere.gpkg", squares([(0, 0)]), crs=None, class_name=["building"])
    with pytest.raises(GridError, match=r"nowhere\.gpkg has no CRS"):
        evaluate_objects(files[0], nowhere)
    assert evaluate_objects(nowhere, nowhere).f1 == 1


def test_what_is_no_polygon_is_left_out_and_a_bow_tie_is_mended(tmp_path: Path) -> None:
    tie = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    mixed = write(
        tmp_path / "mixed.gpkg", np.array([shapely.Point(0, 0), tie, shapely.box(50, 0, 60, 10)], object), n=[1, 2, 3]
    )
    found = evaluate_objects(mixed, mixed)
    assert found.classes[0]["matched"] == 2
    assert any("1 features" in note for note in found.notes)


def test_what_cannot_be_compared(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(LegendError, match="no column 'kind'"):
        evaluate_objects(*files, column="kind")
    with pytest.raises(LegendError, match="no lava in 'class_name', it has building"):
        evaluate_objects(*files, classes=["lava"])
    bare = write(tmp_path / "bare.gpkg", squares([(0, 0)]), n=[1])
    with pytest.raises(LegendError, match="--class-column"):
        evaluate_objects(bare, files[1], classes=["building"])
    with pytest.raises(SceneReadError, match="no such file"):
        evaluate_objects(tmp_path / "gone.gpkg", files[1])
    (tmp_path / "text.gpkg").write_text("no")
    with pytest.raises(SceneReadError, match="cannot be read"):
        evaluate_objects(tmp_path / "text.gpkg", files[1])
    with pytest.raises(SceneError, match="up to 1"):
        evaluate_objects(*files, threshold=1.5)


def test_on_the_command_line(files: tuple[Path, Path]) -> None:
    names = [str(f) for f in files]
    run = CliRunner().invoke(cli, ["evaluate", *names, "--objects", "--iou", "0.7", "--json"])
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert (told["iou"], told["matched"], told["class_column"]) == (0.7, 2, "class_name")
    assert "IoU of matches" in run.stderr
    for wrong, message in (
        ([], "--objects compares"),
        (["--objects", "--boundary", "3"], "--boundary is of pixels"),
        (["--iou", "0.6"], "--iou goes with --objects"),
    ):
        failed = CliRunner().invoke(cli, ["evaluate", *names, *wrong])
        assert failed.exit_code == 2
        assert message in failed.output
