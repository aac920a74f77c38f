"""The command line in this process: parsing, JSON, exit codes and one-line errors."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result

from geoseg.cli.main import cli, log_in_detail
from geoseg.errors import GeosegError
from tests.scenes import random_pixels, write_scene


def geoseg(*arguments: str | Path) -> Result:
    """Runs a command; what it raises is left for the test to look at."""
    return CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)


def failure(*arguments: str | Path) -> str:
    """The one line a failing command would print."""
    result = geoseg(*arguments)
    assert isinstance(result.exception, GeosegError), result.exception
    line = str(result.exception)
    assert "\n" not in line
    return line


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", random_pixels((200, 260)))


def test_plan_json_has_what_programs_read(scene: Path, tiny_bundle: Path) -> None:
    plan = json.loads(geoseg("plan", scene, "-m", tiny_bundle, "--json").stdout)
    assert plan["context"] == 128
    assert plan["scene_pixels"] == 200 * 260
    assert [p - o for p, o in zip(plan["patch_size"], plan["overlap"], strict=True)] == plan["stride"]
    assert plan["computed_pixels"] == plan["patches"] * plan["patch_size"][0] * plan["patch_size"][1]
    assert plan["batch_size"] >= 1
    assert plan["stitch"] == "crop"
    assert len(plan["tile"]) == 2
    assert len(plan["digest"]) == 64
    assert not list(scene.parent.glob("*classes*"))


def test_predict_json_has_what_programs_read(scene: Path, tiny_bundle: Path) -> None:
    result = geoseg("predict", scene, "-m", tiny_bundle, "--json", "-q")
    data = json.loads(result.stdout)
    assert result.stderr == ""
    assert [Path(p).name for p in data["outputs"]] == ["scene_classes.tif", "scene_classes.zarr"]
    assert all(Path(p).exists() for p in data["outputs"])
    assert data["metrics"] is None
    assert set(data["seconds"]) >= {"total", "read", "compute", "write"}
    assert data["peak_rss_bytes"] > 1e8
    assert data["plan"]["digest"] == json.loads(geoseg("plan", scene, "-m", tiny_bundle, "--json").stdout)["digest"]


@pytest.mark.parametrize("command", [[], ["predict"], ["plan"], ["evaluate"], ["train"], ["synth"], ["model", "info"]])
def test_help_is_readable(command: list[str]) -> None:
    text = geoseg(*command, "--help").stdout
    assert "Usage:" in text
    assert "\\b" not in text
    assert "\b" not in text


def test_batch_takes_what_predict_takes() -> None:
    """But what makes one scene of many, or is about one scene or none."""
    with click.Context(cli) as context:
        predict, batch = (
            {p.name: p.default for p in cli.get_command(context, name).params} for name in ("predict", "batch")
        )
    for name in ("scenes", "mosaic", "preview", "report", "stac", "dry_run", "outputs", "references"):
        del predict[name]
    assert len(predict) > 30
    assert {name: batch.get(name, "is missing") for name in predict} == predict


def test_the_detailed_log_has_no_session_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore writes the headers it signs, tokens among them, to its debug log."""
    pytest.importorskip("botocore")
    auth, own = logging.getLogger("botocore.auth"), logging.getLogger("geoseg.raster")
    monkeypatch.setattr(logging, "basicConfig", lambda level, **_: logging.getLogger().setLevel(level))
    root, kept = logging.getLogger(), logging.getLogger("botocore")
    levels = root.level, kept.level
    try:
        log_in_detail()
        assert own.isEnabledFor(logging.DEBUG)
        assert not auth.isEnabledFor(logging.DEBUG)
    finally:
        root.setLevel(levels[0])
        kept.setLevel(levels[1])


def test_layers_without_a_store_are_refused(scene: Path, tiny_bundle: Path) -> None:
    line = failure("predict", scene, "-m", tiny_bundle, "-o", scene.parent / "out.tif", "--confidence")
    assert ".zarr" in line


def test_a_dry_run_is_the_plan(scene: Path, tiny_bundle: Path) -> None:
    dry = geoseg("predict", scene, "-m", tiny_bundle, "--dry-run", "--json")
    assert json.loads(dry.stdout) == json.loads(geoseg("plan", scene, "-m", tiny_bundle, "--json").stdout)
    assert not list(scene.parent.glob("*classes*"))
    table = geoseg("plan", scene, "-m", tiny_bundle)
    assert "computed / scene" in table.stdout
    assert table.stderr == ""


def test_several_scenes_are_several_runs_and_a_broken_one_stops_no_other(tmp_path: Path, tiny_bundle: Path) -> None:
    good = [write_scene(tmp_path / f"{n}.tif", random_pixels((60, 60), seed=n)) for n in (1, 2)]
    (tmp_path / "bad.tif").write_bytes(b"no raster")
    result = geoseg(
        "predict", good[0], tmp_path / "bad.tif", good[1], "-m", tiny_bundle, "-o", tmp_path / "maps", "--json"
    )
    assert result.return_value == 1
    runs = json.loads(result.stdout)["runs"]
    assert ["error" in run for run in runs] == [False, True, False]
    assert sorted(p.name for p in (tmp_path / "maps").iterdir()) == [
        "1_classes.qml", "1_classes.sld", "1_classes.tif", "1_classes.tif.aux.xml", "1_classes.zarr",
        "2_classes.qml", "2_classes.sld", "2_classes.tif", "2_classes.tif.aux.xml", "2_classes.zarr",
    ]  # fmt: skip


def test_confidence_and_probabilities_are_layers_of_the_zarr(scene: Path, tiny_bundle: Path) -> None:
    import zarr

    target = scene.parent / "out.zarr"
    geoseg("predict", scene, "-m", tiny_bundle, "-o", target, "--confidence", "--probabilities", "-q")
    group = zarr.open_group(target, mode="r")
    classes, confidence, shares = (np.asarray(group[n][:]) for n in ("classes", "confidence", "probabilities"))
    assert shares.shape == (5, 200, 260)
    np.testing.assert_array_equal(shares.max(axis=0), confidence)
    assert (np.take_along_axis(shares, classes[None].astype(int), axis=0)[0] == confidence).mean() > 0.999


def test_bands_are_chosen_and_named(tmp_path: Path, tiny_bundle: Path) -> None:
    pixels = random_pixels((70, 80), bands=4)
    four = write_scene(tmp_path / "four.tif", pixels, photometric="MINISBLACK", alpha="UNSPECIFIED")
    write_scene(tmp_path / "turned.tif", pixels[[3, 1, 0]])
    geoseg("predict", four, "-m", tiny_bundle, "-b", "4,2", "-b", "1", "-o", tmp_path / "a.tif", "-q")
    geoseg("predict", tmp_path / "turned.tif", "-m", tiny_bundle, "-o", tmp_path / "b.tif", "-q")
    with rasterio.open(tmp_path / "a.tif") as a, rasterio.open(tmp_path / "b.tif") as b:
        np.testing.assert_array_equal(a.read(), b.read())
    note = " ".join(json.loads(geoseg("plan", four, "-m", tiny_bundle, "--json").stdout)["notes"])
    assert "the first 3" in note


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (["--patch-size", "100", "--exact"], "multiples of 8; use 96 or 104"),
        (["--patch-size", "32", "--overlap", "64"], "overlap of 64 px"),
        (["--batch-size", "0"], "use 1 or more"),
        (["--max-pixels", "1000"], "--max-pixels"),
        (["--bidx", "9"], "9"),
        (["--device", "cuda"], "--device cpu"),
        (["--device", "tpu"], "unknown device"),
        (["-o", "out.png"], ".tif or .zarr"),
        (["-o", "a.tif", "-o", "b.tif"], "two outputs of one kind"),
        (["-m", "nothing.safetensors"], "nothing.safetensors"),
        (["--reference", "nothing.tif"], "no such file"),
    ],
)
def test_bad_options_get_one_line_and_leave_nothing(
    scene: Path, tiny_bundle: Path, options: list[str], fragment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scene.parent)
    model = [] if "-m" in options else ["-m", str(tiny_bundle)]
    assert fragment in failure("predict", scene, *model, *options)
    assert [p.name for p in scene.parent.iterdir()] == ["scene.tif"]


def test_a_missing_scene_and_an_output_below_a_file(scene: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    assert "no such file" in failure("predict", tmp_path / "none.tif", "-m", tiny_bundle)
    assert "cannot write" in failure("predict", scene, "-m", tiny_bundle, "-o", scene / "out.tif")
    assert "is the scene itself" in failure("predict", scene, "-m", tiny_bundle, "-o", scene, "--overwrite")


def test_a_truth_of_another_size_is_refused_before_anything_runs(
    scene: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    with rasterio.open(tmp_path / "t.png", "w", driver="PNG", count=1, height=50, width=60, dtype="uint8") as target:
        target.write(np.zeros((1, 50, 60), np.uint8))
    line = failure("predict", scene, "-m", tiny_bundle, "--reference", tmp_path / "t.png")
    assert "50" in line
    assert "200" in line
    assert not list(scene.parent.glob("*classes*"))


def _bundle_variants(good: Path, folder: Path) -> dict[str, Any]:
    import struct

    data = good.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    card = json.loads(header["__metadata__"]["geoseg"])

    def write(name: str, changed: dict[str, Any] | None) -> Path:
        copy = {**header, "__metadata__": {} if changed is None else {"geoseg": json.dumps(changed)}}
        text = json.dumps(copy).encode()
        path = folder / name
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
        return path

    (folder / "text.safetensors").write_text("hello, this is a text file")
    (folder / "cut.safetensors").write_bytes(data[: len(data) // 2])
    return {
        "without a geoseg card": write("none.safetensors", None),
        "update geoseg": write("newer.safetensors", {**card, "format": 99}),
        "damaged": write("damaged.safetensors", {k: v for k, v in card.items() if k != "legend"}),
        "not a geoseg bundle": folder / "text.safetensors",
        "cut short": folder / "cut.safetensors",
        "unknown architecture": write("unknown.safetensors", {**card, "architecture": "Nonesuch"}),
    }


def test_what_is_no_bundle_is_said(scene: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    for fragment, path in _bundle_variants(tiny_bundle, tmp_path).items():
        line = failure("predict", scene, "-m", path)
        assert fragment in line
    assert not list(scene.parent.glob("*classes.*"))


def test_model_info_tells_the_card(tiny_bundle: Path) -> None:
    data = json.loads(geoseg("model", "info", tiny_bundle, "--json").stdout)
    assert data["architecture"] == "Unet"
    assert data["bytes"] == tiny_bundle.stat().st_size
    assert "building" in geoseg("model", "info", tiny_bundle).stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scheduler", "127.0.0.1:8786"], "tcp://HOST:PORT"),
        (["--scheduler", "thread"], "threads, sync"),
        (["--workers", "0"], "x>=1"),
        (["--retries", "-1"], "x>=0"),
        (["--patience", "0"], "x>0"),
        (["--scheduler", "tls://127.0.0.1:1", "--tls-ca-file", "nowhere.pem"], "nowhere.pem"),
    ],
)
def test_cluster_options_that_make_no_sense_are_usage_errors(options: list[str], said: str) -> None:
    result = CliRunner().invoke(cli, ["predict", "scene.tif", *options])
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_folder_that_cannot_be_written_is_refused_before_the_model_is_opened(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = failure("predict", scene, "-m", tmp_path / "no_model.safetensors", "-o", tmp_path / "file/deep/map.tif")
    assert f"{tmp_path / 'file'} is no folder" in line
    assert "name another folder" in line
