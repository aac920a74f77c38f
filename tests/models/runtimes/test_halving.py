"""Batches halve where memory runs out: the answers are the same, it is said, and one patch too many is an error."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import zarr
from torch import nn

import geoseg
from geoseg.errors import OutOfMemoryError, PlanError
from geoseg.models.runtimes.base import Logits
from geoseg.models.runtimes.halving import HalvingPredictor, with_notes
from geoseg.verbs.predict import PredictResult
from tests.scenes import random_pixels, write_scene


class Narrow:
    """Takes so many patches and no more; gives their first band, as a tensor or an array."""

    multiple = 1

    def __init__(self, most: int, *, tensors: bool) -> None:
        self.most, self.tensors = most, tensors
        self.asked: list[int] = []

    def logits(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> Logits:
        self.asked.append(len(pixels))
        if len(pixels) > self.most:
            raise OutOfMemoryError("out of memory")
        found = pixels[:, :1].astype(np.float32)
        return torch.from_numpy(found) if self.tensors else found


@pytest.mark.parametrize("tensors", [True, False])
@pytest.mark.parametrize(("count", "most", "kept"), [(7, 2, 1), (8, 2, 2), (8, 7, 4), (2, 1, 1)])
def test_the_answers_are_those_of_the_whole_batch(count: int, most: int, kept: int, tensors: bool) -> None:
    inner = Narrow(most, tensors=tensors)
    predictor = HalvingPredictor(inner)
    pixels, valid = np.random.default_rng(0).integers(0, 9, (count, 2, 4, 4)), np.ones((count, 4, 4), bool)
    found = predictor.logits(pixels, valid)
    assert isinstance(found, torch.Tensor) == tensors
    assert np.array_equal(np.asarray(found), pixels[:, :1])
    assert predictor.notes(kept) == (), "a run whose batches are no larger has nothing to be told"
    assert predictor.notes(count) == (f"batch halved to {kept}: memory ran out; classes may differ within float noise",)
    inner.asked.clear()
    predictor.logits(pixels, valid)
    assert max(inner.asked) == kept, "what failed once is not tried again"


def test_nothing_is_said_where_memory_suffices() -> None:
    inner = Narrow(4, tensors=False)
    predictor = HalvingPredictor(inner)
    predictor.logits(np.ones((4, 1, 2, 2)), np.ones((4, 2, 2), bool))
    assert (predictor.notes(4), inner.asked) == ((), [4])


def test_of_halved_batches_the_smallest_is_told() -> None:
    eight, four, ten = (f"batch halved to {n}: memory ran out" for n in (8, 4, 10))
    assert with_notes(["a", eight], (four, "b", "a")) == ["a", four, "b"]
    assert with_notes([four], (ten,)) == [four]
    assert with_notes([eight], ()) == [eight]


def test_one_patch_too_many_is_an_error() -> None:
    inner = Narrow(0, tensors=False)
    with pytest.raises(OutOfMemoryError):
        HalvingPredictor(inner).logits(np.ones((5, 1, 2, 2)), np.ones((5, 2, 2), bool))
    assert inner.asked == [5, 2, 1]


def test_several_callers_come_to_the_smallest_batch_and_it_is_said_once_each(caplog: pytest.LogCaptureFixture) -> None:
    """Two at once, of which one came to fewer patches while the other was at it."""
    meeting = threading.Barrier(2)

    class Meeting(Narrow):
        def logits(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> Logits:
            if len(pixels) in (4, 8):
                meeting.wait(10)
            return super().logits(pixels, valid)

    predictor = HalvingPredictor(Meeting(1, tensors=False))
    pixels, valid = np.random.default_rng(0).integers(0, 9, (8, 2, 4, 4)), np.ones((8, 4, 4), bool)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(predictor.logits, pixels[:n], valid[:n]) for n in (4, 4)]
        assert all(np.array_equal(np.asarray(each.result()), pixels[:4, :1]) for each in asked)
    assert predictor.notes(4)[0].startswith("batch halved to 1")
    said = [record.message for record in caplog.records]
    assert len(said) == len({*said})


class Crowded(Narrow):
    """Has memory for one caller at a time."""

    def __init__(self) -> None:
        super().__init__(9, tensors=False)
        self.lock, self.meeting = threading.Lock(), threading.Barrier(2)
        self.inside = self.calls = 0

    def logits(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> Logits:
        with self.lock:
            self.inside += 1
            self.calls += 1
            first_two = self.calls <= 2
        try:
            if first_two:
                self.meeting.wait(10)
            if self.inside > 1:
                raise OutOfMemoryError("out of memory")
            time.sleep(0.01)
            if self.inside > 1:
                raise OutOfMemoryError("out of memory")
            return super().logits(pixels, valid)
        finally:
            with self.lock:
                self.inside -= 1


def test_callers_wait_for_each_other_where_memory_takes_one_at_a_time() -> None:
    predictor = HalvingPredictor(Crowded())
    pixels, valid = np.random.default_rng(0).integers(0, 9, (12, 2, 4, 4)), np.ones((12, 4, 4), bool)
    with ThreadPoolExecutor(2) as pool:
        found = [*pool.map(lambda k: predictor.logits(pixels[k : k + 1], valid[k : k + 1]), range(12))]
    assert np.array_equal(np.concatenate(found), pixels[:, :1])
    (note,) = predictor.notes(1)
    assert "one after the other" in note


class Hungry(nn.Module):
    """A network that memory lets run on so many patches, or pixels, at once."""

    def __init__(self, *, patches: int, pixels: int = 10**9) -> None:
        super().__init__()
        self.patches, self.pixels = patches, pixels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.patches or x.shape[2] * x.shape[3] > self.pixels:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return torch.cat([x, x.flip(1)[:, :1] * 2], dim=1)


def _run(tmp_path: Path, network: nn.Module, name: str, **options: Any) -> tuple[PredictResult, Any]:
    scene = tmp_path / "scene.tif"
    if not scene.exists():
        write_scene(scene, random_pixels((260, 200)))
    target = tmp_path / f"{name}.zarr"
    result = geoseg.predict(scene, outputs=target, model=network, overlap=16, **{"patch_size": 64, **options})
    return result, zarr.open_group(target, mode="r")


def test_a_run_halves_and_says_so_in_its_result_and_its_store(tmp_path: Path) -> None:
    plain, whole = _run(tmp_path, Hungry(patches=99), "plain", batch_size=8)
    found, store = _run(tmp_path, Hungry(patches=3), "halved", batch_size=8)
    note = "batch halved to 2: memory ran out; classes may differ within float noise"
    assert not any("halved" in n for n in plain.notes)
    assert "geoseg_notes" not in whole.attrs
    assert [n for n in found.notes if "halved" in n] == [note]
    assert store.attrs["geoseg_notes"] == [note]
    assert np.array_equal(store["classes"][:], whole["classes"][:])


def test_a_patch_that_memory_does_not_take_is_told_with_the_plans_estimate(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"out of memory with 1 patch of .*\(the plan estimated \d\.\d GB, cpu has \d"):
        _run(tmp_path, Hungry(patches=99, pixels=64 * 64), "none", batch_size=2, patch_size=128)
