"""Which contexts a plan takes: the card's best that fit, collapsed where the scene makes them one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import geoseg
from geoseg.contexts.calibration import CalibratedContext, Calibration
from geoseg.contexts.scores import ScoreTable
from geoseg.errors import PlanError
from geoseg.inference import capacity, costs, machine
from geoseg.inference.plan import Plan
from geoseg.inference.sameness import decided_otherwise
from geoseg.models.bundle import open_bundle, rewrite_card
from tests.scenes import random_pixels, write_scene


def carded(tiny: Path, target: Path, **changes: Any) -> Path:
    """The tiny bundle with another card."""
    bundle = open_bundle(tiny)
    return rewrite_card(bundle, replace(bundle.card, **changes), target).path


def calibration(**mious: float) -> Calibration:
    """Contexts ``s64=0.5`` …; the larger, the cheaper."""
    rows = tuple(
        CalibratedContext(size=int(k[1:]), miou=v, overall_accuracy=v, seconds_per_megapixel=100 / int(k[1:]))
        for k, v in mious.items()
    )
    return Calibration(rows=rows, scenes=("held",), pixels=10, overlap=32)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("choice") / "scene.tif", random_pixels((700, 500)))


@pytest.fixture
def calibrated(tiny_bundle: Path, tmp_path: Path) -> Path:
    return carded(
        tiny_bundle, tmp_path / "c.safetensors", calibration=calibration(s64=0.5, s128=0.6, s192=0.5995, s256=0.4)
    )


def test_auto_takes_the_best_and_a_tie_goes_to_the_cheaper(scene: Path, calibrated: Path) -> None:
    plan = geoseg.plan(scene, model=calibrated)
    assert [c.size for c in plan.contexts] == [192]
    assert plan.chosen == ("best of 4 patch sizes by the model's card: mIoU 0.600 on its calibration scene held")
    assert not plan.notes
    assert geoseg.plan(scene, model=calibrated, patch_size=64).contexts[0].size == 64


def test_training_scores_count_where_nothing_was_measured(scene: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    scores = ScoreTable()
    for size, value in ((64, 0.3), (128, 0.4), (192, 0.9)):
        for _ in range(5):
            scores.add(size, value)
    model = carded(tiny_bundle, tmp_path / "s.safetensors", context_scores=scores)
    plan = geoseg.plan(scene, model=model, contexts=2)
    assert [c.size for c in plan.contexts] == [192, 128]
    assert [round(c.weight, 3) for c in plan.contexts] == [0.692, 0.308]
    assert [c.weight for c in geoseg.plan(scene, model=model, contexts=2, fuse="equal").contexts] == [0.5, 0.5]


def test_a_card_without_scores_falls_back_and_says_so(scene: Path, tiny_bundle: Path) -> None:
    plan = geoseg.plan(scene, model=tiny_bundle)
    assert plan.contexts[0].size == 128
    assert any("no scores of contexts" in note for note in plan.notes)
    with pytest.raises(PlanError, match="geoseg calibrate"):
        geoseg.plan(scene, model=tiny_bundle, contexts=2)
    with pytest.raises(PlanError, match="one context, not 'adaptive'"):
        geoseg.plan(scene, model=tiny_bundle, contexts="adaptive", patch_size=64)


def test_adaptive_begins_with_the_cheapest_good_context(scene: Path, calibrated: Path) -> None:
    plan = geoseg.plan(scene, model=calibrated, contexts="adaptive", budget=1.25)
    assert [c.size for c in plan.contexts] == [192, 128, 64]
    assert plan.adaptive is not None
    assert plan.layers.contexts
    assert plan.to_json()["computed_pixels"] <= 1.25 * geoseg.plan(scene, model=calibrated).to_json()["computed_pixels"]
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize(
    "options",
    [
        {"contexts": 2},
        {"contexts": 3},
        {"contexts": 2, "fuse": "equal"},
        {"contexts": "adaptive"},
        {"contexts": "adaptive", "budget": 2.0},
    ],
)
def test_every_decision_on_contexts_is_in_the_digest(scene: Path, calibrated: Path, options: dict[str, Any]) -> None:
    others = [{}, {"contexts": 2}, {"contexts": 3}, {"contexts": "adaptive"}]
    found = geoseg.plan(scene, model=calibrated, **options)
    for other in others:
        if other != options:
            plain = geoseg.plan(scene, model=calibrated, **other)  # type: ignore[arg-type]
            assert plain.digest != found.digest
            assert decided_otherwise(found, plain.to_json())
    assert Plan.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_contexts_that_a_small_scene_makes_one_collapse(tmp_path: Path, calibrated: Path) -> None:
    small = write_scene(tmp_path / "small.tif", random_pixels((100, 90)))
    plan = geoseg.plan(small, model=calibrated, contexts=3)
    assert [c.size for c in plan.contexts] == [192, 64]
    assert any("3 contexts were asked for, 2 differ" in note for note in plan.notes)


def test_strides_divide_the_core_so_that_hardly_a_rim_is_computed_twice(tmp_path: Path, calibrated: Path) -> None:
    large = write_scene(tmp_path / "large.tif", random_pixels((2500, 3000)))
    plan = geoseg.plan(large, model=calibrated, contexts=2, overlap=32)
    assert [c.size for c in plan.contexts] == [192, 128]
    singles = [geoseg.plan(large, model=calibrated, overlap=32, patch_size=c.size).to_json() for c in plan.contexts]
    apart = sum(single["computed_pixels"] for single in singles)
    assert plan.to_json()["computed_pixels"] <= 1.05 * apart
    for tile in (320, 700, 4000):
        cut = geoseg.plan(large, model=calibrated, contexts=2, overlap=32, tile=tile)
        assert cut.contexts == plan.contexts  # whatever the tile


def test_which_context_is_chosen_does_not_depend_on_the_tile(
    tmp_path: Path, calibrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = write_scene(tmp_path / "large.tif", random_pixels((2500, 6000)))
    monkeypatch.setattr(machine, "memory_bytes", lambda: int(1.6e9 / 0.7))
    monkeypatch.setattr(costs, "ACTIVATION_BYTES_PER_PIXEL", 6000.0)
    found = geoseg.plan(large, model=calibrated)
    assert [c.size for c in found.contexts] == [128]
    with pytest.raises(PlanError, match="use a smaller --tile"):
        geoseg.plan(large, model=calibrated, tile=6000)
    assert geoseg.plan(large, model=calibrated, tile=500).contexts == found.contexts


def test_a_gpus_memory_counts_too(scene: Path, calibrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card of 3 GB whose free memory is known; no card is needed to plan for one."""
    monkeypatch.setattr(capacity, "pick_device", lambda wanted: wanted)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3 * 10**9, 4 * 10**9))
    monkeypatch.setattr(costs, "ACTIVATION_BYTES_PER_PIXEL", 1e5)
    plan = geoseg.plan(scene, model=calibrated, device="cuda:0")
    assert plan.contexts[0].size == 128
    assert any("192, 256 px are left out" in note for note in plan.notes)
    with pytest.raises(PlanError, match=r"on cuda:0, which has 2\.5 GB to give; use a smaller --patch-size"):
        geoseg.plan(scene, model=calibrated, device="cuda:0", patch_size=192)


def test_contexts_that_the_core_makes_one_are_one_and_weights_sum_to_1(
    tiny_bundle: Path, tmp_path: Path, scene: Path
) -> None:
    model = carded(tiny_bundle, tmp_path / "w.safetensors", calibration=calibration(s64=0.5, s128=0.6, s136=0.59))
    plan = geoseg.plan(scene, model=model, contexts=3)
    assert [c.size for c in plan.contexts] == [128, 64]
    assert sum(c.weight for c in plan.contexts) == pytest.approx(1)
    assert any("3 contexts were asked for, 2 differ" in note for note in plan.notes)


def test_an_adaptive_run_that_cannot_run_anything_again_says_so(
    tiny_bundle: Path, tmp_path: Path, calibrated: Path
) -> None:
    small = write_scene(tmp_path / "small.tif", random_pixels((60, 60)))
    plan = geoseg.plan(small, model=calibrated, contexts="adaptive")
    assert len(plan.contexts) == 1
    assert any("nothing will be run again" in note for note in plan.notes)
    middling = write_scene(tmp_path / "middling.tif", random_pixels((220, 220)))
    plan = geoseg.plan(middling, model=calibrated, contexts="adaptive", budget=1.01)
    assert any("pays for no patch of" in note for note in plan.notes)


def test_memory_leaves_contexts_out_and_says_which_would_do(
    scene: Path, calibrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "ACTIVATION_BYTES_PER_PIXEL", 1e5)
    monkeypatch.setattr(machine, "memory_bytes", lambda: 5 * 10**9)
    plan = geoseg.plan(scene, model=calibrated)
    assert plan.contexts[0].size == 128
    assert any("192, 256 px are left out" in note for note in plan.notes)
    assert plan.cost.memory_bytes <= 3.5 * 10**9
    monkeypatch.setattr(costs, "ACTIVATION_BYTES_PER_PIXEL", 1e6)
    with pytest.raises(
        PlanError, match=r"none of the model's contexts \(64, 128, 192, 256 px\) fits .*--patch-size \d+"
    ):
        geoseg.plan(scene, model=calibrated)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contexts": 0}, "use 1 to 7, or 'adaptive'"),
        ({"contexts": 8}, "use 1 to 7, or 'adaptive'"),
        ({"contexts": "many"}, "a number of contexts, or 'adaptive'"),
        ({"contexts": "adaptive", "budget": 0.5}, "budget of 0.5 passes"),
        ({"fuse": "mean"}, "there are score, equal"),
        ({"budget": 2.0}, "is for adaptive runs"),
        ({"contexts": 2, "budget": 2.0}, "is for adaptive runs"),
        ({"fuse": "equal"}, "ask for several --contexts"),
    ],
)
def test_bad_words_and_numbers_are_refused(
    scene: Path, calibrated: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        geoseg.plan(scene, model=calibrated, **options)


def test_a_network_of_fixed_size_gets_no_other(scene: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    model = carded(tiny_bundle, tmp_path / "o.safetensors", only=(128, 256), context=128)
    assert geoseg.plan(scene, model=model).contexts[0].patch_size == (128, 128)
    with pytest.raises(PlanError, match="128, 256 px only"):
        geoseg.plan(scene, model=model, patch_size=136)
    small = write_scene(tmp_path / "small.tif", random_pixels((100, 400)))
    with pytest.raises(PlanError, match="scene of 400 x 100 px"):
        geoseg.plan(small, model=model)


def test_contexts_that_cost_too_much_are_left_out_and_said(tiny_bundle: Path, tmp_path: Path) -> None:
    scores = ScoreTable()
    for size, value in ((32, 0.95), (40, 0.9), (128, 0.5)):
        for _ in range(5):
            scores.add(size, value)
    large = write_scene(tmp_path / "large.tif", random_pixels((1500, 1500)))
    plan = geoseg.plan(large, model=carded(tiny_bundle, tmp_path / "d.safetensors", context_scores=scores))
    assert [c.size for c in plan.contexts] == [128]  # the overlap is 32 px
    assert any("leave nothing inside" in note for note in plan.notes)
    assert any("40 px (25" in note for note in plan.notes)
    with pytest.raises(PlanError, match="leave nothing inside"):
        geoseg.plan(large, model=tiny_bundle, patch_size=32)
