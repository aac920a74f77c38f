"""``train`` from TOML to bundle: it learns, it stops, it goes on, it refuses."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner
from rasterio import Affine
from safetensors.torch import load_file

from geoseg.cli.train import train as command
from geoseg.errors import ConfigError, GridError, LegendError, StoppedError
from geoseg.models.bundle import open_bundle
from geoseg.training.books import TrainProgress
from geoseg.training.checkpoint import load_checkpoint
from geoseg.verbs.train import train

CONFIG = """
[model]
name = "tiny"
architecture = "Unet"
context = 64
halo = 8
[model.arguments]
encoder_name = "resnet18"
encoder_depth = 3
decoder_channels = [16, 8, 8]
[output]
bundle = "out/tiny.safetensors"
work = "work"
[training]
steps = {steps}
batch_size = 2
patch_size = 64
learning_rate = {rate}
ema_decay = {decay}
seed = 3
threads = 1
accelerator = "cpu"
checkpoint_every = 3
validate_every = 0
log_every = 1
[augment]
rotation = 0.5
scale = [0.8, 1.25]
brightness = 0.1
noise = 0.05
[[legend]]
id = 2
name = "dark"
[[legend]]
id = 9
name = "bright"
[[scenes]]
image = "a.tif"
labels = "a_labels.tif"
[[scenes]]
image = "b.tif"
labels = "b_labels.tif"
split = "validation"
"""


EVERYTHING = {
    "[augment]": """[training.losses]
cross_entropy = 1.0
dice = 0.5
focal = 0.5
lovasz = 0.5
border_w0 = 10
border_sigma = 3
adversarial = 0.1
adversary_rate = 1e-3
[augment]
elastic = 0.5
elastic_alpha = 100
elastic_sigma = 5"""
}


def write(path: Path, pixels: np.ndarray[Any, Any], **profile: Any) -> None:
    count, height, width = pixels.shape
    placed = {"crs": "EPSG:32640", "transform": Affine(1, 0, 300_000, 0, -1, 2_800_000)}
    options = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with rasterio.open(path, "w", **(options | placed | profile)) as target:
        target.write(pixels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two scenes: a bright half and a dark half, noise over both; ids 2 and 9; a nodata corner."""
    for seed, name in enumerate("ab"):
        rng = np.random.default_rng(seed)
        bright = np.add.outer(np.arange(130), np.arange(150) * (1 - 2 * seed)) > 70
        pixels = rng.normal(np.where(bright, 180, 60), 20, (3, 130, 150)).clip(1, 255).astype(np.uint8)
        pixels[:, :20, :20] = 0
        write(tmp_path / f"{name}.tif", pixels, nodata=0)
        labels = np.where(bright, 9, 2).astype(np.uint8)
        labels[-10:] = 255
        write(tmp_path / f"{name}_labels.tif", labels[None])
    return tmp_path


def configure(
    folder: Path, *, steps: int = 6, rate: float = 0.01, decay: float = 0.5, edits: Mapping[str, str] | None = None
) -> Path:
    text = CONFIG.format(steps=steps, rate=rate, decay=decay)
    for old, new in (edits or {}).items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "run.toml"
    path.write_text(text)
    return path


def test_it_learns_and_says_so_in_the_card(folder: Path) -> None:
    seen: list[TrainProgress] = []
    result = train(configure(folder, steps=25), progress=seen.append)
    assert result.steps == 25
    assert [p.step for p in seen] == list(range(1, 26))
    assert result.scores["b"].miou > 0.8
    card = open_bundle(folder / "out" / "tiny.safetensors").card
    assert card.metrics["b"]["miou"] == pytest.approx(result.scores["b"].miou, abs=1e-4)
    assert card.metrics["b"]["pixels"] == 120 * 150 - 400
    assert card.legend.ids == (2, 9)
    assert (card.multiple, card.patch_sizes, card.context, card.dtype) == (8, (64,), 64, "uint8")
    assert card.training["steps"] == 25
    assert [s["name"] for s in card.training["scenes"]] == ["a", "b"]
    assert card.activation_bytes_per_pixel is not None
    assert card.activation_bytes_per_pixel > 4 * 3
    assert card.macs_per_pixel is not None
    network = result.bundle.load_network()
    pixels = torch.full((1, 3, 64, 64), 180.0)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (card.normalisation.mean, card.normalisation.std))
    with torch.inference_mode():
        assert (network((pixels - mean) / std).argmax(1) == 1).float().mean() > 0.9
    assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == ["out", "work"]
    assert sorted(p.name for p in (folder / "work").iterdir()) == ["checkpoint.pt", "labels", "log.jsonl"]


COARSE = Affine(2, 0, 300_000, 0, -2, 2_800_000)
"""Of pixels twice as wide as the scenes'."""


def write_coarse_labels(folder: Path) -> None:
    rows = np.repeat([2, 9], [33, 32]).astype(np.uint8)
    write(folder / "coarse.tif", rows.repeat(75).reshape(1, 65, 75), transform=COARSE)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


def at(step: int, action: Callable[[], None]) -> Callable[[TrainProgress], None]:
    def progress(report: TrainProgress) -> None:
        if report.step == step:
            action()

    return progress


def kill() -> None:
    raise Killed


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def outcome(folder: Path) -> tuple[dict[str, torch.Tensor], list[float]]:
    log = [json.loads(line) for line in (folder / "work" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(1, len(log) + 1))
    return load_file(folder / "out" / "tiny.safetensors"), [line["loss"] for line in log]


DYNAMIC = {
    "patch_size = 64": "pixel_budget = 9216",
    "[augment]": """[training.contexts]
distribution = "multinomial"
sizes = [48, 96]
range = [32, 96]
step = 16
criterion = "accuracy"
[augment]""",
}


@pytest.mark.parametrize("how", [kill, terminate])
def test_a_stopped_run_ends_with_the_score_table_of_an_uninterrupted_one(folder: Path, how: Callable[[], None]) -> None:
    path = configure(folder, steps=14, edits=DYNAMIC)
    train(path, restart=True)
    card = open_bundle(folder / "out" / "tiny.safetensors").card
    weights, losses = outcome(folder)
    assert card.context_scores is not None
    assert card.patch_sizes == (32, 48, 64, 80, 96)
    assert sum(score.count for score in card.context_scores) == 14
    assert len(card.context_scores) > 2

    with pytest.raises((Killed, StoppedError)):
        train(path, restart=True, progress=at(8, how))
    train(path)
    again = open_bundle(folder / "out" / "tiny.safetensors").card
    assert again.context_scores == card.context_scores
    assert outcome(folder)[1] == losses
    assert all(torch.equal(v, weights[k]) for k, v in outcome(folder)[0].items())


def test_scores_by_loss_are_the_losses(folder: Path) -> None:
    train(configure(folder, steps=9, edits={**DYNAMIC, 'criterion = "accuracy"': 'criterion = "loss"'}))
    table = open_bundle(folder / "out" / "tiny.safetensors").card.context_scores
    assert table is not None
    assert table.criterion == "loss"
    assert sum(s.total for s in table) == pytest.approx(sum(outcome(folder)[1]), rel=1e-5)


@pytest.mark.parametrize("how", [kill, terminate, interrupt])
def test_a_stopped_run_ends_as_an_uninterrupted_one(folder: Path, how: Callable[[], None]) -> None:
    path = configure(folder, steps=7)
    train(path, restart=True)
    weights, losses = outcome(folder)

    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises((Killed, StoppedError)) as caught:
        train(path, restart=True, progress=at(5, how))
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before
    if how is not kill:
        assert isinstance(caught.value, StoppedError)
        assert caught.value.signum == (signal.SIGTERM if how is terminate else signal.SIGINT)
        assert "at step 5 of 7" in str(caught.value)
    resumed: list[int] = []
    train(path, progress=lambda p: resumed.append(p.step))
    assert resumed[0] == (4 if how is kill else 6)  # from the checkpoint of step 3, or from that of the stop
    again, losses_again = outcome(folder)
    assert losses_again == losses
    assert again.keys() == weights.keys()
    assert all(torch.equal(again[k], weights[k]) for k in weights)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_every_term_at_once_learns_and_goes_on_where_it_was_killed(folder: Path, precision: str) -> None:
    edits = EVERYTHING | {"threads = 1": f'threads = 1\nprecision = "{precision}"'}
    path = configure(folder, steps=7, edits=edits)
    first = train(path, restart=True)
    weights, losses = outcome(folder)
    assert first.steps == 7
    assert np.isfinite(losses).all()
    assert not any("discriminator" in name for name in weights)
    ended = torch.load(folder / "work" / "checkpoint.pt", weights_only=True)["adversary"]
    assert int(ended["optimiser"]["state"][0]["step"]) == 7

    with pytest.raises(Killed):
        train(path, restart=True, progress=at(5, kill))
    train(path)
    again, losses_again = outcome(folder)
    assert losses_again == losses
    assert all(torch.equal(again[k], weights[k]) for k in weights)
    resumed = torch.load(folder / "work" / "checkpoint.pt", weights_only=True)["adversary"]
    assert all(torch.equal(resumed["weights"][k], v) for k, v in ended["weights"].items())


def test_each_term_reaches_the_weights(folder: Path) -> None:
    ends = []
    for term in ("", "focal = 1.0", "lovasz = 1.0", "border_w0 = 10.0", "adversarial = 1.0"):
        edits = {"[augment]": f"[training.losses]\n{term}\n[augment]"}
        train(configure(folder, steps=1, rate=0.1, edits=edits), restart=True)
        ends.append(outcome(folder)[0])
    for i, one in enumerate(ends):
        for other in ends[:i]:
            assert any(not torch.equal(one[k], other[k]) for k in one)


def test_a_finished_run_only_writes_its_bundle_again(folder: Path) -> None:
    path = configure(folder, steps=2)
    first = train(path)
    (folder / "out" / "tiny.safetensors").unlink()
    seen: list[TrainProgress] = []
    second = train(path, progress=seen.append)
    assert seen == []
    assert second.steps == first.steps == 2
    assert (folder / "out" / "tiny.safetensors").exists()


def test_another_configuration_does_not_go_on(folder: Path) -> None:
    train(configure(folder, steps=2))
    with pytest.raises(ConfigError, match=r"training\.learning_rate is 0\.02, but .* was begun with 0\.01"):
        train(configure(folder, steps=2, rate=0.02))
    restarted = configure(folder, steps=2, rate=0.02)
    with pytest.raises(Killed):
        train(restarted, restart=True, progress=at(1, kill))
    assert train(restarted).steps == 2  # the old run's checkpoint is gone, also after a kill before the first new one


def test_a_loss_that_is_no_number_stops_with_the_step_named(folder: Path) -> None:
    path = configure(folder, steps=40, rate=1e25)
    with pytest.raises(ConfigError, match=r"the loss became (nan|inf) at step \d+ .*training\.learning_rate"):
        train(path)
    assert not (folder / "out").exists()


def test_the_last_good_checkpoint_outlives_a_loss_that_is_no_number(folder: Path) -> None:
    path = configure(folder, steps=40, rate=1e25, edits={"checkpoint_every = 3": "checkpoint_every = 1"})
    with pytest.raises(ConfigError, match=r"at step (\d+) .*the last checkpoint, .*checkpoint\.pt, is whole") as caught:
        train(path)
    found = re.search(r"at step (\d+) ", str(caught.value))
    assert found is not None
    kept = load_checkpoint(folder / "work" / "checkpoint.pt")
    assert kept.step == int(found[1]) - 1 >= 1
    assert all(torch.isfinite(v).all() for v in kept.network.values())


def test_the_time_limit_ends_the_schedule(folder: Path) -> None:
    path = configure(folder, steps=100_000, edits={"threads = 1": "threads = 1\ntime_limit_minutes = 0.02"})
    seen: list[TrainProgress] = []
    result = train(path, progress=seen.append)
    assert 1 <= result.steps < 100_000
    assert seen[-1].share == 1.0
    assert result.bundle.card.training["steps"] == result.steps


def test_the_shipped_weights_are_the_average(folder: Path) -> None:
    train(configure(folder, steps=3, decay=0.0))
    saved = torch.load(folder / "work" / "checkpoint.pt", weights_only=True)
    assert all(torch.equal(saved["average"][k], v) for k, v in saved["network"].items())
    train(configure(folder, steps=3, decay=0.9), restart=True)
    saved = torch.load(folder / "work" / "checkpoint.pt", weights_only=True)
    shipped = load_file(folder / "out" / "tiny.safetensors")
    for name, average in saved["average"].items():
        expected = average.half() if average.is_floating_point() else average
        assert torch.equal(shipped[name], expected)
    assert any(not torch.equal(saved["average"][k], v) for k, v in saved["network"].items())


@pytest.mark.parametrize(
    ("edits", "error", "message"),
    [
        ({"patch_size = 64": "patch_size = 60"}, ConfigError, r"patch_size = 60 px: the network takes multiples of 8"),
        ({"context = 64": "context = 100"}, ConfigError, r"model\.context = 100 px: .* nearest are 96, 104"),
        ({'labels = "a_labels.tif"': 'labels = "small.tif"'}, GridError, r"small\.tif"),
        ({'labels = "a_labels.tif"': 'labels = "void.tif"'}, ConfigError, r"void\.tif: not one pixel"),
        ({'image = "b.tif"': 'image = "float.tif"'}, ConfigError, r"a is uint8|float is float32"),
        ({"id = 9": "id = 7"}, LegendError, r"a_labels\.tif .*holds 9 \([\d,]+ pixels\).*legend \[2, 7\]"),
        (
            {'[[scenes]]\nimage = "a': '[[legend]]\nid = 4\nname = "rare"\n[[scenes]]\nimage = "a'},
            ConfigError,
            r"no training scene has a pixel of 'rare' \(pixels of the others: dark [\d,]+, bright [\d,]+\)",
        ),
    ],
    ids=["patch", "context", "grid", "unlabelled", "dtype", "stray", "absent"],
)
def test_what_cannot_be_trained_on_is_refused(
    folder: Path, edits: dict[str, str], error: type[Exception], message: str
) -> None:
    unplaced = {"crs": None, "transform": Affine.identity()}
    write(folder / "small.tif", np.full((1, 50, 60), 2, np.uint8), **unplaced)
    write(folder / "void.tif", np.full((1, 130, 150), 255, np.uint8))
    write(folder / "float.tif", np.ones((3, 130, 150), np.float32))
    with pytest.raises(error, match=message) as caught:
        train(configure(folder, edits=edits))
    assert "\n" not in str(caught.value)
    assert not (folder / "out").exists()


def test_what_is_to_be_known_is_told_before_the_first_step_and_once(folder: Path) -> None:
    write_coarse_labels(folder)
    told: list[str] = []
    path = configure(folder, steps=2, edits={'labels = "a_labels.tif"': 'labels = "coarse.tif"'})
    result = train(path, progress=lambda p: told.append(f"step {p.step}"), on_note=told.append)
    assert told == [*result.notes, "step 1", "step 2"]
    assert [("coarse.tif" in note, "by nearest neighbour" in note) for note in result.notes] == [(True, True)]


def test_the_command_tells_notes_before_the_first_step_and_once(folder: Path) -> None:
    write_coarse_labels(folder)
    path = configure(folder, steps=2, edits={'labels = "a_labels.tif"': 'labels = "coarse.tif"'})
    done = CliRunner().invoke(command, [str(path)])
    assert done.exit_code == 0
    words = [line.split()[0] for line in done.stderr.splitlines() if line.strip()]
    assert words == ["training,", "note", "step", "step", "wrote"]


def test_a_context_that_leaves_a_pooled_network_one_patch_is_refused_before_the_first_step(folder: Path) -> None:
    edits = {
        'architecture = "Unet"': 'architecture = "DeepLabV3Plus"',
        "decoder_channels = [16, 8, 8]\n": "decoder_channels = 16\n",
        "patch_size = 64": "patch_size = 64\npixel_budget = 8191",
    }
    told: list[str] = []
    with pytest.raises(
        ConfigError, match=r"one patch of 64 px.*pixel_budget to 8,192 or take patches of at most 63 px"
    ):
        train(configure(folder, edits=edits), progress=lambda p: told.append(str(p.step)))
    assert not told
    edits["patch_size = 64"] = "patch_size = 64\npixel_budget = 8192"
    assert train(configure(folder, steps=1, edits=edits)).steps == 1
