"""The evidence script: its grid, its scenes, its table, and the whole of it on a miniature."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rasterio

from geoseg.contexts.candidates import SizeRule
from geoseg.training.config import parse_config
from geoseg.training.draws import check_sizes
from tests.scenes import random_pixels, write_scene

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Modules of the benchmarks' folder by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def test_a_preset_has_every_training_once_per_seed(script: Any) -> None:
    preset = script("contexts_grid").PRESETS["gpu"]
    names = [cell.name for cell in preset.cells]
    assert len(names) == len(set(names)) == 3 * 2 * 2 * (4 + 3)
    assert [cell.seed for cell in preset.cells] == sorted(cell.seed for cell in preset.cells)


@pytest.mark.parametrize("name", ["gpu", "cpu", "smoke"])
def test_every_cell_is_a_training_that_geoseg_takes(script: Any, tmp_path: Path, name: str) -> None:
    grid, scenes = script("contexts_grid"), script("contexts_scenes")
    preset = grid.PRESETS[name]
    for cell in preset.cells:
        found = scenes.dataset(cell.dataset, data=tmp_path / "data", scenes=tmp_path / "scenes")
        for pair in found.pairs:
            for path in (pair.image, pair.labels):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        folder = tmp_path / "cells" / cell.name
        folder.mkdir(parents=True)
        config = parse_config(tomllib.loads(grid.training_toml(cell, preset, found, folder=folder)), folder=folder)
        contexts = config.training.contexts
        assert contexts is not None
        assert (config.training.steps, config.training.pixel_budget) == (preset.steps, preset.pixel_budget)
        wanted = preset.listed if cell.size is None else (cell.size,)
        assert contexts.sizes == (() if cell.distribution == "uniform" else wanted)
        _, drawn = check_sizes(config, rule=SizeRule())  # within the budget, and no entry would be ignored
        assert (drawn.sizes[0], drawn.sizes[-1]) == (min(wanted), max(wanted))
        used = {Path(scene.image) for scene in config.scenes}
        held = {pair.image.resolve() for pair in (*found.calibration, *found.test)}
        assert used
        assert not used & held
        assert not {p.image for p in found.calibration} & {p.image for p in found.test}


@pytest.mark.parametrize("shape", [(2050, 37), (64, 65), (3, 2)])
def test_a_halved_scene_has_means_and_labels_of_its_own_pixels(
    script: Any, tmp_path: Path, shape: tuple[int, int]
) -> None:
    grid, scenes = script("contexts_grid"), script("contexts_scenes")
    pixels = random_pixels(shape)
    labels = np.random.default_rng(1).integers(0, 5, (1, *shape), dtype=np.uint8)
    image, truth = write_scene(tmp_path / "a.tif", pixels), write_scene(tmp_path / "b.tif", labels)
    made = grid.LabelledPair(image=tmp_path / "half.tif", labels=tmp_path / "half_labels.tif")
    scenes.halved(made, image=image, labels=truth)
    height, width = shape[0] // 2, shape[1] // 2
    with rasterio.open(made.image) as half, rasterio.open(made.labels) as half_labels:
        found, ids = half.read(), half_labels.read(1)
        assert half.res == (2.0, 2.0)
        assert half.crs.is_projected
        assert (half.transform, half.shape) == (half_labels.transform, half_labels.shape)
    assert found.shape == (3, height, width)
    for row, col in {(0, 0), (height - 1, width - 1), (height // 2, width // 3)}:
        block = pixels[:, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].astype(float)
        assert np.abs(found[:, row, col] - block.mean(axis=(1, 2))).max() <= 0.5
        assert ids[row, col] == labels[0, 2 * row, 2 * col]


def test_photographs_of_different_parts_do_not_adjoin(script: Any, shared_data: Path) -> None:
    scenes = script("contexts_scenes")
    part_of = {
        row: part
        for part, blocks in scenes.MONTEREY_ROWS.items()
        for first, last in blocks
        for row in range(first, last + 1)
    }
    names = [path.stem.split("_") for path in (shared_data / "monterey" / "images").glob("*.jpg")]
    places = [(int(name[2]) // 608, int(name[1]) // 608) for name in names]
    assert {part_of[row] for row, _ in places} == {"train", "calibration", "test"}  # none is in no block
    for row, col in places:
        for other_row, other_col in places:
            if max(abs(row - other_row), abs(col - other_col)) <= 1:
                assert part_of[row] == part_of[other_row]


def _fill(job: Any, cells: ModuleType, *, miou: float, skip: tuple[str, ...] = ()) -> None:
    """Results of a cell: at its largest size ``miou``, at others a tenth less."""
    best = max(job.preset.test_sizes)
    row = {"miou": 0.5, "overall_accuracy": 0.5, "seconds_per_megapixel": 1.0}
    rows = [{"size": size, **row} for size in job.preset.test_sizes]
    measured = {"seconds_per_megapixel": 2.0, "computed_pixels": 3, "pixels": 2, "machine": "M"}
    training = {
        "steps": 7,
        "pixel_budget": 18_432,
        "seconds": 1.0,
        "accelerator": "cpu",
        "precision": "x",
        "threads": 1,
    }
    job.write("train", {**training, "machine": "M"})
    selected = {"mean": min(job.preset.test_sizes), "weighted": best, "calibration": best}
    job.write("calibration", {"selected": selected, "calibration": {"rows": rows}, "scores": None})
    for name, options in cells.measurements(job).items():
        size = options.get("patch_size", best)
        if name not in skip:
            value = miou if size == best else miou - 0.1
            job.write(name, {"miou": value, **measured, "contexts": [[{"size": size}]]})


@pytest.mark.parametrize(("gain", "words"), [(0.04, "0.040 above"), (-0.03, "0.030 below"), (0.0, "the same as")])
def test_the_table_says_who_wins_and_what_is_missing(script: Any, tmp_path: Path, gain: float, words: str) -> None:
    cells, grid, table = script("contexts_cells"), script("contexts_grid"), script("contexts_table")
    preset = grid.PRESETS["smoke"]
    datasets = {"synthetic": script("contexts_scenes").dataset("synthetic", data=tmp_path, scenes=tmp_path)}
    jobs = [
        cells.Job(cell=c, preset=preset, dataset=datasets[c.dataset], folder=tmp_path / c.name) for c in preset.cells
    ]
    empty = table.report(jobs, preset=preset, datasets=datasets)
    assert "Of 5 cells 0 are finished" in empty
    assert all(job.cell.name in empty for job in jobs)
    for job in jobs[:-1]:
        _fill(job, cells, miou=0.5 if job.cell.size else 0.5 + gain, skip=("auto",) if job is jobs[2] else ())
    page = table.report(jobs, preset=preset, datasets=datasets)
    assert "`python benchmarks/contexts.py --preset smoke --steps 7`" in page
    assert "Of 5 cells 3 are finished" in page
    assert "Not trained: synthetic-tiny-multinomial-s1." in page
    assert "synthetic-tiny-uniform-fixed-s1 (auto)" in page
    assert "single-64 0.400, single-96 0.500. The best of them, single-96" in page
    assert f"uniform, at the size that is chosen: {0.4 + gain:.3f}" in page  # by the mean score: the small size
    assert f"{0.5 + gain:.3f}, {words} it by calibration" in page
    assert f"{2 if gain > 0 else 0} of 2 dynamic trainings beat it" in page


def test_a_half_written_result_is_none(script: Any, tmp_path: Path) -> None:
    cells, grid = script("contexts_cells"), script("contexts_grid")
    preset = grid.PRESETS["smoke"]
    found = script("contexts_scenes").dataset("synthetic", data=tmp_path, scenes=tmp_path)
    job = cells.Job(cell=preset.cells[0], preset=preset, dataset=found, folder=tmp_path / "cell")
    with pytest.raises(TypeError):
        job.write("train", {"steps": object()})
    assert job.read("train") is None
    job.write("train", {"steps": 4})
    assert job.read("train") == {"steps": 4}


def test_a_cell_is_held_by_one_process(script: Any, tmp_path: Path) -> None:
    cells, grid = script("contexts_cells"), script("contexts_grid")
    preset = grid.PRESETS["smoke"]
    found = script("contexts_scenes").dataset("synthetic", data=tmp_path, scenes=tmp_path)
    job = cells.Job(cell=preset.cells[0], preset=preset, dataset=found, folder=tmp_path / "cell")
    with cells.taken(job) as first, cells.taken(job) as second:
        assert (first, second) == (True, False)
    with cells.taken(dataclasses.replace(job)) as again:
        assert again


def _run(out: Path, *options: str) -> str:
    """The script's stdout, one cell of the smoke grid."""
    which = ["--cell", "*multinomial*"]
    command = [
        sys.executable,
        str(BENCHMARKS / "contexts.py"),
        "--preset",
        "smoke",
        "--out",
        str(out),
        *which,
        *options,
    ]
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_the_whole_script_on_a_miniature(tmp_path: Path) -> None:
    _run(tmp_path)
    cell = tmp_path / "smoke" / "cells" / "synthetic-tiny-multinomial-s1"
    page = (tmp_path / "smoke" / "contexts.md").read_text(encoding="utf-8")
    assert "Of 5 cells 1 are finished" in page
    results = {path.name: path.stat().st_mtime_ns for path in cell.glob("*.json")}
    tested = {"size_64", "size_96", "auto", "fused_2_score", "fused_2_equal", "adaptive_1.5"}
    assert set(results) == {f"{name}.json" for name in {"train", "calibration", *tested}}
    read = {name: json.loads((cell / f"{name}.json").read_text()) for name in tested}
    assert all(0 <= found["miou"] <= 1 and found["seconds_per_megapixel"] > 0 for found in read.values())
    assert all(found["pixels"] == 2 * 192 * 192 for found in read.values())  # both test scenes
    chosen = json.loads((cell / "calibration.json").read_text())["selected"]["calibration"]
    assert f"{chosen} px: {read[f'size_{chosen}']['miou']:.3f}" in page
    assert not (cell / "map.zarr").exists()

    (cell / "auto.json").unlink()
    _run(tmp_path)
    again = {path.name: path.stat().st_mtime_ns for path in cell.glob("*.json")}
    assert {name for name, when in again.items() if when != results.get(name)} == {"auto.json"}
    assert json.loads((cell / "auto.json").read_text())["miou"] == read["auto"]["miou"]
