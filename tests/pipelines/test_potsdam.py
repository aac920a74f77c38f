"""``pipelines/potsdam.py`` on folders in miniature: its products, its scores, odd labels, kills and second runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from safetensors.torch import load_file
from scipy import ndimage
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score

import geoseg
from potsdam import main
from tests.pipelines import miniature

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
NETWORK = [
    *("--encoder", "resnet18", "--argument", "encoder_depth=3", "--argument", "decoder_channels=[16,8,8]"),
    *("--sizes", "48,64", "--halo", "8", "--pixel-budget", "12288", "--device", "cpu"),
]
SMALL = [*NETWORK, "--steps", "20", "--learning-rate", "0.01"]

Run = Callable[..., int]
Done = tuple[Path, Path, dict[str, Any]]
"""A Potsdam folder, the working folder of a whole run on it, and the truths by id."""


@pytest.fixture
def run() -> Run:
    """The pipeline's main, in this process."""
    return lambda *arguments: main([str(a) for a in arguments])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    base = tmp_path_factory.mktemp("potsdam")
    truths = miniature.potsdam(base / "Potsdam")
    torch.set_num_threads(1)
    assert main([str(base / "Potsdam"), "--out", str(base / "out"), *SMALL, "-q"]) == 0
    return base / "Potsdam", base / "out", truths


def summary(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return found


def colors_of(path: Path) -> np.ndarray[Any, Any]:
    with rasterio.open(path) as raster:
        return raster.read()


def state(out: Path) -> dict[str, int]:
    return {str(p.relative_to(out)): p.stat().st_mtime_ns for p in sorted(out.rglob("*")) if p.is_file()}


def test_the_class_maps_are_the_predicted_classes_in_the_benchmarks_colours_on_the_scenes_grid(
    done: Done,
) -> None:
    folder, out, _ = done
    assert sorted(p.name for p in (out / "submission").iterdir()) == [
        f"top_potsdam_{i}_class.tif" for i in ("2_13", "3_13", "7_13")
    ]
    for name in ("2_13", "3_13", "7_13"):
        with (
            rasterio.open(out / "submission" / f"top_potsdam_{name}_class.tif") as painted,
            rasterio.open(out / "maps" / f"top_potsdam_{name}_RGB_classes.tif") as classes,
            rasterio.open(folder / "2_Ortho_RGB" / f"top_potsdam_{name}_RGB.tif") as image,
        ):
            assert painted.dtypes == ("uint8",) * 3
            assert (painted.shape, painted.transform, painted.crs) == (image.shape, image.transform, image.crs)
            np.testing.assert_array_equal(painted.read(), miniature.paint(classes.read(1)))
        assert (out / "maps" / f"top_potsdam_{name}_RGB_classes.zarr").is_dir()


def test_the_scores_are_what_scikit_learn_says_of_the_submitted_maps(done: Done) -> None:
    _, out, truths = done
    found = summary(out)["scores"]
    for reference, names in (("full", ["2_13", "3_13"]), ("eroded", ["2_13", "3_13"])):
        assert list(found[reference]["scenes"]) == names
        pairs = []
        for name in names:
            painted = colors_of(out / "submission" / f"top_potsdam_{name}_class.tif")
            predicted = (painted[:, None] == miniature.COLORS.T[:, :, None, None]).all(0).argmax(0)
            true = truths[name]
            if reference == "eroded":  # of 3_13 there is no such file
                true = miniature.eroded(true) if name == "2_13" else within_three(true)
            pairs.append((true[true < 6], predicted[true < 6]))
            check(found[reference]["scenes"][name], *pairs[-1])
        check(found[reference]["all"], *(np.concatenate(side) for side in zip(*pairs, strict=True)))
    assert found["full"]["all"]["overall_accuracy"] > 0.3, "it learnt: chance is a sixth"
    assert found["eroded"]["scenes"]["2_13"]["pixels"] < found["full"]["scenes"]["2_13"]["pixels"]


def within_three(ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """6 where another class is at most three pixels away, by SciPy's distances."""
    near = [(ids == c) & (ndimage.distance_transform_edt(ids == c) <= 3) for c in range(6)]
    return np.where(np.any(near, axis=0), 6, ids)


def check(metrics: dict[str, Any], true: np.ndarray[Any, Any], predicted: np.ndarray[Any, Any]) -> None:
    labels = list(range(6))
    np.testing.assert_array_equal(metrics["confusion"], confusion_matrix(true, predicted, labels=labels))
    assert metrics["overall_accuracy"] == pytest.approx(accuracy_score(true, predicted))
    f1 = f1_score(true, predicted, labels=labels, average=None)
    assert [c["f1"] for c in metrics["classes"]] == pytest.approx(list(f1))
    assert metrics["mean_f1"] == pytest.approx(f1[:5].mean()), "without clutter"
    assert metrics["miou"] == pytest.approx(jaccard_score(true, predicted, labels=labels, average="macro"))


def test_what_is_held_out_what_is_missing_and_what_is_not_scored_is_said(
    done: Done,
) -> None:
    _, out, _ = done
    found = summary(out)
    assert found["scenes"] == {"train": ["2_11", "4_12"], "held_out": ["2_10"], "test": ["2_13", "3_13", "7_13"]}
    assert "top_potsdam_7_7_label.tif (label)" in found["missing"]
    assert len(found["absent"]) == 38 - 7
    assert len(found["missing"]) == 4
    assert "top_potsdam_7_13_label_noBoundary.tif (label without boundaries)" in found["missing"]
    notes = " ".join(found["notes"])
    assert "not scored against the full reference, which is not here: 7_13" in notes
    assert "not scored against the eroded reference, which is not here: 7_13" in notes
    assert "no eroded reference here of 3_13: pixels within 3 of a boundary of the full one" in notes
    assert "top_potsdam_4_12_label.tif lies 0.40 px off its image" in notes
    assert set(found["training"]["validation_miou"]) == {"potsdam_2_10"}
    assert found["calibration"]["scenes"] == ["top_potsdam_2_10_RGB"]
    best = max(found["calibration"]["rows"], key=lambda row: row["miou"])
    card = geoseg.open_bundle(out / "model" / "model.safetensors").card
    assert card.calibration is not None
    assert best["miou"] == max(row.miou for row in card.calibration.rows)
    config = (out / "training.toml").read_text()
    assert not any(test in config for test in ("2_13", "3_13", "7_13")), "test scenes are not trained on"


def test_impure_colours_are_taken_for_the_nearest_class_and_counted(done: Done) -> None:
    _, out, truths = done
    with rasterio.open(out / "labels" / "potsdam_4_12_full.tif") as labels:
        np.testing.assert_array_equal(labels.read(1), truths["4_12"])
        assert labels.crs == "EPSG:32633", "on its image's grid"
    counts = summary(out)["labels"]["4_12 full"]
    assert counts["snapped"] == truths["4_12"].size
    assert counts["farthest"] == 60
    assert counts["unknown"] == 0
    assert counts["classes"]["car"] == (truths["4_12"] == 4).sum()
    assert summary(out)["labels"]["2_11 full"]["snapped"] == 0
    assert summary(out)["labels"]["2_13 eroded"]["boundary"] == (miniature.eroded(truths["2_13"]) == 6).sum() > 0


def test_a_second_run_computes_nothing(
    done: Done,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, out, _ = done
    before = state(out)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed again")

    for verb in ("train", "calibrate", "predict", "evaluate"):
        monkeypatch.setattr(geoseg, verb, refuse)
    assert run(folder, "--out", out, *SMALL) == 0
    assert state(out) == before
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows[2:5]] == [["2_13", "full"], ["3_13", "full"], ["2_13", "eroded"]]
    assert rows[6][:3] == ["all", "2", "full"]
    assert float(rows[6][3]) == pytest.approx(summary(out)["scores"]["full"]["all"]["miou"], abs=1e-4)


def test_a_changed_label_of_a_test_scene_is_scored_anew_and_nothing_else_is_done(
    done: Done, run: Run, tmp_path: Path
) -> None:
    folder, out, truths = done
    shutil.copytree(out, tmp_path / "out")
    copy = tmp_path / "Potsdam"
    shutil.copytree(folder, copy, copy_function=os.link)
    label = copy / "5_Labels_all" / "top_potsdam_3_13_label.tif"
    label.unlink()
    miniature.write(label, miniature.paint(np.full_like(truths["3_13"], 4)), gsd=0.05, crs="EPSG:32633")
    before = state(tmp_path / "out")
    arguments = [copy, "--out", tmp_path / "out", *SMALL, "-q"]
    assert run(*arguments) == 0
    after = state(tmp_path / "out")
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {
        *("labels/potsdam_3_13_full.tif", "records/labels-3_13-full.json"),
        *("records/evaluate-3_13-full.json", "records/evaluate-3_13-eroded.json", "summary.json"),
    }
    assert summary(tmp_path / "out")["scores"]["full"]["scenes"]["3_13"]["classes"][4]["truth_pixels"] == 96 * 96


def test_a_scene_whose_map_is_gone_is_predicted_again_and_no_other(
    done: Done, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out, _ = done
    shutil.copytree(out, tmp_path / "out")
    (tmp_path / "out" / "maps" / "top_potsdam_3_13_RGB_classes.tif").unlink()
    predicted = []
    predict = geoseg.predict

    def note(scene: Path, **options: Any) -> Any:
        predicted.append(scene.name)
        return predict(scene, **options)

    monkeypatch.setattr(geoseg, "predict", note)
    assert run(folder, "--out", tmp_path / "out", *SMALL, "-q") == 0
    assert predicted == ["top_potsdam_3_13_RGB.tif"]
    assert summary(tmp_path / "out")["scores"] == summary(out)["scores"]


def test_other_training_settings_are_refused_and_what_was_trained_stays(
    done: Done, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out, _ = done
    before = state(out)
    assert run(folder, "--out", out, *NETWORK, "--steps", "21", "--learning-rate", "0.01", "-q") == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "training.steps is 21" in said[0]
    assert said[0].endswith("choose another --out, or start over with --restart")
    assert run(folder, "--out", out, *SMALL, "-q") == 0
    left = {name: when for name, when in state(out).items() if not name.endswith((".begun.json", ".toml"))}
    assert left == {name: when for name, when in before.items() if not name.endswith(".toml")}


def test_another_label_of_a_training_scene_is_not_passed_off_as_learnt(
    done: Done, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out, truths = done
    shutil.copytree(out, tmp_path / "out")
    copy = tmp_path / "Potsdam"
    shutil.copytree(folder, copy, copy_function=os.link)
    label = copy / "5_Labels_all" / "top_potsdam_2_11_label.tif"
    label.unlink()
    miniature.write(label, miniature.paint(np.full_like(truths["2_11"], 4)), gsd=0.05, crs="EPSG:32633")
    assert run(copy, "--out", tmp_path / "out", *SMALL, "-q") == 1
    assert "labels or start weights are not those" in capsys.readouterr().err


def test_a_budget_that_is_not_given_is_the_trainings_and_another_one_is_not_passed_over(
    done: Done, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the training is begun only: then its checkpoint knows."""
    folder, out, _ = done
    at = SMALL.index("--pixel-budget")
    none_given = [*SMALL[:at], *SMALL[at + 2 :]]
    arguments = [folder, "--out", out, "-q", "--until", "train"]
    train = geoseg.train
    monkeypatch.delattr(geoseg, "train")
    assert run(*arguments, *none_given) == 0
    monkeypatch.setattr(geoseg, "train", train)
    assert run(*arguments, *none_given, "--pixel-budget", "16384") == 1
    assert "training.pixel_budget is 16384" in capsys.readouterr().err
    record = out / "records" / "train.json"
    kept = record.read_bytes()
    record.unlink()
    asked: list[str] = []
    monkeypatch.setattr(geoseg, "train", lambda toml, **_: asked.append(toml.read_text()) or sys.exit(3))
    with pytest.raises(SystemExit):
        run(*arguments, *none_given)
    record.write_bytes(kept)
    assert "pixel_budget = 12288" in asked[0]


def without_cars_to_learn(folder: Path) -> dict[str, Any]:
    """A Potsdam folder whose training labels lack cars (an id between the others'); held-out and test do not."""
    truths = miniature.potsdam(folder)
    for name in ("2_11", "4_12"):
        label = folder / "5_Labels_all" / f"top_potsdam_{name}_label.tif"
        without = np.where(truths[name] == 4, np.uint8(6), truths[name])
        miniature.write(label, miniature.paint(without), gsd=0.05, crs="EPSG:32633")
    return truths


def test_held_out_labels_keep_only_the_classes_that_are_learnt(run: Run, tmp_path: Path) -> None:
    truths = without_cars_to_learn(tmp_path / "Potsdam")
    out = tmp_path / "out"
    assert run(tmp_path / "Potsdam", "--out", out, *SMALL, "-q", "--until", "labels") == 0
    assert "no pixel of car in the 2 training scenes: not in the model's legend" in " ".join(summary(out)["notes"])
    assert (truths["2_10"] == 4).any()
    expected = np.where(truths["2_10"] == 4, np.uint8(255), truths["2_10"])
    np.testing.assert_array_equal(colors_of(out / "labels" / "potsdam_2_10_learnt.tif")[0], expected)
    np.testing.assert_array_equal(colors_of(out / "labels" / "potsdam_2_10_full.tif")[0], truths["2_10"])


def test_a_held_out_scene_of_nothing_that_is_learnt_is_refused_with_the_way_out(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truths = without_cars_to_learn(tmp_path / "Potsdam")
    label = tmp_path / "Potsdam" / "5_Labels_all" / "top_potsdam_2_10_label.tif"
    miniature.write(label, miniature.paint(np.full_like(truths["2_10"], 4)), gsd=0.05, crs="EPSG:32633")
    assert run(tmp_path / "Potsdam", "--out", tmp_path / "out", *SMALL, "-q") == 1
    assert "held-out scene 2_10 has no pixel of impervious" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_a_class_that_no_training_scene_has_is_in_no_map_and_the_other_ids_stay(run: Run, tmp_path: Path) -> None:
    folder, out = tmp_path / "Potsdam", tmp_path / "out"
    truths = without_cars_to_learn(folder)
    assert run(folder, "--out", out, *SMALL) == 0
    assert geoseg.open_bundle(out / "model" / "model.safetensors").card.legend.ids == (0, 1, 2, 3, 5)
    painted = colors_of(out / "submission" / "top_potsdam_3_13_class.tif")
    predicted = (painted[:, None] == miniature.COLORS.T[:, :, None, None]).all(0).argmax(0)
    assert 4 not in predicted
    found = summary(out)["scores"]["full"]["scenes"]["3_13"]
    check(found, truths["3_13"].ravel(), predicted.ravel())
    assert found["classes"][4]["truth_pixels"] == (truths["3_13"] == 4).sum() > 0
    assert 5 in predicted, "channel 4, painted as clutter"
    before = state(out)
    assert run(folder, "--out", out, *SMALL) == 0
    assert state(out) == before


@pytest.mark.slow
def test_vaihingen_is_told_by_its_pixels_from_labels_of_the_same_name(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truths = miniature.vaihingen(tmp_path / "Vaihingen" / "unpacked")
    arguments = [tmp_path / "Vaihingen", "--dataset", "vaihingen", "--out", tmp_path / "Vaihingen" / "out", *NETWORK]
    assert run(*arguments, "--steps", "2", "--distribution", "single", "--sizes", "64") == 0
    out = tmp_path / "Vaihingen" / "out"
    found = summary(out)
    assert found["scenes"] == {"train": ["1", "3"], "held_out": ["5"], "test": ["2", "38"]}
    assert set(found["scores"]["eroded"]["scenes"]) == {"2", "38"}
    with rasterio.open(out / "labels" / "vaihingen_38_full.tif") as label:
        np.testing.assert_array_equal(label.read(1), truths["38"])
    painted = colors_of(out / "submission" / "top_mosaic_09cm_area38_class.tif")
    predicted = (painted[:, None] == miniature.COLORS.T[:, :, None, None]).all(0).argmax(0)
    check(found["scores"]["full"]["scenes"]["38"], truths["38"].ravel(), predicted.ravel())
    assert geoseg.open_bundle(out / "model" / "model.safetensors").card.bands == ("infrared", "red", "green")
    captured = capsys.readouterr()
    assert "found  2 train, 1 held out, 2 test scenes of vaihingen" in captured.err
    assert captured.out.startswith("scene")


def bad_size(folder: Path) -> None:
    label = np.zeros((3, 64, 64), np.uint8)
    miniature.write(folder / "5_Labels_all" / "top_potsdam_2_11_label.tif", label, gsd=0.05, crs=None)


def bad_place(folder: Path) -> None:
    label = np.zeros((3, 128, 128), np.uint8)
    place = folder / "5_Labels_all" / "top_potsdam_2_11_label.tif"
    miniature.write(place, label, gsd=0.05, crs="EPSG:32633", shift=6000)


def all_black(folder: Path) -> None:
    label = np.zeros((3, 128, 128), np.uint8)
    miniature.write(folder / "5_Labels_all" / "top_potsdam_2_11_label.tif", label, gsd=0.05, crs=None)


def no_labels(folder: Path) -> None:
    shutil.rmtree(folder / "5_Labels_all")


def damaged(folder: Path) -> None:
    path = folder / "5_Labels_all" / "top_potsdam_2_11_label.tif"
    path.write_bytes(path.read_bytes()[:3000])


@pytest.mark.parametrize(
    ("harm", "options", "code", "words"),
    [
        (bad_size, [], 1, "top_potsdam_2_11_label.tif has 64 x 64 pixels, its image 128 x 128"),
        (bad_place, [], 1, "lies 6,000 pixels off its image"),
        (all_black, [], 1, "none of its 16,384 pixels has a colour of a class"),
        (damaged, [], 1, "top_potsdam_2_11_label.tif"),
        (no_labels, [], 1, "holds 0 of the 24 training scenes of potsdam"),
        (None, ["--dataset", "vaihingen"], 1, "holds 0 of the 16 training scenes of vaihingen"),
        (None, ["--held-out", "2_10,9_9"], 1, "cannot hold out 9_9"),
        (None, ["--held-out", "2_10,2_11,4_12"], 1, "all 3 training scenes are held out"),
        (None, ["--sizes", "50,64"], 1, "50"),
        (None, ["--device", "tpu"], 1, "unknown device 'tpu'"),
        (None, ["--sizes", "big"], 2, "not a list of sizes"),
        (None, ["--sizes", "auto"], 2, "not a list of sizes"),
        (None, ["--contexts", "none"], 2, "neither a number"),
        (None, ["--contexts", "0"], 2, "neither a number"),
        (None, ["--argument", "depth"], 2, "NAME=VALUE"),
    ],
)
def test_what_cannot_be_done_is_one_line_before_anything_is_trained(
    harm: Callable[[Path], None] | None,
    options: list[str],
    code: int,
    words: str,
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    miniature.potsdam(tmp_path / "Potsdam")
    if harm is not None:
        harm(tmp_path / "Potsdam")
    assert run(tmp_path / "Potsdam", "--out", tmp_path / "out", *SMALL, "-q", *options) == code
    captured = capsys.readouterr()
    said = captured.err.splitlines()
    assert words in said[-1]
    assert len(said) == 1 or code == 2
    assert not captured.out
    assert not (tmp_path / "out" / "model").exists()


def test_a_resolution_is_refused_where_a_scene_has_no_crs(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    miniature.vaihingen(tmp_path / "Vaihingen")
    arguments = [tmp_path / "Vaihingen", "--dataset", "vaihingen", "--out", tmp_path / "out", "--gsd", "0.2"]
    assert run(*arguments) == 1
    assert "has no CRS, so --gsd 0.2 means nothing there" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_anywhere_the_same_command_ends_with_the_same_weights_maps_and_scores(tmp_path: Path) -> None:
    miniature.potsdam(tmp_path / "Potsdam")
    once, often, later = (tmp_path / name for name in ("once", "often", "later"))
    whole = command(tmp_path / "Potsdam", once)
    table = subprocess.run(whole, check=True, env=ENVIRONMENT, capture_output=True, text=True).stdout

    for line in ("labels  top_potsdam_2_11", "training, ", "step 20/", "48 px  mIoU"):
        kill_at(line, command(tmp_path / "Potsdam", often))
    subprocess.run([*command(tmp_path / "Potsdam", often), "--until", "calibrate"], check=True, env=ENVIRONMENT)
    weights, again = (load_file(out / "model" / "model.safetensors") for out in (once, often))
    assert weights.keys() == again.keys()
    assert all(torch.equal(weights[name], again[name]) for name in weights)

    shutil.copytree(once, later)  # its calibration, whose seconds break ties between contexts
    for folder in ("maps", "submission"):
        shutil.rmtree(later / folder)
    for record in (later / "records").glob("evaluate-*.json"):
        record.unlink()
    for line in ("predict  3_13", "export  top_potsdam_3_13", "evaluate  3_13"):
        kill_at(line, command(tmp_path / "Potsdam", later))
    last = subprocess.run(
        command(tmp_path / "Potsdam", later), check=True, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert {line.split()[0] for line in last.stderr.splitlines()} <= {
        "found",
        "absent",
        "missing",
        "note",
        "evaluate",
        "wrote",
    }
    assert last.stdout == table
    assert summary(later)["scores"] == summary(once)["scores"]
    for path in (once / "submission").iterdir():
        assert path.read_bytes() == (later / "submission" / path.name).read_bytes()


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PIPELINES.parent), "OMP_NUM_THREADS": "1"}


def command(folder: Path, out: Path) -> list[str]:
    options = [*NETWORK, "--steps", "30", "--learning-rate", "0.01"]
    return [sys.executable, str(PIPELINES / "potsdam.py"), str(folder), "--out", str(out), *options]


def kill_at(line: str, arguments: list[str]) -> None:
    """Runs until a line that begins so comes to stderr, and no further."""
    with subprocess.Popen(
        arguments, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for said in process.stderr:
            if said.startswith(line):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL, f"never came to {line!r}"
