"""The bundle that all are measured with: a U-Net with a ResNet18 encoder, six classes, seeded and untrained.

    python benchmarks/peers/weights.py OUT.safetensors

Untrained convolutions alone give one class nearly everywhere. So the running statistics of the batch norms are taken
from synthetic scenes, and the last layer is scaled so that every class's logit has mean 0 and deviation 1 there: maps
are then as lively as a trained network's, and a seam shows.
"""

from __future__ import annotations

import sys
from pathlib import Path

SEED = 5
MEAN = (120.0, 110.0, 100.0)
STD = (50.0, 50.0, 50.0)


def make(path: Path) -> Path:
    """Writes the bundle and returns its path."""
    import torch

    from geoseg.legend import Legend
    from geoseg.models import measure
    from geoseg.models.bundle import save_bundle
    from geoseg.models.card import Card, Normalisation
    from geoseg.models.networks import build

    torch.manual_seed(SEED)
    arguments = {"encoder_name": "resnet18"}
    network = build("Unet", arguments, bands=3, classes=6)
    _enliven(network)
    card = Card(
        name="peers-resnet18",
        description="Untrained: for comparing speed and seams only.",
        architecture="Unet",
        arguments=arguments,
        bands=("red", "green", "blue"),
        normalisation=Normalisation(mean=MEAN, std=STD),
        legend=Legend.numbered(6),
        multiple=32,
        patch_sizes=(1024,),
        context=1024,
        halo=32,
        activation_bytes_per_pixel=measure.activation_bytes_per_pixel(network, bands=3, side=256),
        macs_per_pixel=measure.macs_per_pixel(network, bands=3, side=256),
    )
    save_bundle(path, weights=network.state_dict(), card=card)
    return path


def _enliven(network) -> None:  # type: ignore[no-untyped-def]
    """Statistics of the batch norms and the scale of the last layer, from four synthetic patches."""
    import torch
    from torch import nn

    from geoseg.geometry.windows import Window
    from geoseg.synthesis.world import render

    windows = [Window(row_off=row, col_off=col, height=256, width=256) for row in (0, 4096) for col in (0, 4096)]
    pixels = torch.stack([torch.from_numpy(render(window, seed=SEED, gsd=1.0)[0]).float() for window in windows])
    batch = (pixels - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the mean of what it sees
    with torch.no_grad():
        network.train()(batch)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        logits = network.eval()(batch)
        last = [module for module in network.segmentation_head.modules() if isinstance(module, nn.Conv2d)][-1]
        mean, deviation = logits.mean((0, 2, 3)), logits.std((0, 2, 3))
        last.weight.div_(deviation.view(-1, 1, 1, 1))
        last.bias.sub_(mean).div_(deviation)


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
