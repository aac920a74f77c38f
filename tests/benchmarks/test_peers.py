"""The peers' benchmark and the GPU's: all compute the same, and what is measured is what happened."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoseg.models.bundle import default_bundle_path, open_bundle
from geoseg.models.measure import macs_per_pixel
from tests.scenes import random_pixels, write_scene

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SCRIPTS = sorted((BENCHMARKS / "peers").glob("with_*.py"))


def load(name: str) -> ModuleType:
    """A module of the benchmarks' folders by name."""
    for folder in (BENCHMARKS, BENCHMARKS / "gpu", BENCHMARKS / "peers"):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    return importlib.import_module(name)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_peer_says_what_it_needs_in_one_version(script: Path) -> None:
    head = load("environments").read_head(script)
    assert any("==" in name for name in (*head.dependencies, *head.bare))
    assert head.prepare is None or (script.parent / head.prepare).exists()


def test_no_peer_shadows_what_it_imports() -> None:
    """A script's folder is first on Python's path: named monai.py it would import itself."""
    peers = {
        "monai",
        "geodeep",
        "pytorch_toolbelt",
        "terratorch",
        "omnicloudmask",
        "rastervision",
        "tiler",
        "tiatoolbox",
    }
    assert len(SCRIPTS) == 8
    assert not peers & {path.stem for path in (BENCHMARKS / "peers").glob("*.py")}


def test_a_script_without_a_head_is_refused(tmp_path: Path) -> None:
    environments = load("environments")
    (tmp_path / "with_nothing.py").write_text('"""No head."""\n')
    with pytest.raises(environments.PeerError, match=r"with_nothing\.py has no inline script metadata"):
        environments.read_head(tmp_path / "with_nothing.py")


def test_what_pip_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environments = load("environments")
    monkeypatch.setattr(environments, "ROOT", tmp_path / "runs" / "benchmarks" / "peers")
    log = tmp_path / "install.log"
    log.write_text("")
    code = "print('WARNING: x'); print('ERROR: No matching distribution'); print('hint'); raise SystemExit(1)"
    with pytest.raises(environments.PeerError) as raised:
        environments._run([sys.executable, "-c", code], log=log)
    assert str(raised.value) == "not installed: ERROR: No matching distribution; see install.log"


def test_peers_compute_with_the_bundles_own_weights(tmp_path: Path) -> None:
    shared = load("shared")
    asked = _asked(tmp_path)
    bundle = open_bundle()
    pixels = torch.from_numpy(random_pixels((64, 96)))[None]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in dataclasses.astuple(bundle.card.normalisation))
    with torch.inference_mode():
        expected = bundle.load_network()((pixels.float() - mean) / std)
        torch.testing.assert_close(shared.load_network(asked)(pixels), expected)
    assert shared.class_count(asked) == len(bundle.card.legend) == expected.shape[1]


def test_a_peers_map_lies_on_the_scenes_grid(tmp_path: Path) -> None:
    shared = load("shared")
    asked = _asked(tmp_path)
    classes = np.random.default_rng(0).integers(0, 5, (50, 70))
    shared.write_classes(asked, classes)
    with rasterio.open(asked.scene) as scene, rasterio.open(asked.out) as written:
        assert (written.crs, written.transform, written.shape) == (scene.crs, scene.transform, scene.shape)
        np.testing.assert_array_equal(written.read(1), classes)
    with pytest.raises(SystemExit, match=r"the class map is \(50, 69\)"):
        shared.write_classes(asked, classes[:, 1:])


CHILDREN = """
import subprocess, sys, time
held = bytearray(40_000_000)
code = "held = bytearray(90_000_000); import time; t = time.process_time()\\nwhile time.process_time() - t < 0.6: pass"
subprocess.run([sys.executable, "-c", code])
"""


def test_memory_and_processor_time_of_children_count(tmp_path: Path) -> None:
    measured = load("measured").measure([sys.executable, "-c", CHILDREN], env=os.environ, log=tmp_path / "log")
    assert measured.error is None
    assert measured.cpu_seconds > 0.6
    assert measured.seconds > 0.6
    assert 130e6 < measured.peak_bytes < 230e6  # both together; one alone is under 110 MB


def test_what_fails_says_why_in_its_last_line(tmp_path: Path) -> None:
    code = "print('noise'); raise SystemExit('no such option')"
    measured = load("measured").measure([sys.executable, "-c", code], env=os.environ, log=tmp_path / "log")
    assert measured.error == "no such option"


SLEEPING = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
child.wait()
"""


def test_what_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    log = tmp_path / "log"
    measured = load("measured").measure([sys.executable, "-c", SLEEPING], env=os.environ, log=log, timeout=6)
    assert measured.error == "stopped after 6 s"
    assert measured.seconds < 60
    child, until = int(log.read_text()), time.monotonic() + 60
    with contextlib.suppress(psutil.NoSuchProcess):
        while psutil.Process(child).status() != psutil.STATUS_ZOMBIE:  # a signal takes its time to arrive
            assert time.monotonic() < until, "it goes on"
            time.sleep(0.1)


@given(st.integers(1, 9000), st.integers(1, 9000), st.sampled_from([1, 16, 32]))
def test_the_middle_lies_inside_what_the_network_sees(height: int, width: int, multiple: int) -> None:
    inner, seen = load("full_frame").middle(height, width, multiple=multiple)
    assert (inner.height, inner.width) == (min(2048, height), min(2048, width))
    assert seen.row_off % multiple == seen.col_off % multiple == 0
    for axis, side in (("row", height), ("col", width)):
        low, high = _span(inner, axis)
        least, most = _span(seen, axis)
        assert 0 <= least <= low < high <= most <= side
        assert low - least >= min(low, 512 - multiple)
        assert most - high >= min(side - high, 512 - multiple)


def test_ratios_are_taken_within_rounds() -> None:
    rows, measured = load("rows"), load("measured")

    def row(system: str, *seconds: float) -> Any:
        runs = [measured.Measured(seconds=s, cpu_seconds=2 * s, peak_bytes=10**9, error=None) for s in seconds]
        return rows.Row(system=system, settings="usual", options=(), runs=runs, disagreement=0.0125)

    ours, theirs = row("geoseg", 10, 20, 40), row("peer", 30, 40, 40)  # ratios 3, 2, 1; of the medians also 2
    slow = row("slow", 100, 20, 40)  # ratios 10, 1, 1; of the medians 2
    failed = row("failed", 1)
    failed.failure = "why"
    cells = rows.table_rows([ours, theirs, slow, failed])
    assert [line[0] for line in cells] == ["geoseg", "peer", "slow"]
    assert [line[4] for line in cells] == ["1.00", "2.00", "1.00"]
    assert cells[1] == ["peer", "usual", "3", "40.0", "2.00", "80.0", "2.00", "1.00", "1.00", "1.250%"]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=12))
def test_a_device_is_busy_for_the_union_of_its_work(work: list[tuple[int, int]]) -> None:
    spans = [(start, start + length) for start, length in work]
    assert load("timing").busy(spans) == len({tick for start, stop in spans for tick in range(start, stop)})


def test_floors_of_a_network_that_can_be_counted_by_hand() -> None:
    floors = load("floors")
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 1, stride=2, bias=False)
    )
    traffic = floors.convolution_traffic(network, bands=3, side=32)
    assert traffic.per_pixel == (3 + 8) + (8 + 4 / 4)
    assert traffic.weights == (3 * 8 * 9 + 8) + 8 * 4
    macs = macs_per_pixel(network, bands=3, side=32)
    assert macs == 3 * 8 * 9 + 8 * 4 / 4
    rates = floors.Rates(flops=1e6, bytes=1e5)
    found = floors.floors(pixels=1000, macs_per_pixel=macs, traffic=traffic, rates=rates, dtype=torch.bfloat16)
    assert found == pytest.approx((2 * macs * 1000 / 1e6, 2 * (20 * 1000 + 256) / 1e5))


@pytest.mark.slow
def test_the_gpus_benchmark_runs_small_on_a_cpu() -> None:
    command = [sys.executable, str(BENCHMARKS / "gpu" / "run.py"), "--device", "cpu", "--small"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=800).stdout
    sections = text.split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections] == ["Forward passes", "Device busy", "File to file"]
    assert "failed" not in text
    assert "| plain loop | 64 |" in text
    assert "\n| U-Net ResNet34 | 64 | 4 | autocast, eager |" in text


def _asked(folder: Path) -> Any:
    scene = write_scene(folder / "scene.tif", random_pixels((50, 70)))
    return load("shared").Asked(
        scene=scene,
        weights=default_bundle_path(),
        out=folder / "out.tif",
        patch=None,
        overlap=None,
        channels_last=False,
    )


def _span(window: Any, axis: str) -> tuple[int, int]:
    off, size = (window.row_off, window.height) if axis == "row" else (window.col_off, window.width)
    return off, off + size
