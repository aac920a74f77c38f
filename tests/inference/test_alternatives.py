"""The ways that a plan shows beside its choice: others, not the same patches under another name."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

import geoseg
from geoseg.inference import machine
from geoseg.inference.plan import Plan
from tests.inference.test_context_choice import calibration, carded
from tests.scenes import random_pixels, write_scene

SCORES = {128: 0.58, 136: 0.57, 184: 0.59, 192: 0.61, 200: 0.60, 256: 0.56, 384: 0.55}


@pytest.fixture
def model(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seven contexts, of which some are fitted to the same patches, or to patches a multiple (8 px) apart."""
    monkeypatch.setattr(machine, "free_share", lambda: 1.0)
    return carded(
        tiny_bundle, tmp_path / "seven.safetensors", calibration=calibration(**{f"s{k}": v for k, v in SCORES.items()})
    )


@pytest.mark.parametrize("shape", [(700, 500), (380, 1000), (260, 260)])
def test_patches_that_a_scene_makes_the_same_are_shown_once(
    tmp_path: Path, model: Path, shape: tuple[int, int]
) -> None:
    plan = geoseg.plan(write_scene(tmp_path / "scene.tif", random_pixels(shape)), model=model)
    patches = {
        size: _patch(tmp_path / "scene.tif", model, size)
        for size in sorted(SCORES, key=SCORES.__getitem__, reverse=True)
    }
    assert len(set(patches.values())) < len(patches), "some contexts are the same patches on this scene"
    shown = [way.patch_size for way in plan.alternatives]
    assert len(shown) > 1
    for one, other in combinations(shown, 2):
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > 8, shown
    assert plan.alternatives[0].patch_size == plan.contexts[0].patch_size
    assert [way.size for way in plan.alternatives] == _first_of_each(patches)[:3]


def test_one_patch_for_all_contexts_leaves_nothing_to_compare(tmp_path: Path, model: Path) -> None:
    plan = geoseg.plan(write_scene(tmp_path / "scene.tif", random_pixels((90, 90))), model=model)
    assert plan.lattice.count == 1
    assert plan.alternatives == ()


def _patch(scene: Path, model: Path, size: int) -> tuple[int, int]:
    plan: Plan = geoseg.plan(scene, model=model, patch_size=size)
    return plan.contexts[0].patch_size


def _first_of_each(patches: dict[int, tuple[int, int]]) -> list[int]:
    """The best context (the order is by score) of each patch, an oracle for what is shown."""
    kept: list[int] = []
    for size, patch in patches.items():
        others = (patches[k] for k in kept)
        if all(max(abs(a - b) for a, b in zip(patch, other, strict=True)) > 8 for other in others):
            kept.append(size)
    return kept
