"""Peak memory and computed/scene of `predict` by scene size.

    python benchmarks/memory.py --sides 4096 10000 20000
    python benchmarks/memory.py --small --sides 16384 32768

``--small`` takes an untrained U-Net with a small MobileNetV3 encoder in place of the default model.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from common import GEOSEG, WORK, machine, run_child, synthetic_scene, table


def main() -> None:
    """One run per size, each in its own process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 10_000, 20_000])
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args()
    model = ["-m", str(_small_bundle())] if asked.small else []
    rows = []
    for side in asked.sides:
        scene = synthetic_scene(side)
        outputs = [f"-o{WORK / name}" for name in ("memory.tif", "memory.zarr")]
        run = run_child([*GEOSEG, "predict", str(scene), "-q", "--json", "--overwrite", "--restart", *model, *outputs])
        data = json.loads(run.stdout)
        plan = data["plan"]
        rows.append(
            [
                f"{side} x {side}",
                f"{run.seconds:.0f}",
                f"{side * side / 1e6 / run.seconds:.2f}",
                f"{data['seconds']['finish']:.0f}",
                f"{run.peak_rss_bytes / 1e9:.2f}",
                f"{plan['cost']['memory_bytes'] / 1e9:.2f}",
                f"{plan['cost']['seconds'] or 0:.0f}",
                f"{plan['computed_ratio']:.3f}",
            ]
        )
    print(f"{machine()}\n")
    print(
        table(
            [
                "scene px",
                "wall s",
                "Mpx/s",
                "of it overviews and COG s",
                "peak RSS GB",
                "planned GB",
                "planned s",
                "computed/scene",
            ],
            rows,
        )
    )


def _small_bundle() -> Path:
    """An untrained bundle of few multiply-adds per pixel, at the default model's context."""
    import torch

    from geoseg.models.bundle import save_bundle
    from geoseg.models.card import Card, Normalisation
    from geoseg.models.networks import build
    from geoseg.synthesis.legend import LEGEND

    torch.manual_seed(1)
    arguments = {"encoder_name": "timm-mobilenetv3_small_minimal_100", "decoder_channels": [32, 16, 16, 8, 8]}
    network = build("Unet", arguments, bands=3, classes=len(LEGEND))
    card = Card(
        name="small-untrained",
        architecture="Unet",
        arguments=arguments,
        bands=("red", "green", "blue"),
        normalisation=Normalisation(mean=(120.0, 110.0, 100.0), std=(50.0, 50.0, 50.0)),
        legend=LEGEND,
        multiple=32,
        patch_sizes=(1024,),
        context=1024,
        halo=32,
    )
    WORK.mkdir(parents=True, exist_ok=True)
    path = WORK / "small.safetensors"
    save_bundle(path, weights=network.state_dict(), card=card)
    return path


if __name__ == "__main__":
    main()
