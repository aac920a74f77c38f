"""Plans: made once, the same when made again, another when anything that matters is another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import geoseg
from geoseg.errors import PlanError
from geoseg.geometry.lattice import Lattice
from geoseg.geometry.tiles import make_tiles
from geoseg.inference import costs, machine
from geoseg.inference.context_choice import choose_contexts
from geoseg.inference.passes import fit_lattice
from geoseg.inference.plan import Plan
from geoseg.inference.sameness import decided_otherwise
from geoseg.models.bundle import open_bundle
from geoseg.models.source import from_bundle
from geoseg.verbs.plan import plan_rows
from tests.scenes import random_pixels, write_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("plan") / "scene.tif", random_pixels((700, 500)))


def test_a_plan_survives_json(scene: Path, tiny_bundle: Path) -> None:
    plan = geoseg.plan(scene, model=tiny_bundle, confidence=True)
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert again.digest == plan.digest
    assert geoseg.plan(scene, model=tiny_bundle, confidence=True).digest == plan.digest


@pytest.mark.parametrize(
    "options",
    [
        {"stitch": "hann"},
        {"patch_size": 96},
        {"overlap": 64},
        {"tile": 200},
        {"batch_size": 3},
        {"runtime": "compile"},
        {"precision": "bf16"},
        {"confidence": True},
        {"probabilities": True},
        {"zarr_format": 2},
        {"bidx": (3, 2, 1)},
        {"nodata": 7.0},
    ],
)
def test_every_decision_is_in_the_digest(scene: Path, tiny_bundle: Path, options: dict[str, Any]) -> None:
    plain, other = geoseg.plan(scene, model=tiny_bundle), geoseg.plan(scene, model=tiny_bundle, **options)
    assert other.digest != plain.digest
    assert decided_otherwise(other, plain.to_json())


def test_speed_and_notes_are_not_in_the_digest(scene: Path, tiny_bundle: Path) -> None:
    plan = geoseg.plan(scene, model=tiny_bundle)
    assert replace(plan, threads=7, slots=9, notes=("x",), cost=replace(plan.cost, seconds=1.0)).digest == plan.digest


def test_a_changed_scene_is_another_plan(tmp_path: Path, tiny_bundle: Path) -> None:
    path = write_scene(tmp_path / "scene.tif", random_pixels((90, 90)))
    before = geoseg.plan(path, model=tiny_bundle)
    write_scene(path, random_pixels((90, 90), seed=5))
    assert geoseg.plan(path, model=tiny_bundle).digest != before.digest


def test_a_changed_mask_beside_the_scene_is_another_plan(tmp_path: Path, tiny_bundle: Path) -> None:
    path = write_scene(tmp_path / "scene.tif", random_pixels((90, 90)))
    valid = np.ones((90, 90), bool)
    digests = set()
    for missing in (0, 30, 60):
        valid[:missing] = False
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as target:
            target.write_mask(valid)
        assert (tmp_path / "scene.tif.msk").exists()
        digests.add(geoseg.plan(path, model=tiny_bundle).digest)
    assert len(digests) == 3


def test_a_default_context_that_memory_does_not_take_is_halved_and_said(
    scene: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "ACTIVATION_BYTES_PER_PIXEL", 1e6)
    monkeypatch.setattr(machine, "memory_bytes", lambda: 10 * 10**9)
    plan = geoseg.plan(scene, model=tiny_bundle)
    assert plan.contexts[0].size == 64
    assert plan.contexts[0].batch_size == 1
    assert any("64 instead of 128" in note for note in plan.notes)
    assert plan.cost.memory_bytes <= 7 * 10**9
    with pytest.raises(PlanError, match=r"this machine has 7\.0 GB to give; use a smaller --patch-size"):
        geoseg.plan(scene, model=tiny_bundle, patch_size=128)
    with pytest.raises(PlanError, match=r"use a smaller --batch-size"):
        geoseg.plan(scene, model=tiny_bundle, batch_size=4)


def test_an_overlap_is_rounded_up_to_what_the_network_takes(scene: Path, tiny_bundle: Path) -> None:
    plan = geoseg.plan(scene, model=tiny_bundle, overlap=20)
    assert plan.to_json()["overlap"] == [32, 32]
    assert any("rounded up to 32" in note for note in plan.notes)


def test_the_defaults_compute_little_twice() -> None:
    """The caps hold for the context that the default bundle takes: 1.35 at 4096 px, 1.20 at 10,000 px and more."""
    model = from_bundle(open_bundle())
    for side, cap in ((4096, 1.35), (10_000, 1.20), (32_768, 1.20)):

        def lattice_of(context: int, side: int = side) -> Lattice:
            return fit_lattice((side, side), context=context, halo=model.halo, rule=model.rule)

        choice = choose_contexts(model, contexts=1, fuse="score", lattice_of=lattice_of, fits=lambda _: True)
        lattice = lattice_of(choice.sizes[0])
        assert make_tiles(lattice, stitch="crop", tile=2048).computed_pixels <= cap * side * side


@pytest.mark.parametrize(("tiled", "stitch", "columns"), [(False, "crop", 1), (True, "crop", 4), (False, "hann", 2)])
def test_tiles_of_a_scene_in_strips_are_as_wide_as_it(
    tmp_path: Path, tiny_bundle: Path, tiled: bool, stitch: str, columns: int
) -> None:
    path = tmp_path / "scene.tif"
    options = {"tiled": True, "blockxsize": 256, "blockysize": 256} if tiled else {"blockysize": 16}
    with rasterio.open(
        path, "w", driver="GTiff", height=1500, width=7000, count=3, dtype="uint8", compress="deflate", **options
    ) as scene:
        scene.write(np.zeros((3, 1500, 7000), np.uint8))
    plan = geoseg.plan(path, model=tiny_bundle, patch_size=512, stitch=stitch)
    assert plan.grid.shape[1] == columns
    if stitch == "crop":
        assert plan.grid.core[0] * plan.grid.core[1] <= 1.5 * 2048**2


def test_a_scene_of_one_patch_has_neither_small_tiles_nor_overlap(tmp_path: Path, tiny_bundle: Path) -> None:
    small = write_scene(tmp_path / "small.tif", random_pixels((90, 100)))
    plan = geoseg.plan(small, model=tiny_bundle, tile=10, overlap=32)
    assert "tiles of 10 px rounded to whole cells: 104 x 96 px" in plan.notes
    assert "the whole scene is one patch: no overlap" in plan.notes
    assert dict(plan_rows(plan))["overlap"] == "none: the whole scene is one patch"
    assert not [
        note for note in geoseg.plan(small, model=tiny_bundle, tile=512).notes if "tiles" in note or "patch" in note
    ]


def test_sizes_are_told_the_width_first(tmp_path: Path, tiny_bundle: Path) -> None:
    plan = geoseg.plan(write_scene(tmp_path / "tall.tif", random_pixels((700, 100))), model=tiny_bundle)
    data, rows = plan.to_json(), dict(plan_rows(plan))
    assert rows["scene"].startswith("100 x 700 px")
    (high, wide), tile = data["patch_size"], data["tile"]
    assert high != wide
    assert rows["context"].endswith(f"patches of {wide} x {high} px")
    assert f"of {tile[1]} x {tile[0]} px" in rows["tiles"]
    assert rows["overlap"].startswith(f"{data['overlap'][1]} x {data['overlap'][0]} px, stride {data['stride'][1]} x")
