"""``synth``: what lands on disk is what the world is, whole or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from geoseg.errors import OutputError, OutputExistsError, PlanError
from geoseg.geometry.windows import Window
from geoseg.synthesis.legend import LEGEND
from geoseg.synthesis.world import render
from geoseg.verbs import synth as verb
from geoseg.verbs.synth import parse_size, synth


def test_scene_and_truth_are_the_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "_WINDOW", (512, 512))  # several windows without a large scene
    seen: list[tuple[int, int]] = []
    result = synth(
        tmp_path / "s.tif", width=700, height=530, seed=4, truth=tmp_path / "t.tif",
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    pixels, truth = render(Window.whole((530, 700)), seed=4)
    with rasterio.open(tmp_path / "s.tif") as scene:
        np.testing.assert_array_equal(scene.read(), pixels)
        assert scene.crs.to_epsg() == 32640
        assert scene.res == (1.0, 1.0)
        assert scene.block_shapes[0] == (512, 512)
        assert [i.name for i in scene.colorinterp] == ["red", "green", "blue"]
        bounds = scene.bounds
        assert (bounds.left, bounds.top) == verb.ORIGIN
        assert bounds.bottom == bounds.top - 530
    with rasterio.open(tmp_path / "t.tif") as classes:
        np.testing.assert_array_equal(classes.read(1), truth)
        assert classes.nodata == 255
        assert classes.bounds == bounds
        assert [classes.colormap(1)[i][:3] for i in LEGEND.ids] == list(LEGEND.colors)
    assert result.paths == (tmp_path / "s.tif", tmp_path / "t.tif")
    assert result.pixels == 700 * 530
    assert list(result.counts.values()) == np.bincount(truth.ravel(), minlength=5).tolist()
    assert seen[-1] == (result.pixels, result.pixels)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.tif", "t.tif"]


def test_an_existing_output_stays(tmp_path: Path) -> None:
    target, truth = tmp_path / "s.tif", tmp_path / "t.tif"
    truth.write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="overwrite"):
        synth(target, width=20, height=10, truth=truth)
    assert truth.read_bytes() == b"mine"
    assert not target.exists()
    synth(target, width=20, height=10, truth=truth, overwrite=True)
    with rasterio.open(truth) as classes:
        assert classes.shape == (10, 20)


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(window: Window, **_: object) -> None:
        raise RuntimeError("no more world")

    monkeypatch.setattr(verb, "render", broken)
    with pytest.raises(RuntimeError, match="no more world"):
        synth(tmp_path / "s.tif", width=64, height=64, truth=tmp_path / "t.tif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"width": 0}, PlanError),
        ({"height": -3}, PlanError),
        ({"gsd": 0.0}, PlanError),
        ({"gsd": float("nan")}, PlanError),
        ({"crs": "EPSG:4326"}, PlanError),
        ({"crs": "nowhere"}, PlanError),
        ({"threads": 0}, PlanError),
        ({"out": "s.png"}, OutputError),
        ({"truth": "s.tif"}, OutputError),
        ({"out": "/dev/null/s.tif"}, OutputError),
    ],
)
def test_impossible_wishes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object], error: type[Exception]
) -> None:
    monkeypatch.chdir(tmp_path)
    wish: dict[str, object] = {"out": "s.tif", "width": 8, "height": 8, **options}
    with pytest.raises(error):
        synth(**wish)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_gsd_and_crs_place_the_scene(tmp_path: Path) -> None:
    result = synth(tmp_path / "s.tif", width=30, height=20, gsd=0.5, crs="EPSG:32632")
    with rasterio.open(tmp_path / "s.tif") as scene:
        assert scene.crs.to_epsg() == 32632
        assert scene.res == (0.5, 0.5)
        assert scene.bounds.right - scene.bounds.left == 15
    metres = result.geobox.gsd()
    assert metres is not None
    assert metres == pytest.approx((0.5, 0.5), rel=2e-3)


@pytest.mark.parametrize(("text", "size"), [("4096x2048", (4096, 2048)), (" 1 X 2 ", (1, 2))])
def test_sizes_are_width_then_height(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "4096", "0x5", "5x0", "-1x5", "axb", "1.5x2", "1x2x3"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(PlanError):
        parse_size(text)
