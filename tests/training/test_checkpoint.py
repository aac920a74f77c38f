"""Checkpoints come back as they went, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from geoseg.contexts.scores import ScoreTable
from geoseg.errors import ConfigError, OutputError
from geoseg.training.checkpoint import Checkpoint, load_checkpoint, refuse_other_config, save_checkpoint

CONFIG: dict[str, Any] = {
    "training": {"steps": 10, "threads": 1, "losses": {"dice": 1.0}},
    "scenes": [{"image": "a", "weight": 1.0}],
}


TABLE = ScoreTable(criterion="loss", decay=0.9)
TABLE.add(64, 0.1)
TABLE.add(64, 1 / 3)
TABLE.add(96, 0.7)


def checkpoint() -> Checkpoint:
    network = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    return Checkpoint(
        config=CONFIG,
        step=7,
        seconds=1.5,
        network=network.state_dict(),
        average=network.state_dict(),
        optimiser=optimiser.state_dict(),
        normalisation={"mean": [1.0], "std": [2.0]},
        scores=TABLE.to_json(),
    )


def test_a_checkpoint_comes_back_as_it_went(tmp_path: Path) -> None:
    saved = checkpoint()
    save_checkpoint(tmp_path / "c.pt", saved)
    save_checkpoint(tmp_path / "c.pt", saved)
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]
    loaded = load_checkpoint(tmp_path / "c.pt")
    assert ScoreTable.from_json(loaded.scores) == TABLE
    assert (loaded.step, loaded.seconds, loaded.config) == (7, 1.5, CONFIG)
    for name, tensor in saved.network.items():
        assert torch.equal(tensor, loaded.network[name])
    assert torch.equal(saved.optimiser["state"][0]["exp_avg"], loaded.optimiser["state"][0]["exp_avg"])


class Evil:
    """What a pickle can do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("evil-was-here"),))


@pytest.mark.parametrize("content", ["evil", "empty", "text", "tensor", "newer"])
def test_what_is_no_checkpoint_of_ours_is_refused(tmp_path: Path, content: str, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.pt"
    if content == "evil":
        torch.save(Evil(), path)
    elif content == "text":
        path.write_text("hello")
    elif content == "tensor":
        torch.save(torch.ones(3), path)
    elif content == "newer":
        torch.save({"format": 99}, path)
    else:
        path.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"is not a checkpoint of this run.*--restart") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "evil-was-here").exists()


def test_a_pickle_that_is_truncated_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.pt", checkpoint())
    whole = (tmp_path / "c.pt").read_bytes()
    (tmp_path / "c.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "c.pt")


def test_an_unwritable_target_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write the checkpoint .*output\.work"):
        save_checkpoint(tmp_path / "file" / "c.pt", checkpoint())


def test_another_configuration_is_named(tmp_path: Path) -> None:
    refuse_other_config(CONFIG, CONFIG, path=tmp_path)
    free = {**CONFIG, "training": {**CONFIG["training"], "threads": 8}}
    refuse_other_config(CONFIG, free, path=tmp_path)
    other = {**CONFIG, "scenes": [{"image": "a", "weight": 2.0}]}
    with pytest.raises(ConfigError, match=r"scenes\[0\]\.weight is 2\.0, but .* was begun with 1\.0"):
        refuse_other_config(CONFIG, other, path=tmp_path)


def test_entries_that_came_later_had_their_defaults(tmp_path: Path) -> None:
    losses = {"dice": 1.0, "lovasz": 0.0}
    refuse_other_config(CONFIG, {**CONFIG, "training": {**CONFIG["training"], "losses": losses}}, path=tmp_path)
    losses = {"dice": 1.0, "lovasz": 0.5}
    with pytest.raises(ConfigError, match=r"training\.losses\.lovasz is 0\.5, but .* was begun with 0\.0"):
        refuse_other_config(CONFIG, {**CONFIG, "training": {**CONFIG["training"], "losses": losses}}, path=tmp_path)


def test_entries_that_came_later_had_their_defaults_in_every_section(tmp_path: Path) -> None:
    older: dict[str, Any] = {
        "model": {"name": "a", "architecture": "Unet"},
        "scenes": [{"image": "a", "labels": "b"}, {"image": "c", "labels": "d"}],
        "training": {"steps": 10, "contexts": {"sizes": [64, 96]}},
    }
    newer: dict[str, Any] = {
        "model": {"start": "", "mean": [], **older["model"]},
        "scenes": [{"nodata": None, "bidx": [], "split": "train", **scene} for scene in older["scenes"]],
        "training": {"steps": 10, "contexts": {"sizes": [64, 96], "criterion": "accuracy", "step": None}},
    }
    refuse_other_config(older, newer, path=tmp_path)
    refuse_other_config(newer, older, path=tmp_path)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"model": {**newer["model"], "start": "x"}}, r"model\.start is 'x', but .* with ''"),
        ({"scenes": [newer["scenes"][0], {**newer["scenes"][1], "nodata": 3.0}]}, r"scenes\[1\]\.nodata is 3\.0"),
        ({"scenes": newer["scenes"][:1]}, r"scenes\[1\]\.\w+ is None"),
        (
            {"training": {"steps": 10, "contexts": {"sizes": [64, 96], "criterion": "loss"}}},
            r"contexts\.criterion is 'loss'",
        ),
        ({"training": {"steps": 10}}, r"training\.contexts\.\w+ is None"),
    ]
    for change, message in changes:
        with pytest.raises(ConfigError, match=message):
            refuse_other_config(older, newer | change, path=tmp_path)
