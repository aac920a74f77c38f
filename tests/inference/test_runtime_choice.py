"""Which runtime a plan takes: the one that is asked for, or the one that is predicted to finish first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from torch import nn

import geoseg
from geoseg.errors import ClusterError, MissingExtraError, PlanError
from geoseg.inference import machine, runtime_choice
from geoseg.inference.capacity import Capacity, facts_here, smallest
from geoseg.inference.executors.session import LoopSession
from geoseg.inference.options import PlanOptions
from geoseg.inference.readiness import check
from geoseg.inference.resume import open_part
from geoseg.inference.runtime_choice import RuntimeChoice, choose_runtime, predicted_seconds
from geoseg.inference.tasks import TileTask, UnfitError
from geoseg.models.bundle import open_bundle
from geoseg.models.runtimes import availability, available
from geoseg.models.source import from_bundle, from_module
from geoseg.version import __version__
from tests.scenes import random_pixels, write_scene

HERE = Capacity(memory_bytes=8 * 10**9, threads=2, device="cpu")
DEFAULT = from_bundle(open_bundle())
NO_OPENVINO = (("openvino", "openvino is not installed: pip install 'geoseg[openvino]', or --runtime eager"),)


@pytest.fixture(autouse=True)
def rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "macs_per_second", lambda: 100e9)


def choose(pixels: float, *, capacity: Capacity = HERE, model: Any = DEFAULT, **options: Any) -> RuntimeChoice:
    return choose_runtime(model, PlanOptions(**options), capacity=capacity, computed_pixels=int(pixels), shapes=1)


def test_nobody_waits_for_a_conversion_that_a_job_does_not_repay(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(1e6).runtime == "eager"
    assert choose(1e9).runtime == "openvino"
    assert "not converted yet" in choose(1e9).reason
    between = [choose(pixels) for pixels in np.geomspace(1e6, 1e9, 60)]
    assert any("later runs find" in each.reason for each in between)
    assert all(each.runtime == "openvino" for each in between if "later runs find" in each.reason)
    monkeypatch.setattr(runtime_choice, "is_converted", lambda _: True)
    assert choose(1e6).runtime == "openvino"


def test_the_choice_is_the_quickest() -> None:
    before = 0.0
    for pixels in (1e5, 1e6, 1e7, 1e8, 1e9, 1e10):
        each = predicted_seconds(DEFAULT, HERE, computed_pixels=int(pixels), shapes=1, rates={})
        assert each is not None
        found = each[choose(pixels).runtime]
        # within what eager is preferred by, and half a conversion
        assert all(found <= seconds / 0.9 + 7.5 for seconds in each.values())
        assert found > before
        before = found


def test_fewer_threads_make_the_arithmetic_dearer_and_nothing_else() -> None:
    many = replace(HERE, threads=16)
    for pixels in (1e6, 1e8):
        seconds = [
            predicted_seconds(DEFAULT, many, computed_pixels=int(pixels), shapes=1, rates={}, threads=threads)
            for threads in (1, 4, 16, 64, None)
        ]
        for name, start in (("eager", 5.0), ("openvino", 1.5 + 0.4 + 15.0)):
            one, four, whole, more, unsaid = (found[name] - start for found in seconds if found is not None)
            assert one == pytest.approx(16 * whole)
            assert four == pytest.approx(4 * whole)
            assert whole == more == unsaid
    between = next(p for p in np.geomspace(1e6, 1e9, 60) if choose(p, capacity=many, threads=1).runtime == "openvino")
    assert choose(between, capacity=many).runtime == "eager", "what one thread repays, sixteen do not"


def test_scenes_to_come_earn_a_conversion_together(monkeypatch: pytest.MonkeyPatch) -> None:
    one = replace(runtime_choice.SPEEDS["eager"], start=6.0, per_shape=0.0, efficiency=0.5)
    table = {"eager": one, "openvino": replace(one, start=3.0, per_shape=0.1, efficiency=1.0)}
    monkeypatch.setattr(runtime_choice, "SPEEDS", table)
    monkeypatch.setattr(runtime_choice, "CONVERSION_SECONDS", 100.0)
    have = replace(HERE, lacks=(("compile", "no compiler"),))
    small, each = 4e6, 4e6 * DEFAULT.macs_per_pixel / 100e9  # type: ignore[operator]
    assert 2 * each > 0.5
    assert choose(small, capacity=have).runtime == "eager"
    assert choose(small, capacity=have, to_come=999).runtime == "openvino"
    assert "999 scenes to come share" in choose(small, capacity=have, to_come=999).reason
    for count in (2, 5, 10, 30, 100, 300, 1000):
        whole = {"eager": 6 + count * 2 * each, "openvino": 103 + count * (0.1 + each)}
        found = choose(small, capacity=have, to_come=count - 1).runtime
        if found == "openvino":
            assert whole["openvino"] <= whole["eager"], count
        else:
            assert whole["eager"] <= whole["openvino"] / 0.9 + 1, count
    tiny = 1e4  # what is compiled for each scene's patch costs more than it saves
    assert choose(tiny, capacity=have, to_come=10**6).runtime == "eager"
    with pytest.raises(PlanError, match="scenes to come -1: use 0 or more"):
        PlanOptions(to_come=-1).check()


def test_a_probes_rates_count_more_than_the_cards_arithmetic() -> None:
    slow = {"eager": 1e-5, "openvino": 2e-5, "compile": 3e-5}
    each = predicted_seconds(DEFAULT, HERE, computed_pixels=10**9, shapes=1, rates=slow)
    assert each is not None
    assert min(each, key=lambda name: each[name]) == "eager"
    assert each["eager"] == pytest.approx(10**4, rel=0.01)


def test_what_is_not_there_is_not_chosen() -> None:
    lacking = replace(HERE, lacks=(*NO_OPENVINO, ("compile", "no compiler")))
    assert choose(1e10, capacity=lacking).runtime == "eager"
    assert choose(1e9, model=replace(DEFAULT, macs_per_pixel=None)).runtime == "eager"
    assert choose(1e9, capacity=replace(HERE, device="cuda")).runtime == "eager"
    assert choose(1e9, precision="bf16").runtime == "eager"


def test_precision_is_full_on_a_cpu_and_half_on_cuda() -> None:
    assert choose(1e6).precision == "fp32"
    assert choose(1e6, capacity=replace(HERE, device="cuda")).precision in ("fp16", "bf16")
    assert choose(1e6, capacity=replace(HERE, device="cuda"), precision="fp32").precision == "fp32"


def test_what_cannot_be_is_refused_with_the_way_out() -> None:
    module = from_module(nn.Conv2d(3, 2, 1))
    try:
        assert choose(1e9, model=module).runtime == "eager"
        assert choose(1e9, model=module, capacity=replace(HERE, device="cuda")).precision == "fp32"
        with pytest.raises(PlanError, match=r"run as it is, not by openvino: save it as a bundle"):
            choose(1e9, model=module, runtime="openvino")
    finally:
        module.release()
    with pytest.raises(MissingExtraError, match=r"pip install 'geoseg\[openvino\]', or --runtime eager"):
        choose(1e6, runtime="openvino", capacity=replace(HERE, lacks=NO_OPENVINO))
    with pytest.raises(PlanError, match="openvino computes in fp32, not bf16"):
        choose(1e6, runtime="openvino", precision="bf16")
    assert "openvino computes on the CPU, not on cuda:1" in str(available("openvino", device="cuda:1"))
    for options in ({"runtime": "onnx"}, {"precision": "int8"}):
        with pytest.raises(PlanError, match="there are auto, "):
            PlanOptions(**options).check()  # type: ignore[arg-type]
        with pytest.raises(PlanError, match="there are auto, "):
            geoseg.plan("nowhere.tif", **options)


def test_a_cluster_takes_openvino_only_where_every_worker_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "_installed", lambda _: True)
    has = {**facts_here("cpu"), "limit": 0, "host": "a"}
    every = smallest({"one": has, "two": has})
    assert every.workers == 2
    assert choose(1e10, capacity=every).runtime == "openvino"
    monkeypatch.setattr(availability, "_installed", lambda _: False)
    mixed = smallest({"one": has, "two": {**facts_here("cpu"), "limit": 0, "host": "b"}})
    assert choose(1e10, capacity=mixed).runtime != "openvino"
    with pytest.raises(MissingExtraError, match=r"openvino is not installed.*on 1 of 2 workers: two"):
        choose(1e10, capacity=mixed, runtime="openvino")


def test_a_worker_without_the_plans_runtime_is_unfit(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((90, 90)))
    monkeypatch.setattr(availability, "_installed", lambda _: True)
    plan = geoseg.plan(scene, model=tiny_bundle, runtime="openvino")
    store = open_part(plan, tmp_path / ".out.zarr.part.zarr", attributes={})
    recipe = from_bundle(open_bundle(tiny_bundle)).recipe
    task = TileTask(store=store.location, digest=plan.digest, model=recipe, run="r", version=__version__, shared=True)
    check(task)
    monkeypatch.setattr(availability, "_installed", lambda _: False)
    with pytest.raises(UnfitError, match="openvino is not installed"):
        check(task)


def test_a_continued_run_needs_the_runtime_it_began_with(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.inference.test_resume import again, begin

    scene = write_scene(tmp_path / "scene.tif", random_pixels((90, 90)))
    monkeypatch.setattr(availability, "_installed", lambda _: True)
    plan, part = begin(scene, tiny_bundle, runtime="openvino")
    found = again(scene, part, tiny_bundle)
    assert (found.digest, found.runtime) == (plan.digest, "openvino")
    assert any("openvino in fp32" in note for note in found.notes)
    with pytest.raises(PlanError, match="runtime openvino -> eager"):
        again(scene, part, tiny_bundle, runtime="eager")
    monkeypatch.setattr(availability, "_installed", lambda _: False)
    with pytest.raises(PlanError, match=r"is computed by openvino, and here openvino is not installed"):
        again(scene, part, tiny_bundle)


def test_a_continued_run_on_a_cluster_asks_the_workers_and_not_this_machine(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.inference.test_resume import begin

    class Elsewhere(LoopSession):
        shared = True
        asked: ClassVar[list[TileTask]] = []

        def preflight(self, task: TileTask) -> None:
            self.asked.append(task)
            raise ClusterError("one of the workers lacks openvino")

    scene = write_scene(tmp_path / "scene.tif", random_pixels((90, 90)))
    monkeypatch.setattr(availability, "_installed", lambda _: True)
    plan, _ = begin(scene, tiny_bundle, runtime="openvino")
    monkeypatch.setattr(availability, "_installed", lambda _: False)
    with pytest.raises(ClusterError, match="one of the workers"):
        geoseg.predict(scene, outputs=tmp_path / "out.zarr", model=tiny_bundle, session=Elsewhere())
    assert [task.digest for task in Elsewhere.asked] == [plan.digest]
