"""Manifests of every kind, and what is refused of them before any work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from geoseg.errors import ManifestError
from geoseg.verbs.batch_manifest import Manifest, read_manifest


def _csv(folder: Path, *lines: str) -> Path:
    path = folder / "scenes.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _refusal(path: Path | str, **options: Any) -> str:
    with pytest.raises(ManifestError) as caught:
        read_manifest(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _scenes(manifest: Manifest) -> list[str]:
    return [entry.scene for entry in manifest.entries]


def test_paths_of_a_csv_are_relative_to_it_and_urls_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    path = _csv(
        folder,
        "scene,reference,output,flight",
        "../a.tif,truth/a.png,../maps,7",
        "",
        "https://example.org/b.tif,,maps2,",
        "/data/c.tif,/truth/c.tif,/maps/",
        "/vsizip/d.zip/d.tif,,out,1",
    )
    monkeypatch.chdir(tmp_path)
    found = read_manifest("lists/scenes.csv")
    assert [(e.scene, e.reference, e.output, e.where) for e in found.entries] == [
        (str(tmp_path / "a.tif"), str(folder / "truth/a.png"), str(tmp_path / "maps"), "line 2"),
        ("https://example.org/b.tif", None, str(folder / "maps2"), "line 4"),
        ("/data/c.tif", "/truth/c.tif", "/maps", "line 5"),
        ("/vsizip/d.zip/d.tif", None, str(folder / "out"), "line 6"),
    ]
    assert found.entries[0].targets(("cog", "zarr", "preview")) == tuple(
        str(tmp_path / "maps" / f"a_classes{suffix}") for suffix in (".tif", ".zarr", ".png")
    )
    assert len(found.notes) == 1
    assert "flight" in found.notes[0]
    assert read_manifest(path) == read_manifest(path, output="elsewhere")


def test_a_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    path = tmp_path / "scenes.csv"
    path.write_bytes('\ufeffScene;Output\r\n"a, b.tif";maps\r\n'.encode())
    assert _scenes(read_manifest(path)) == [str(tmp_path / "a, b.tif")]


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    columns = {"scene": ["a.tif", "b.tif"], "reference": ["t.tif", None], "output": ["m", "n"], "when": [1, 2]}
    write_table(pa.table(columns), tmp_path / "scenes.parquet")
    rows = [",".join(str(c[i] or "") for c in columns.values()) for i in range(2)]
    listed = read_manifest(_csv(tmp_path, ",".join(columns), *rows))
    found = read_manifest(tmp_path / "scenes.parquet")
    assert [(e.scene, e.reference, e.output) for e in found.entries] == [
        (e.scene, e.reference, e.output) for e in listed.entries
    ]
    assert [e.where for e in found.entries] == ["row 1", "row 2"]
    (tmp_path / "scenes.parquet").write_text("scene\n")
    assert "no Parquet" in _refusal(tmp_path / "scenes.parquet")


def _item(name: str, **assets: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": None,
        "properties": {"datetime": "2026-01-01T00:00:00Z"},
        "links": [],
        "assets": assets,
    }


def test_every_item_of_a_stac_collection_is_a_scene(tmp_path: Path) -> None:
    items = [
        _item(
            "one",
            image={"href": "./one.tif", "type": "image/tiff; application=geotiff"},
            thumbnail={"href": "./one.png", "type": "image/png"},
            labels={"href": "./one_labels.tif", "type": "image/tiff"},
        ),
        _item(
            "two",
            visual={"href": "https://example.org/two.tif", "roles": ["data"]},
            other={"href": "https://example.org/three.tif", "type": "image/tiff"},
        ),
        _item("three", picture={"href": "three.jp2"}),
    ]
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    found = read_manifest(path, output=tmp_path / "maps")
    assert [(e.scene, e.reference) for e in found.entries] == [
        (str(tmp_path / "one.tif"), str(tmp_path / "one_labels.tif")),
        ("https://example.org/two.tif", None),
        (str(tmp_path / "three.jp2"), None),
    ]
    del items[1]["assets"]["visual"]["roles"]
    items[1]["assets"]["visual"]["type"] = "image/tiff"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    assert "visual, other" in _refusal(path, output="maps")
    items[1]["assets"] = {}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    assert "item two has no raster" in _refusal(path, output="maps")
    path.write_text(json.dumps({"type": "Catalog"}))
    assert "Catalog" in _refusal(path, output="maps")
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}}]}))
    assert "not STAC's" in _refusal(path, output="maps")
    path.write_text("{")
    assert "no JSON" in _refusal(path, output="maps")


def test_folders_and_globs_leave_out_the_maps_of_an_earlier_run(tmp_path: Path) -> None:
    for name in ("b.tif", "a.TIF", "b_classes.tif", "notes.txt", "below/c.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = read_manifest(tmp_path, output=tmp_path)
    assert _scenes(found) == [str(tmp_path / name) for name in ("a.TIF", "b.tif")]
    assert "1 of 3 files are maps" in found.notes[0]
    assert _scenes(read_manifest(f"{tmp_path}/**/*.tif", output=tmp_path / "maps")) == [
        str(tmp_path / name) for name in ("b.tif", "b_classes.tif", "below/c.tif")
    ]


def test_references_of_the_same_stem(tmp_path: Path) -> None:
    (tmp_path / "truths").mkdir()
    for name in ("truths/a.png", "truths/b.tif", "truths/b.txt"):
        (tmp_path / name).touch()
    path = _csv(tmp_path, "scene,reference", "a.tif,", "b.tif,own.tif", "c.tif,")
    found = read_manifest(path, output="maps", references=tmp_path / "truths")
    assert [e.reference for e in found.entries] == [str(tmp_path / n) for n in ("truths/a.png", "own.tif")] + [None]
    assert "1 of 3" in found.notes[0]
    assert "no such folder" in _refusal(path, output="maps", references=tmp_path / "none")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["picture,output", "a.tif,m"], ["'scene'", "picture, output"]),
        (["scene,output"], ["no scene"]),
        ([""], ["'scene'", "none"]),
        (["scene", "a.tif", "b.tif"], ["no output folder", "2 scenes", "-o FOLDER"]),
        (["scene,output", "a.tif,m", "b.tif,", "c.tif,"], ["2 of 3", "line 3, line 4"]),
        (["scene,output", "a.tif,m", ",m"], ["1 of 2", "line 3"]),
        (["scene,output", "a.tif,m/a.tif"], ["folder", "line 2: m/a.tif"]),
        (["scene,output", "a.tif,m", "b.tif,m,n"], ["line 3", "3 cells under 2"]),
        (["scene,scene", "a.tif,m"], ["two columns 'scene'"]),
        (["scene,output", "a.tif,m", "b.tif,m", "./a.tif,n"], ["1 scenes are listed twice", "line 2 and line 4"]),
        (["scene,output", "x/a.tif,m", "b.tif,m", "y/a.tif,m/"], ["line 2", "line 4", "m/a_classes.tif"]),
        (["scene,output", "a.tif,.", "a_classes.tif,m"], ["line 3", "is what", "line 2", "writes"]),
    ],
)
def test_what_is_refused_of_a_table(tmp_path: Path, lines: list[str], words: list[str]) -> None:
    line = _refusal(_csv(tmp_path, *lines))
    assert "scenes.csv" in line
    assert [word for word in words if word not in line] == []


@pytest.mark.parametrize(
    "row",
    [
        "https://me:hunter2@example.org/a.tif,,",
        "https://example.org/a.tif?X-Amz-Signature=hunter2,,",
        "a.tif,https://example.org/t.tif?token=hunter2,",
        "a.tif,,s3://me:hunter2@bucket/maps",
    ],
)
def test_credentials_are_refused_before_they_are_written_anywhere(tmp_path: Path, row: str) -> None:
    line = _refusal(_csv(tmp_path, "scene,reference,output", row), output="maps")
    assert "line 2" in line
    assert "credentials" in line
    assert "hunter2" not in line


def test_what_is_refused_of_other_manifests(tmp_path: Path) -> None:
    assert "no such manifest" in _refusal(tmp_path / "none.csv", output="maps")
    assert "matches nothing" in _refusal(f"{tmp_path}/*.tif", output="maps")
    assert "holds no .tif" in _refusal(tmp_path, output="maps")
    (tmp_path / "scenes.txt").touch()
    assert ".csv, .parquet or .json" in _refusal(tmp_path / "scenes.txt", output="maps")
    (tmp_path / "latin.csv").write_bytes(b"scene\n\xe4.tif\n")
    assert "cannot be read" in _refusal(tmp_path / "latin.csv", output="maps")
