"""A training configuration is read strictly: what is wrong is named, with the way out."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from geoseg.contexts.candidates import SizeRule
from geoseg.errors import ConfigError
from geoseg.training.config import load_config, parse_config, to_json
from geoseg.training.draws import check_sizes


@pytest.fixture
def good(tmp_path: Path) -> dict[str, Any]:
    for name in ("a.tif", "a_labels.tif", "b.tif", "b_labels.tif"):
        (tmp_path / name).touch()
    return {
        "model": {"name": "tiny", "arguments": {"encoder_name": "resnet18"}, "context": 256},
        "legend": [{"id": 0, "name": "land"}, {"id": 1, "name": "water"}],
        "scenes": [
            {"image": "a.tif", "labels": "a_labels.tif", "weight": 2},
            {"image": "b.tif", "labels": "b_labels.tif", "split": "validation"},
        ],
        "training": {"steps": 10, "patch_size": 64, "losses": {"dice": 0.5}},
        "augment": {"scale": [0.5, 2.0]},
        "output": {"bundle": "out/tiny.safetensors", "work": "work"},
    }


def test_paths_start_at_the_configurations_folder(good: dict[str, Any], tmp_path: Path) -> None:
    config = parse_config(good, folder=tmp_path)
    assert config.scenes[0].image == str(tmp_path / "a.tif")
    assert config.bundle == tmp_path / "out" / "tiny.safetensors"
    assert [s.name for s in config.of_split("train")] == ["a"]
    assert [s.name for s in config.of_split("validation")] == ["b"]
    assert config.scenes[0].weight == 2.0
    assert config.training.losses.dice == 0.5
    assert config.training.losses.cross_entropy == 1.0
    assert config.augment.scale == (0.5, 2.0)


def test_plain_values_hold_everything(good: dict[str, Any], tmp_path: Path) -> None:
    plain = to_json(parse_config(good, folder=tmp_path))
    assert plain["training"]["losses"]["cross_entropy"] == 1.0
    assert plain["training"]["losses"]["dice"] == 0.5
    assert plain["scenes"][1]["split"] == "validation"
    assert plain["legend"][1]["name"] == "water"


REMOVE = object()
WRONG = [
    ("training.stepz", 3, r"training\.stepz.*did you mean 'steps'"),
    ("training.losses.dise", 3, r"training\.losses\.dise.*'dice'"),
    ("trainning", {}, r"'trainning'.*'training'"),
    ("training.steps", REMOVE, r"training\.steps is missing"),
    ("training.steps", 0, r"training\.steps must be at least 1"),
    ("training.steps", "10", r"training\.steps must be of type int, not '10'"),
    ("training.steps", True, r"training\.steps must be of type int"),
    ("training.learning_rate", -1.0, r"training\.learning_rate must be positive"),
    ("training.learning_rate", float("nan"), r"training\.learning_rate must be a finite number"),
    ("training.label_smoothing", 1.0, r"training\.label_smoothing"),
    ("training.precision", "16", r"training\.precision must be one of 32-true"),
    ("training.class_weights", [1.0], r"training\.class_weights needs 2 numbers"),
    ("training.losses", {"dice": 0, "cross_entropy": 0}, r"training\.losses must not all be 0"),
    (
        "training.losses",
        {"dice": 0, "cross_entropy": 0, "adversarial": 1},
        r"not all be 0: raise one of",
    ),
    ("training.losses.lovasz", -1, r"training\.losses\.lovasz must not be negative"),
    ("training.losses.border_sigma", 0, r"training\.losses\.border_sigma must be positive"),
    ("training.losses", {"cross_entropy": 0, "border_w0": 10}, r"border_w0 weighs the cross-entropy, which is 0"),
    ("training.losses", {"border_background": ["land"]}, r"border_background is of border_w0's map, which is off"),
    (
        "training.losses",
        {"border_w0": 10, "border_background": ["sea"]},
        r"losses\.border_background names 'sea', which is no class: the legend has land, water",
    ),
    ("training.losses", {"border_w0": 10, "border_background": ["water", "land"]}, r"names every class"),
    ("augment.elastic", 2, r"augment\.elastic must be a share"),
    ("augment.elastic_sigma", 0, r"augment\.elastic_sigma must be positive"),
    ("training.time_limit_minutes", 0, r"time_limit_minutes must be positive"),
    ("training.seed", 2**40, r"training\.seed must be below"),
    ("augment.scale", [2.0, 1.0], r"augment\.scale"),
    ("augment.scale", [1.0], r"augment\.scale must be a list of 2"),
    ("augment.noise", -0.1, r"augment\.noise must not be negative"),
    ("model.name", REMOVE, r"model\.name is missing"),
    ("model.std", [1.0, 1.0, 1.0], r"model\.mean and model\.std must be given together"),
    ("model.gsd", 0, r"model\.gsd"),
    ("model.bands", [], r"model\.bands"),
    ("legend", [], r"\[\[legend\]\]"),
    ("legend", [{"id": 0, "name": "a"}, {"id": 0, "name": "b"}], r"legend: .*without repeats"),
    ("legend", [{"id": 0, "name": "a", "colour": [0, 0, 0]}], r"legend\[0\]\.colour.*'color'"),
    ("scenes", [], r"\[\[scenes\]\]"),
    ("scenes.0.image", "missing.tif", r"scenes\[0\]\.image = 'missing\.tif': there is no file"),
    ("scenes.0.split", "test", r"scenes\[0\]\.split must be one of train, validation"),
    ("scenes.0.split", "validation", r"split = \"train\""),
    ("scenes.0.weight", 0, r"scenes\[0\]\.weight must be positive"),
    ("scenes.0.bidx", [1, 2], r"scenes\[0\]\.bidx must name 3 bands"),
    ("scenes.0.name", "b", r"'b' stands twice"),
    ("output.bundle", REMOVE, r"output\.bundle is missing"),
    ("output", REMOVE, r"\[output\] is missing"),
]


@pytest.mark.parametrize(("key", "value", "message"), WRONG, ids=[f"{k}={v!r:.20}" for k, v, _ in WRONG])
def test_what_is_wrong_is_named(good: dict[str, Any], tmp_path: Path, key: str, value: Any, message: str) -> None:
    data: Any = deepcopy(good)
    *parents, last = key.split(".")
    table = data
    for parent in parents:
        table = table[int(parent)] if parent.isdigit() else table[parent]
    if value is REMOVE:
        del table[last]
    else:
        table[last] = value
    with pytest.raises(ConfigError, match=message):
        parse_config(data, folder=tmp_path)


def test_hue_is_for_three_bands(good: dict[str, Any], tmp_path: Path) -> None:
    good["model"]["bands"] = ["red", "green", "blue", "nir"]
    good["augment"]["hue"] = 0.1
    with pytest.raises(ConfigError, match=r"augment\.hue is for three bands, the model has 4"):
        parse_config(good, folder=tmp_path)


def test_sizes_the_network_cannot_take_are_refused(good: dict[str, Any], tmp_path: Path) -> None:
    good["training"]["patch_size"] = 80
    with pytest.raises(ConfigError, match=r"training\.patch_size = 80 .*multiples of 32.*nearest are 64, 96"):
        check_sizes(parse_config(good, folder=tmp_path), rule=SizeRule(multiple=32))
    good["training"]["patch_size"] = 64
    check_sizes(parse_config(good, folder=tmp_path), rule=SizeRule(multiple=32))


IDLE = [
    ({"distribution": "uniform", "sizes": [64, 128], "range": [64, 128]}, r"'uniform' .*ignore sizes: leave one"),
    ({"distribution": "single", "sizes": [64], "range": [64, 128]}, r"'single' .*ignore range: leave it out"),
    ({"distribution": "single", "sizes": [64], "step": 32}, r"'single' .*ignore step"),
    ({"distribution": "uniform-fixed", "sizes": [64, 128], "step": 32}, r"'uniform-fixed' .*ignore step"),
    (
        {"distribution": "uniform-fixed", "sizes": [64], "range": [64, 128], "step": 32},
        r"'uniform-fixed' .*ignore range and step",
    ),
]


@pytest.mark.parametrize(("contexts", "message"), IDLE)
def test_what_a_distribution_would_ignore_is_refused(
    good: dict[str, Any], tmp_path: Path, contexts: dict[str, Any], message: str
) -> None:
    good["training"] |= {"pixel_budget": 128**2, "contexts": contexts}
    with pytest.raises(ConfigError, match=rf"training\.contexts: distribution {message}") as caught:
        check_sizes(parse_config(good, folder=tmp_path), rule=SizeRule(multiple=32))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "contexts",
    [
        {"distribution": "uniform", "sizes": [64, 128], "step": 32},
        {"distribution": "uniform", "range": [64, 128], "step": 32},
        {"distribution": "multinomial", "sizes": [96], "range": [64, 128], "step": 32},
    ],
)
def test_what_a_distribution_uses_is_taken(good: dict[str, Any], tmp_path: Path, contexts: dict[str, Any]) -> None:
    good["training"] |= {"pixel_budget": 128**2, "contexts": contexts}
    _, drawn = check_sizes(parse_config(good, folder=tmp_path), rule=SizeRule(multiple=32))
    assert drawn.sizes == (64, 96, 128)


def test_a_budget_below_one_patch_is_refused(good: dict[str, Any], tmp_path: Path) -> None:
    good["training"]["pixel_budget"] = 64**2 - 1
    with pytest.raises(ConfigError, match=r"pixel_budget = 4,095 .*patch_size = 64 px, 4,096 pixels.* at most 63 px"):
        check_sizes(parse_config(good, folder=tmp_path), rule=SizeRule(multiple=32))
    good["training"]["pixel_budget"] = 64**2
    check_sizes(parse_config(good, folder=tmp_path), rule=SizeRule(multiple=32))


@pytest.mark.parametrize(("text", "message"), [(None, "cannot read"), ("steps = = 3", "is not TOML")])
def test_files_that_are_none(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "run.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(path)
