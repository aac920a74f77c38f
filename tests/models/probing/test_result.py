"""What a probe found: JSON round trip, the cache, and the halo and speed that follow."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geoseg.errors import PlanError
from geoseg.models.cache import keep_json
from geoseg.models.probing.kept import any_probe, keep_probe, kept_probe, place_of
from geoseg.models.probing.result import ProbedField, ProbedSpeed, ProbeResult
from geoseg.models.probing.seams import SeamCurve
from geoseg.models.probing.speed import Job, probe_speeds

CURVE = SeamCurve(size=256, pixels=(1000,) * 16, changed=(120, 90, 60, 40, 30, 20, 10, 5, 4, 3, 2, 1, 0, 0, 0, 0))
RESULT = ProbeResult(
    model="m",
    model_digest="ab" * 32,
    multiple=8,
    device="cpu",
    runtime="eager",
    machine="a machine",
    version="1",
    scenes=("a", "b"),
    reach=None,
    reach_tried=448,
    fields=(ProbedField(size=256, gradient={"0.5": 20.0, "0.99": 80.0}, replaced=((32, 0.1, 0.5), (64, 0.0, 0.1))),),
    seams=(CURVE,),
    speeds=(
        ProbedSpeed(size=256, batch=1, seconds=0.065536 * 2, bytes=None, share=0.5),
        ProbedSpeed(size=256, batch=16, seconds=1.048576, bytes=300 * 1048576, share=0.5),
        ProbedSpeed(size=1024, batch=1, seconds=1.048576 / 2, bytes=400 * 1048576, share=0.5),
    ),
    tolerance=0.02,
)


def test_a_result_survives_json() -> None:
    again = ProbeResult.from_json(json.loads(json.dumps(RESULT.to_json())))
    assert again == RESULT


def test_a_result_needs_no_torch() -> None:
    code = "import sys, geoseg.models.probing.kept; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_halo_is_the_smallest_within_the_tolerance() -> None:
    for tolerance in (0.005, 0.01, 0.02, 0.05):
        halo = replace(RESULT, tolerance=tolerance).halo((512, 512))
        assert halo is not None
        assert halo % 8 == 0
        assert RESULT.disagreement((512, 512), halo) <= tolerance
        before = RESULT.disagreement((512, 512), halo - 8)
        assert halo == 0 or before > tolerance or CURVE.at_seam(halo - 8) > 6 * tolerance
    assert replace(RESULT, tolerance=0.0).halo((512, 512)) is None
    assert replace(RESULT, tolerance=0.005).halo((64, 64)) is None, (
        "wider than an eighth of the patch is nobody's default"
    )


def test_a_large_patch_still_has_a_halo() -> None:
    """On average a patch of 8192 px needs none; the line along its edge would show."""
    assert RESULT.disagreement((8192, 8192), 0) < 0.01
    assert replace(RESULT, tolerance=0.01).halo((8192, 8192)) == 16
    assert CURVE.at_seam(16) <= 0.06 < CURVE.at_seam(8)


def test_a_finite_reach_is_the_exact_halo() -> None:
    finite = replace(RESULT, reach=13)
    assert finite.exact_halo == 16
    assert finite.disagreement((512, 512), 16) == 0
    assert replace(finite, tolerance=0.0).halo((512, 512)) == 16
    assert replace(RESULT, reach=0, seams=()).halo((512, 512)) == 0
    assert replace(RESULT, seams=()).halo((512, 512)) is None


def test_speed_is_between_that_of_measured_sizes() -> None:
    def rate(side: int, batch: int = 1) -> float:
        found = RESULT.seconds_per_pixel((side, side), batch)
        assert found is not None
        return found

    assert rate(256) == pytest.approx(1e-6)  # 2 us, at half of the machine
    assert rate(256, 12) == pytest.approx(0.5e-6)
    assert rate(1024) == rate(4000) == pytest.approx(0.25e-6)
    assert rate(640) == pytest.approx(0.625e-6)
    assert rate(100) == rate(256)
    assert replace(RESULT, speeds=()).seconds_per_pixel((256, 256), 1) is None


def test_a_kept_result_is_found_for_what_it_is_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path))
    assert any_probe(RESULT.model_digest) is None
    place = keep_probe(RESULT)
    assert place == place_of(RESULT)
    exact = {"device": "cpu", "runtime": "eager", "machine": "a machine"}
    assert kept_probe(RESULT.model_digest, **exact) == RESULT
    for name in exact:
        assert kept_probe(RESULT.model_digest, **{**exact, name: "cuda:1"}) is None
    assert kept_probe("cd" * 32, **exact) is None
    better = replace(RESULT, runtime="other", seams=(replace(CURVE, pixels=(5000,) * 16),))
    newer, blind = keep_probe(better), keep_probe(replace(RESULT, runtime="third", seams=(), reach=None))
    assert place is not None
    assert newer is not None
    assert blind is not None
    for path, seconds in ((place, 1), (newer, 2), (blind, 3)):
        os.utime(path, (seconds, seconds))
    assert any_probe(RESULT.model_digest) == better
    os.utime(place, (4, 4))
    assert any_probe(RESULT.model_digest) == RESULT
    (place.parent / ".half.json").write_text(place.read_text().replace("a machine", "half written"))
    assert any_probe(RESULT.model_digest) == RESULT
    assert any_probe("cd" * 32) is None


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"seams": 3},
        {"model_digest": "ef" * 32},
        {"speeds": [{"x": 1}]},
        {"fields": [{"size": 1, "gradient": 3, "replaced": []}]},
        {"multiple": 0},
        {"multiple": "8"},
        {"tolerance": 2},
        {"seams": [{"size": 256, "pixels": [], "changed": []}]},
        {"seams": [{"size": 256, "pixels": [0], "changed": [0]}]},
        {"seams": [{"size": 256, "pixels": [5, 5], "changed": [0]}]},
        {"speeds": [{"size": 256, "batch": 0, "seconds": 1.0, "bytes": None}]},
    ],
)
def test_a_damaged_result_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: dict[str, object]) -> None:
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path))
    place = keep_probe(RESULT)
    assert place is not None
    keep_json(str(place.relative_to(tmp_path)), {**RESULT.to_json(), **change})
    assert any_probe(RESULT.model_digest) is None


def test_memory_that_a_pass_takes_is_seen() -> None:
    held = []

    def run(pixels: np.ndarray, valid: np.ndarray) -> None:
        assert pixels.shape == (2, 3, 64, 64)
        assert valid.all()
        held.append(np.ones(200_000_000, np.uint8))
        time.sleep(0.3)  # long enough to be looked at, also beside other work
        held.clear()

    job = Job(size=64, batch=2, pixels=np.zeros((3, 64, 64), np.uint8))
    gc.collect()  # what other tests left may not go while this one is looked at
    (speed,) = probe_speeds(run, [job], device="cpu")
    assert speed.bytes is not None
    assert 150e6 < speed.bytes < 400e6
    assert 0 < speed.seconds < 10


def test_batches_that_cannot_be_run_are_left_out() -> None:
    def run(pixels: np.ndarray, valid: np.ndarray) -> None:
        if len(pixels) > most:
            raise PlanError("out of memory")

    jobs = [Job(size=8, batch=n, pixels=np.zeros((1, 8, 8), np.uint8)) for n in (1, 4)]
    said: list[str] = []
    most = 2
    assert [s.batch for s in probe_speeds(run, jobs, device="cpu", progress=said.append)] == [1]
    assert "left out: out of memory" in said
    most = 0
    with pytest.raises(PlanError, match="out of memory"):
        probe_speeds(run, jobs, device="cpu")


def test_time_that_other_work_took_is_no_time_of_the_network() -> None:
    """A pass that waits two thirds of its time would be three times as quick on a free machine."""

    def run(pixels: np.ndarray, valid: np.ndarray) -> None:
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        time.sleep(0.1)

    job = Job(size=8, batch=1, pixels=np.zeros((1, 8, 8), np.uint8))
    (speed,) = probe_speeds(run, [job], device="cpu", cores=1)
    assert speed.share < 0.5
    assert speed.seconds * speed.share == pytest.approx(0.05 / 0.9, rel=0.1)
    (plain,) = probe_speeds(run, [job], device="cpu")
    assert plain.share == 1
    assert plain.seconds >= 0.15
