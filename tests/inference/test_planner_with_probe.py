"""Plans by a probe: its halo, its speed, and the ways that a plan compares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rasterio

import geoseg
from geoseg.errors import PlanError
from geoseg.inference import machine, pass_planner
from geoseg.inference.context_choice import Choice
from geoseg.inference.plan import Plan
from geoseg.models.probing.kept import keep_probe
from geoseg.models.probing.result import ProbedSpeed
from geoseg.verbs.plan import plan_rows
from tests.probes import finite_probe, flat_curve, made_up_probe
from tests.scenes import random_pixels, write_scene


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache of the test's own, and a machine on which nothing else runs."""
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "free_share", lambda: 1.0)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("probed") / "scene.tif", random_pixels((700, 500)))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """10,000 x 10,000 px at the default model's GSD, without a block on disk."""
    path = tmp_path_factory.mktemp("probed") / "large.tif"
    profile = {"driver": "GTiff", "count": 3, "height": 10_000, "width": 10_000, "dtype": "uint8", "sparse_ok": True}
    transform = rasterio.Affine(1.0, 0.0, 500_000.0, 0.0, -1.0, 4_000_000.0)
    with rasterio.open(path, "w", tiled=True, crs="EPSG:32633", transform=transform, **profile):
        pass
    return path


def speeds(*rates: tuple[int, int, float]) -> tuple[ProbedSpeed, ...]:
    """Of (size, batch, seconds per pixel)."""
    return tuple(ProbedSpeed(size=s, batch=n, seconds=rate * n * s * s, bytes=None) for s, n, rate in rates)


def test_the_default_computes_little_twice(large: Path) -> None:
    assert geoseg.plan(large).to_json()["computed_ratio"] <= 1.20


@pytest.mark.parametrize(("reach", "halo"), [(0, 0), (3, 8), (16, 16), (17, 16)])
def test_the_halo_is_the_probes(scene: Path, tiny_bundle: Path, reach: int, halo: int) -> None:
    """Of patches of 128 px a halo of 24 px is too dear (and 17 px are none): the card's is taken, and said."""
    card = geoseg.plan(scene, model=tiny_bundle)
    keep_probe(finite_probe(tiny_bundle, reach=reach))
    plan = geoseg.plan(scene, model=tiny_bundle)
    assert (card.halo, plan.halo) == (16, halo)
    assert (plan.digest == card.digest) == (halo == 16)
    assert geoseg.plan(scene, model=tiny_bundle, overlap=48).halo == 24
    assert any("no halo that is worth its cost" in note for note in plan.notes) == (reach == 17)
    assert any("by the probe, not the card" in note for note in plan.notes) == (halo != 16)


def test_the_halo_is_what_the_fitted_patch_asks_for(large: Path) -> None:
    keep_probe(made_up_probe(None, seams=(flat_curve(60, rate=0.06),)))
    plan = geoseg.plan(large)
    probe = made_up_probe(None, seams=(flat_curve(60, rate=0.06),))
    found = probe.disagreement(plan.lattice.patch, plan.halo)
    before = probe.disagreement(plan.lattice.patch, plan.halo - 32)
    assert plan.halo > 0
    assert found is not None
    assert before is not None
    assert found <= probe.tolerance < before


def test_tiles_change_neither_halo_nor_context(large: Path) -> None:
    keep_probe(finite_probe(None, reach=40, speeds=speeds((256, 1, 3e-6), (512, 1, 1e-6), (1536, 1, 4e-6))))
    plans = [geoseg.plan(large, tile=tile) for tile in (None, 500, 1500, 6000)]
    assert len({(plan.halo, plan.contexts) for plan in plans}) == 1
    assert len({plan.cells for plan in plans}) > 1


def test_measured_speed_decides_between_ties(large: Path) -> None:
    chosen = set()
    for slow, quick in ((512, 1536), (1536, 512)):
        rates = [(size, 1, 9e-6 if abs(size - slow) < abs(size - quick) else 1e-6) for size in (256, 512, 1536)]
        keep_probe(made_up_probe(None, seams=(flat_curve(1),), speeds=speeds(*rates)))
        chosen.add(geoseg.plan(large, runtime="eager").contexts[0].size)
    assert len(chosen) == 2


def test_another_machines_probe_tells_the_halo_and_no_seconds(scene: Path, tiny_bundle: Path) -> None:
    keep_probe(finite_probe(tiny_bundle, reach=3, machine="an abacus", speeds=speeds((128, 1, 1.0))))
    plan = geoseg.plan(scene, model=tiny_bundle)
    assert plan.halo == 8
    assert plan.cost.seconds is None
    keep_probe(finite_probe(tiny_bundle, reach=3, speeds=speeds((128, 1, 1.0))))
    assert geoseg.plan(scene, model=tiny_bundle).cost.seconds > 700 * 500


def test_seconds_are_those_that_were_measured(scene: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for rate in (1e-4, 2e-4):
        keep_probe(made_up_probe(tiny_bundle, speeds=speeds((128, 16, rate))))
        plan = geoseg.plan(scene, model=tiny_bundle)
        found.append(plan.cost.seconds)
    assert found[1] - found[0] == pytest.approx(1e-4 * plan.to_json()["computed_pixels"], abs=0.11)
    cores = geoseg.plan(scene, model=tiny_bundle).threads
    one, all_of_them = (geoseg.plan(scene, model=tiny_bundle, threads=n).cost.seconds for n in (1, 2 * cores))
    assert all_of_them == found[1]
    more = (cores - 1) * 2e-4 * plan.to_json()["computed_pixels"]
    assert one - found[1] == pytest.approx(more, abs=0.11), "rates are those of all cores"
    monkeypatch.setattr(machine, "free_share", lambda: 0.5)
    busy = geoseg.plan(scene, model=tiny_bundle)
    assert 1.5 * found[1] < busy.cost.seconds < 2 * found[1], "one thread alone, at the start, gets more"
    assert "other work leaves 50%" in busy.timing
    assert busy.digest == plan.digest


@pytest.mark.parametrize(("alone", "batch"), [(0.75e-6, 1), (0.9e-6, 16), (2e-6, 16)])
def test_patches_are_batched_where_that_is_quicker(scene: Path, tiny_bundle: Path, alone: float, batch: int) -> None:
    keep_probe(made_up_probe(tiny_bundle, speeds=speeds((128, 1, alone), (128, 16, 1e-6))))
    assert geoseg.plan(scene, model=tiny_bundle).contexts[0].batch_size == batch
    assert geoseg.plan(scene, model=tiny_bundle, batch_size=3).contexts[0].batch_size == 3


def test_a_plan_compares_its_best_ways(large: Path) -> None:
    keep_probe(made_up_probe(None, seams=(flat_curve(40),), speeds=speeds((256, 1, 1e-6), (1536, 1, 1e-6))))
    plan = geoseg.plan(large)
    ways = plan.alternatives
    assert len(ways) == 3
    first = ways[0]
    assert (first.size, first.patch_size, first.batch_size) == (
        plan.contexts[0].size,
        plan.contexts[0].patch_size,
        plan.contexts[0].batch_size,
    )
    assert (first.halo, first.tile, first.seconds) == (plan.halo, plan.grid.core, plan.cost.seconds)
    assert len({way.size for way in ways}) == 3
    assert all("mIoU" in way.why and "unlike full-frame" in way.why for way in ways)
    for way in ways[1:]:
        assert f"{way.seconds - first.seconds:+.1f} s" in way.why
        assert way.seconds > 0.75 * first.seconds, "a tie that is markedly quicker would have been taken"
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    table = plan_rows(plan)
    assert [name for name, _ in table if "best" in name] == ["best", "2. best", "3. best"]


def test_one_patch_size_has_nothing_to_compare(scene: Path, tiny_bundle: Path) -> None:
    assert geoseg.plan(scene, model=tiny_bundle).alternatives == ()
    assert geoseg.plan(scene, model=tiny_bundle, patch_size=96).alternatives == ()


@pytest.mark.parametrize("contexts", [2, 3, "adaptive"])
def test_fused_contexts_share_the_widest_halo(large: Path, contexts: Any) -> None:
    probe = made_up_probe(None, seams=(flat_curve(60, rate=0.05),))
    keep_probe(probe)
    fused = geoseg.plan(large, contexts=contexts)
    halos = [probe.halo(context.patch_size) or 32 for context in fused.contexts]
    assert fused.halo == max(halos)
    assert all(context.lattice.rows.halo == fused.halo for context in fused.passes.contexts)


def test_the_smaller_of_two_fused_contexts_may_ask_for_more_halo(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = made_up_probe(None, seams=(flat_curve(60, rate=0.05),))
    keep_probe(probe)
    assert probe.halo((1088, 1088)) == 32
    assert probe.halo((544, 544)) == 64
    monkeypatch.setattr(
        pass_planner, "choose_contexts", lambda *_, **__: Choice(sizes=(1088, 544), weights=(0.5, 0.5), reason="")
    )
    assert geoseg.plan(large, contexts=2).halo == 64


def test_a_halo_that_leaves_nothing_is_said(scene: Path, tiny_bundle: Path) -> None:
    with pytest.raises(PlanError, match="leave nothing inside an overlap of 128 px"):
        geoseg.plan(scene, model=tiny_bundle, overlap=128)
