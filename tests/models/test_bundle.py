"""Bundles: what is saved is what is opened, whole or not at all, and nothing in it runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from geoseg.errors import BundleError, LegendError, OutputError
from geoseg.legend import Legend
from geoseg.models.bundle import default_bundle_path, open_bundle, save_bundle
from geoseg.models.card import Card
from geoseg.models.networks import build, multiple_of


def test_a_bundle_gives_back_card_and_weights(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    network = bundle.load_network()
    again = save_bundle(tmp_path / "again.safetensors", weights=network.state_dict(), card=bundle.card)
    assert again.card == bundle.card
    assert Card.from_json(again.card.to_json()) == again.card
    for name, tensor in again.load_network().state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]), name
    assert not network.training
    assert multiple_of(network) == bundle.card.multiple


def test_weights_of_another_network_do_not_fit(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    card = replace(bundle.card, arguments={"encoder_name": "mobilenet_v2"})
    wrong = save_bundle(tmp_path / "wrong.safetensors", weights=bundle.load_network().state_dict(), card=card)
    with pytest.raises(BundleError, match="do not fit"):
        wrong.load_network()


def test_unknown_architectures_and_arguments_are_named() -> None:
    with pytest.raises(BundleError, match="Unet"):
        build("Nonesuch", {}, bands=3, classes=2)
    with pytest.raises(BundleError, match="cannot be built"):
        build("Unet", {"encoder_name": "nonesuch"}, bands=3, classes=2)
    with pytest.raises(BundleError, match="cannot be built"):
        build("Unet", {"colour": "red"}, bands=3, classes=2)


def test_a_target_below_a_file_is_an_output_error(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save_bundle(tmp_path / "file" / "b.safetensors", weights={}, card=open_bundle(tiny_bundle).card)


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [{"id": 0, "name": "a"}, {"id": 0, "name": "b"}],
        [{"id": 0, "name": "a"}, {"id": 1, "name": "a"}],
        [{"id": 255, "name": "a"}],
        [{"id": 0}],
        [{"id": 0, "name": "a", "color": [1, 2]}],
        [{"id": 0, "name": "a", "color": [1, 2, 300]}],
        ["land"],
    ],
)
def test_impossible_legends_are_refused(entries: list[dict[str, object]]) -> None:
    with pytest.raises(LegendError):
        Legend.from_json(entries)


def test_the_default_bundle_is_small_and_honest() -> None:
    bundle = open_bundle()
    assert default_bundle_path().stat().st_size <= 16_000_000
    card = bundle.card
    assert card.legend.names == ("building", "land", "road", "vegetation", "water")
    assert card.gsd == 1.0
    assert card.licence
    assert card.training
    assert card.metrics
    assert card.macs_per_pixel
    assert card.activation_bytes_per_pixel
    bundle.load_network()
