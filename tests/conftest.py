"""Fixtures that several test rooms share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Machines are shared and slow at times: a law that holds late holds.
settings.register_profile("geoseg", deadline=None, print_blob=True)
settings.load_profile("geoseg")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests may be slow on a busy machine, too; a hang still ends."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the tests' own: what the user has cached decides nothing here, and is left alone."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOSEG_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scenes beside the project; tests that need it skip where it is absent."""
    folder = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real scenes (../shared/data) are not here")
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained bundle that is quick to load and run: multiple 8, five classes, context 128, no GSD."""
    import torch

    from geoseg.models.bundle import save_bundle
    from geoseg.models.card import Card, Normalisation
    from geoseg.models.networks import build
    from geoseg.synthesis.legend import LEGEND

    torch.manual_seed(3)
    arguments = {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}
    network = build("Unet", arguments, bands=3, classes=len(LEGEND))
    card = Card(
        name="tiny",
        architecture="Unet",
        arguments=arguments,
        bands=("red", "green", "blue"),
        normalisation=Normalisation(mean=(120.0, 110.0, 100.0), std=(50.0, 50.0, 50.0)),
        legend=LEGEND,
        multiple=8,
        patch_sizes=(128,),
        context=128,
        halo=16,
    )
    path = tmp_path_factory.mktemp("bundle") / "tiny.safetensors"
    save_bundle(path, weights=network.state_dict(), card=card)
    return path
