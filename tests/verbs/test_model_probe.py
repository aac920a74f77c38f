"""``geoseg model probe``: a small model on small scenes, from the command line and from Python."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from geoseg.cli.main import cli
from geoseg.errors import PlanError
from geoseg.models.probing.result import ProbeResult
from geoseg.verbs.model_probe import model_probe
from tests.scenes import random_pixels, write_scene

ON_CPU = {"device": "cpu", "runtime": "eager"}
EAGER = ["--device", "cpu", "--runtime", "eager"]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Half of it holds no data."""
    valid = np.ones((300, 420), bool)
    valid[:, 200:] = False
    return write_scene(tmp_path / "scene.tif", random_pixels((300, 420)), valid=valid)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """On a busy machine threads of so small a network wait for each other far longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.slow
def test_what_was_measured_is_kept(scene: Path, tiny_bundle: Path, cache: Path) -> None:
    command = [
        "model",
        "probe",
        str(tiny_bundle),
        "--scene",
        str(scene),
        "--sizes",
        "64,128",
        "--device",
        "cpu",
        "--runtime",
        "eager",
    ]
    first = CliRunner().invoke(cli, [*command, "--json"])
    assert first.exit_code == 0, first.output
    data = json.loads(first.stdout)
    result = ProbeResult.from_json(data)
    assert "theoretical receptive field" in first.stderr
    assert data["measured"] is True
    assert [curve.size for curve in result.seams] == [64, 128]
    assert {speed.size for speed in result.speeds} == {64, 128}
    assert [field.size for field in result.fields] == [64, 128]
    assert result.reach is not None
    assert data["halos"] == {"128": result.halo((128, 128))}
    assert [p.suffix for p in cache.rglob("*") if p.is_file()] == [".json"]
    second = model_probe(tiny_bundle, **ON_CPU)
    assert second.measured is False
    assert second.result == result
    assert result.tolerance == 0.01
    table = CliRunner().invoke(cli, ["model", "probe", str(tiny_bundle), *EAGER, "--tolerance", "0.2"])
    assert table.stderr == ""
    for words in ("theoretical reach", "of gradient", "halo for 20.00%", "bytes / px", "measured earlier"):
        assert words in table.stdout
    assert model_probe(tiny_bundle, **ON_CPU).result == replace(result, tolerance=0.2), "plans go by it from now on"
    anew = model_probe(tiny_bundle, scenes=[scene], sizes=[64], **ON_CPU)
    assert (anew.measured, anew.result.tolerance) == (True, 0.2)


@pytest.mark.slow
def test_the_default_scene_is_synthetic(tiny_bundle: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geoseg.verbs.model_probe.FRAME", 256)
    found = model_probe(tiny_bundle, device="cpu", sizes=[64])
    assert found.result.scenes == ("synthetic, 1 m",)
    assert found.path is not None


def test_what_cannot_be_probed_is_one_line(scene: Path, tiny_bundle: Path, cache: Path) -> None:
    with pytest.raises(PlanError, match="multiples of 8; the nearest are 96, 104 px"):
        model_probe(tiny_bundle, sizes=[100], **ON_CPU)
    with pytest.raises(PlanError, match="frames of 768 px or more; the scenes have 296 px"):
        model_probe(tiny_bundle, scenes=[scene], sizes=[512], **ON_CPU)
    with pytest.raises(PlanError, match="tolerance of 2"):
        model_probe(tiny_bundle, tolerance=2)
    with pytest.raises(PlanError, match="runtime"):
        model_probe(tiny_bundle, scenes=[scene], sizes=[64], device="cpu", runtime="abacus")
