"""OpenVINO: the classes of eager PyTorch, the same whatever a patch's company, converted once, without torch."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest
import rasterio
import torch

import geoseg
from geoseg.errors import BundleError, OutOfMemoryError, PlanError
from geoseg.geometry.windows import Window
from geoseg.inference import runtime_choice
from geoseg.models.bundle import Bundle, open_bundle
from geoseg.models.runtimes import convert, ir, make_predictor
from geoseg.models.runtimes.openvino import OpenVinoPredictor
from geoseg.synthesis.world import render
from tests.scenes import random_pixels, write_scene

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def good(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder in which the tiny bundle is converted, by the real child process."""
    folder = tmp_path_factory.mktemp("converted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOSEG_CACHE", str(folder))
        assert ir.converted(open_bundle(tiny_bundle)).path.is_relative_to(folder)
    return folder


@pytest.fixture(autouse=True)
def cache(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test's own copy of it."""
    folder = shutil.copytree(good, tmp_path / "cache")
    monkeypatch.setenv("GEOSEG_CACHE", str(folder))
    return folder


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


@pytest.fixture
def predictor(bundle: Bundle) -> OpenVinoPredictor:
    return OpenVinoPredictor(bundle, threads=2)


@pytest.fixture
def copying(good: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Conversions are copies of the good one; gives the folders that were filled."""
    (weights,) = good.glob("openvino/*/model.bin")
    filled: list[Path] = []

    def copy(_: Bundle, folder: Path) -> None:
        shutil.copytree(weights.parent, folder, dirs_exist_ok=True)
        filled.append(folder)

    monkeypatch.setattr(ir, "_convert", copy)
    return filled


def batch(shape: tuple[int, int, int], *, seed: int = 0) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    count, height, width = shape
    pixels = np.stack([random_pixels((height, width), seed=seed + k) for k in range(count)])
    return pixels, np.random.default_rng(seed).random((count, height, width)) < 0.9


def eager(bundle: Bundle, pixels: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    found = make_predictor(bundle).logits(pixels, valid)
    assert isinstance(found, torch.Tensor)
    return found.numpy()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_logits_are_eagers_for_every_stored_dtype(bundle: Bundle, predictor: OpenVinoPredictor, dtype: str) -> None:
    pixels, valid = batch((2, 64, 96))
    pixels = (pixels.astype(np.float64) * (1 if dtype == "uint8" else 1.5)).astype(dtype)
    found = predictor.logits(pixels, valid)
    truth = eager(bundle, pixels, valid)
    assert found.dtype == np.float32
    assert np.abs(found - truth).max() <= 1e-4 * np.abs(truth).max()


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_what_invalid_pixels_hold_changes_nothing(predictor: OpenVinoPredictor, dtype: str) -> None:
    pixels, valid = batch((1, 64, 64))
    pixels = pixels.astype(dtype)
    holes = np.broadcast_to(~valid[:, None], pixels.shape)
    found = []
    for value in (0, 200, np.nan) if dtype == "float32" else (0, 200):
        pixels[holes] = value
        found.append(predictor.logits(pixels, valid))
    assert all(np.array_equal(each, found[0]) for each in found)
    assert not np.array_equal(found[0], predictor.logits(pixels, np.ones_like(valid)))


def test_a_patch_answers_alike_in_any_batch(predictor: OpenVinoPredictor) -> None:
    pixels, valid = batch((5, 64, 64))
    whole = predictor.logits(pixels, valid)
    assert np.array_equal(np.concatenate([predictor.logits(pixels[k:][:1], valid[k:][:1]) for k in range(5)]), whole)
    assert np.array_equal(predictor.logits(pixels[::-1], valid[::-1])[::-1], whole)
    assert not np.array_equal(whole[0], whole[1])


def test_winners_are_those_of_the_logits(bundle: Bundle, predictor: OpenVinoPredictor) -> None:
    pixels, valid = batch((3, 64, 96))
    found = predictor.winners(pixels, valid)
    assert (found.dtype, found.shape) == (np.uint8, (3, 1, 64, 96))
    assert np.array_equal(found[:, 0], predictor.logits(pixels, valid).argmax(axis=1))
    assert len(np.unique(found)) > 1


def test_of_equal_logits_the_lower_channel_wins(predictor: OpenVinoPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose logits are the pixels of one band, rounded to few values, in each channel's own order."""
    import openvino
    from openvino import opset13 as ops

    pixels = ops.parameter([-1, 3, -1, -1], np.float32)
    coarse = ops.floor(ops.multiply(pixels, np.float32(2)))
    monkeypatch.setattr(predictor, "_network", openvino.Model([coarse], [pixels], "coarse"))
    monkeypatch.setattr(predictor, "_classes", 3)
    given, valid = batch((1, 64, 64))
    logits = predictor.logits(given, valid)[0]
    top = np.sort(logits, axis=0)
    assert (top[-1] == top[-2]).mean() > 0.1
    assert np.array_equal(predictor.winners(given, valid)[0, 0], logits.argmax(axis=0))  # NumPy's is the lowest


def test_several_callers_at_once_get_their_own_answers(bundle: Bundle) -> None:
    predictor = OpenVinoPredictor(bundle, threads=2, streams=2)
    given = [batch((1, 64, 64 + 32 * (k % 2)), seed=k) for k in range(12)]
    alone = [predictor.logits(*each) for each in given]
    with ThreadPoolExecutor(4) as pool:
        together = [*pool.map(lambda each: predictor.logits(*each), given)]
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    assert not np.array_equal(alone[0], alone[2])


def test_few_shapes_are_kept_those_used_last(predictor: OpenVinoPredictor) -> None:
    sides = (32, 40, 48, 56, 32, 64)
    for side in sides:
        predictor.logits(*batch((1, side, side)))
    assert [shape[1] for _, shape, _ in predictor._compiled] == [48, 56, 32, 64]


def test_only_shapes_in_use_hold_activations(predictor: OpenVinoPredictor) -> None:
    """Four shapes one after the other take little more memory than the largest alone."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("resident memory is told by /proc")

    def resident() -> int:
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    largest = batch((1, 1024, 1024))
    predictor.winners(*largest)
    alone = resident()
    for side in (992, 960, 928):
        predictor.winners(*batch((1, side, side)))
    predictor.winners(*largest)
    held = resident()
    for compiled in predictor._compiled.values():
        compiled.model.release_memory()
    activations = held - resident()
    assert activations > 0
    assert held - alone < activations, "three more shapes' activations would be nearly three times as much"


def test_a_shape_that_leaves_the_cache_while_it_is_used_still_answers(predictor: OpenVinoPredictor) -> None:
    given = batch((1, 64, 64))
    truth = predictor.winners(*given)
    with predictor._request("uint8", (3, 64, 64), decide=True):
        for side in (32, 40, 48, 56):
            predictor.logits(*batch((1, side, side)))
            predictor.winners(*batch((1, side, side)))
    assert ("uint8", (3, 64, 64), True) not in predictor._compiled
    assert np.array_equal(predictor.winners(*given), truth)


def test_too_large_a_batch_for_the_answers_is_out_of_memory(predictor: OpenVinoPredictor) -> None:
    pixels = np.broadcast_to(np.zeros((1, 3, 1, 1), np.uint8), (10**6, 3, 20_000, 20_000))
    valid = np.broadcast_to(np.ones((1, 1, 1), bool), (10**6, 20_000, 20_000))
    with pytest.raises(OutOfMemoryError):
        predictor.logits(pixels, valid)


def test_another_number_of_channels_than_classes_is_refused(
    predictor: OpenVinoPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "_classes", 7)
    with pytest.raises(PlanError, match="channels for 7 classes"):
        predictor.winners(*batch((1, 64, 64)))


def test_tiles_change_no_class_and_classes_are_eagers(tmp_path: Path, tiny_bundle: Path) -> None:
    pixels, _ = render(Window(row_off=0, col_off=0, height=500, width=430), seed=4)
    scene = write_scene(tmp_path / "scene.tif", pixels)
    found = {}
    for name, options in {
        "openvino": {"runtime": "openvino"},
        "tiled": {"runtime": "openvino", "tile": 100, "batch_size": 3},
        "eager": {"runtime": "eager"},
    }.items():
        made = geoseg.predict(scene, outputs=tmp_path / f"{name}.tif", model=tiny_bundle, **options)
        assert made.plan.runtime == options["runtime"]
        with rasterio.open(tmp_path / f"{name}.tif") as source:
            found[name] = source.read(1)
    assert np.array_equal(found["openvino"], found["tiled"])
    assert (found["openvino"] == found["eager"]).mean() >= 0.999
    assert len(np.unique(found["eager"])) > 1


def test_patches_that_the_network_does_not_take_are_an_error(predictor: OpenVinoPredictor) -> None:
    pixels, valid = batch((1, 64, 64))
    with pytest.raises(PlanError, match="does not take 1 patch of 64 x 64 px with 2 bands"):
        predictor.logits(pixels[:, :2], valid)


def test_a_bundle_is_converted_once(bundle: Bundle, copying: list[Path]) -> None:
    assert ir.is_converted(bundle.digest)
    OpenVinoPredictor(bundle)
    assert copying == []
    ir.forget(bundle)
    assert not ir.is_converted(bundle.digest)
    OpenVinoPredictor(bundle)
    OpenVinoPredictor(bundle)
    assert len(copying) == 1


def test_a_cache_that_cannot_be_read_holds_nothing(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ir.is_converted(bundle.digest)
    whole = os.stat

    def refuse(path: Any, *args: Any, **options: Any) -> os.stat_result:
        if str(path).endswith("model.xml"):
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path, *args, **options)

    monkeypatch.setattr(os, "stat", refuse)
    assert not ir.is_converted(bundle.digest)


def test_a_damaged_conversion_is_made_again(bundle: Bundle, copying: list[Path]) -> None:
    weights = ir.converted(bundle).path.with_name("model.bin")
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    OpenVinoPredictor(bundle).logits(*batch((1, 64, 64)))
    assert len(copying) == 1
    assert weights.read_bytes() == whole


@pytest.mark.parametrize("locks", [True, False])
def test_two_at_once_both_work(
    bundle: Bundle, copying: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    if not locks:
        import fcntl

        def refuse(*_: object) -> None:
            raise OSError("no locks here")

        monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setenv("GEOSEG_CACHE", str(cache / f"two-{locks}"))
    slow, met = ir._convert, threading.Barrier(2)

    def convert_slowly(one: Bundle, folder: Path) -> None:
        if not locks:
            met.wait(10)
        slow(one, folder)

    monkeypatch.setattr(ir, "_convert", convert_slowly)
    found: list[Path] = []
    both = [threading.Thread(target=lambda: found.append(ir.converted(bundle).path)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(30)
    assert len(found) == 2
    assert found[0] == found[1]
    assert len(copying) == (1 if locks else 2)
    assert [p.name for p in found[0].parent.parent.iterdir() if p.is_dir()] == [found[0].parent.name], "nothing is left"


def test_a_cache_that_cannot_be_written_is_done_without(
    bundle: Bundle, copying: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path / "file" / "below"))
    predictor = OpenVinoPredictor(bundle)
    assert predictor.logits(*batch((1, 64, 64))).shape == (1, 5, 64, 64)
    assert len(copying) == 1
    assert any("for this run only" in note and "GEOSEG_CACHE" in note for note in predictor.notes)


def test_a_full_cache_is_done_without(
    bundle: Bundle, copying: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ir.forget(bundle)
    whole = ir._convert

    def full(one: Bundle, folder: Path) -> None:
        if folder.is_relative_to(cache):
            raise OSError(28, "No space left on device")
        whole(one, folder)

    monkeypatch.setattr(ir, "_convert", full)
    assert any("or is full" in note for note in OpenVinoPredictor(bundle).notes)
    assert len(copying) == 1


def test_a_damaged_conversion_that_cannot_be_dropped_is_passed_over(
    bundle: Bundle, copying: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ir.converted(bundle).path.with_name("model.bin").write_bytes(b"short")
    monkeypatch.setattr(ir, "forget", lambda _: None)
    predictor = OpenVinoPredictor(bundle)
    assert any("for this run only" in note for note in predictor.notes)
    assert [folder.is_relative_to(cache) for folder in copying] == [False]


def test_a_network_that_answers_otherwise_is_refused(bundle: Bundle) -> None:
    import openvino

    network = bundle.load_network()
    sample = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        model = openvino.Core().read_model(ir.converted(bundle).path)
        convert._compare(model, network, sample)
        torch.nn.init.normal_(next(network.parameters()))
        with pytest.raises(BundleError, match="differ from PyTorch's by"):
            convert._compare(model, network, sample)


def test_a_conversion_that_fails_says_why(bundle: Bundle, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no bundle")
    with pytest.raises(BundleError, match=r"cannot be converted for OpenVINO: .*not a geoseg bundle.*--runtime eager"):
        ir._convert(Bundle(path=broken, card=bundle.card, digest="0" * 64), tmp_path)


def test_auto_has_a_way_back_where_a_conversion_fails(
    bundle: Bundle, tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ir.forget(bundle)
    child, tried = subprocess.run, []

    def fail(command: list[str], **options: Any) -> Any:
        if "geoseg.models.runtimes.convert" not in command:
            return child(command, **options)
        tried.append(command)
        return subprocess.CompletedProcess(command, 1, "", "no such operator")

    monkeypatch.setattr(subprocess, "run", fail)
    monkeypatch.setattr(runtime_choice, "predicted_seconds", lambda *_, **__: dict(PREDICTED))
    scene = write_scene(tmp_path / "scene.tif", random_pixels((150, 140)))
    for name in ("first.tif", "second.tif"):
        result = geoseg.predict(scene, outputs=tmp_path / name, model=tiny_bundle)
        assert result.plan.runtime == "eager"
        assert any("no such operator (--runtime openvino tries again)" in note for note in result.notes)
        assert len(tried) == 1
        ir._refusals.clear()  # as in another process
    with pytest.raises(BundleError, match="no such operator; use --runtime eager"):
        geoseg.predict(scene, outputs=tmp_path / "third.tif", model=tiny_bundle, runtime="openvino")
    assert len(tried) == 2


KILLED = """
import sys
from geoseg.models.bundle import open_bundle
from geoseg.models.runtimes import ir
ir.converted(open_bundle(sys.argv[1]))
"""


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_conversion_ends_with_who_wanted_it_and_leaves_nothing(
    bundle: Bundle, copying: list[Path], cache: Path, signum: int
) -> None:
    ir.forget(bundle)
    environment = {**os.environ, "GEOSEG_CACHE": str(cache)}
    parent = subprocess.Popen([sys.executable, "-c", KILLED, str(bundle.path)], env=environment)
    try:
        child = _wait_for(lambda: next(iter(psutil.Process(parent.pid).children()), None))
    finally:
        parent.send_signal(signum)
    assert parent.wait(30) == -signum
    _wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert not list(cache.glob("openvino/.*/model.xml")), "it ended, and was not done"
    assert list(cache.glob("openvino/.*"))
    (place,) = (path.stem for path in cache.glob("openvino/*.lock"))
    (cache / "openvino" / place).mkdir()  # what is left of one that was being dropped
    (cache / "openvino" / place / "model.bin").touch()
    other = cache / "openvino" / ".another-model.1"
    other.mkdir()
    assert ir.converted(bundle).path.parent == cache / "openvino" / place
    assert list(cache.glob("openvino/.*")) == [other], "that may be in work"
    os.utime(other, (0, 0))
    ir.converted(bundle, anew=True)
    assert not list(cache.glob("openvino/.*"))


def test_temporary_conversions_of_processes_that_were_killed_go(
    bundle: Bundle, copying: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path / "file" / "below"))
    for name in (".geoseg-openvino-old", ".geoseg-openvino-new", ".others"):
        (tmp_path / "temporary" / name).mkdir(parents=True)
        if name != ".geoseg-openvino-new":
            os.utime(tmp_path / "temporary" / name, (0, 0))
    path = ir.converted(bundle).path
    assert path.is_relative_to(tmp_path / "temporary")
    left = {p.name for p in (tmp_path / "temporary").iterdir()} - {path.parent.name}
    assert left == {".geoseg-openvino-new", ".others"}


def _wait_for(what: Callable[[], Any]) -> Any:
    limit = time.monotonic() + 60
    while not (found := what()):
        assert time.monotonic() < limit
        time.sleep(0.02)
    return found


PREDICTED = {"eager": 100.0, "compile": 200.0, "openvino": 10.0}

CHILD = """
import sys
import geoseg
result = geoseg.predict(sys.argv[1], outputs=sys.argv[2], model=sys.argv[3], runtime="openvino")
assert result.plan.runtime == "openvino" and "openvino" in sys.modules
print(",".join(m for m in ("torch", "torchvision", "timm", "segmentation_models_pytorch") if m in sys.modules))
"""


def test_a_run_with_a_converted_model_imports_no_torch(
    predictor: OpenVinoPredictor, tmp_path: Path, tiny_bundle: Path
) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((150, 140)))
    command = [sys.executable, "-c", CHILD, str(scene), str(tmp_path / "out.tif"), str(tiny_bundle)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
