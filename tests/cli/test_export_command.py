"""``geoseg export`` on the command line, and its page in the documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyogrio
import pytest

from tests.cli.test_commands import failure, geoseg
from tests.polygons.maps import judged
from tests.verbs.test_evaluate import class_map, write_map


def test_json_has_what_programs_read(tmp_path: Path) -> None:
    classes = class_map(1)
    write_map(tmp_path / "map.zarr", classes)
    target = tmp_path / "map.gpkg"
    result = geoseg("export", tmp_path / "map.zarr", target, "--json", "-q")
    data = json.loads(result.stdout)
    assert result.stderr == ""
    assert data["outputs"] == [str(target)]
    assert data["polygons"] == len(judged(classes)[0])
    assert sum(c["regions"] for c in data["classes"]) == data["polygons"]
    assert {c["name"] for c in data["classes"]} == {"land", "road", "water"}


def test_the_table_and_several_outputs(tmp_path: Path) -> None:
    write_map(tmp_path / "map.zarr", class_map(2))
    outputs = [tmp_path / "a.fgb", tmp_path / "a.geojson"]
    result = geoseg("export", tmp_path / "map.zarr", *outputs, "--classes", "road,4", "--min-area", "2", "--dissolve")
    assert re.search(r"road +[\d,]+ +[\d,.]+", result.stderr)
    assert "land" not in result.stderr
    for output in outputs:
        assert f"wrote  {output}" in result.stderr
        assert pyogrio.read_info(output, force_feature_count=True)["features"] == 2


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (["out.shp"], ".gpkg, .parquet"),
        (["out.gpkg", "--classes", "sea"], "'sea' is not in the legend"),
        (["out.gpkg", "--min-area", "nan"], "min_area"),
        (["out.gpkg", "out.gpkg"], "named twice"),
    ],
)
def test_bad_options_get_one_line(
    tmp_path: Path, options: list[str], fragment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_map(tmp_path / "map.zarr", np.zeros((300, 420), np.uint8))
    assert fragment in failure("export", "map.zarr", *options)
    assert [p.name for p in tmp_path.iterdir()] == ["map.zarr"]


def test_the_example_in_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(__file__).parents[2] / "docs" / "polygons.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})  # our own page
    assert "polygons; [('class 0', " in capsys.readouterr().out
