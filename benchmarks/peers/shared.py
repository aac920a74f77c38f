"""What the peers' scripts share: arguments, the scene in memory, the network of a bundle, the class map on disk.

It runs in the peers' environments: no geoseg here. A bundle is a safetensors file whose metadata holds a card, and its
architecture is one of segmentation-models-pytorch's by name, so every peer computes with the same weights.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a peer's script is asked to do."""

    scene: Path
    weights: Path
    """A geoseg bundle."""
    out: Path
    patch: int | None
    """Side of a patch, pixels; None: what the peer itself takes."""
    overlap: float | None
    """Share of the patch's side; None: what the peer itself takes."""
    channels_last: bool
    """Weights in channels-last order, which the peers do not do of themselves."""

    def patch_or(self, usual: int) -> int:
        """Side of a patch, pixels."""
        return usual if self.patch is None else self.patch

    def overlap_or(self, usual: float) -> float:
        """Share of the patch's side."""
        return usual if self.overlap is None else self.overlap


def parse(description: str | None) -> Asked:
    """The command line of a peer's script."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--scene", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="a geoseg bundle")
    parser.add_argument("--out", type=Path, required=True, help="GeoTIFF of classes")
    parser.add_argument("--patch", type=int, help="pixels; default: the peer's own")
    parser.add_argument("--overlap", type=float, help="share of the patch's side; default: the peer's own")
    parser.add_argument("--channels-last", action="store_true")
    return Asked(**vars(parser.parse_args()))


def read_scene(path: Path) -> npt.NDArray[np.uint8]:
    """All of a scene: (C, H, W) uint8, the first three bands."""
    with rasterio.open(path) as source:
        pixels: npt.NDArray[np.uint8] = source.read([1, 2, 3])
    return pixels


def read_card(weights: Path) -> dict[str, Any]:
    """The card of a bundle."""
    with weights.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    card: dict[str, Any] = json.loads(header["__metadata__"]["geoseg"])
    return card


def load_network(asked: Asked) -> Any:
    """The network: (N, 3, h, w) stored pixels, any dtype, to logits (N, K, h, w) float32; eager, evaluation mode."""
    import segmentation_models_pytorch as smp
    import torch
    from safetensors.torch import load_file

    card = read_card(asked.weights)
    classes = len(card["legend"])
    family = getattr(smp, card["architecture"])
    network = family(**{**card["arguments"], "encoder_weights": None, "in_channels": 3, "classes": classes})
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(asked.weights).items()})
    if asked.channels_last:
        network = network.to(memory_format=torch.channels_last)

    class Normalised(torch.nn.Module):
        """The network behind its normalisation."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network
            shape = (1, 3, 1, 1)
            self.register_buffer("mean", torch.tensor(card["normalisation"]["mean"]).view(shape))
            self.register_buffer("std", torch.tensor(card["normalisation"]["std"]).view(shape))

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.network((pixels.float() - self.mean) / self.std)
            return found

    return Normalised().eval()


def class_count(asked: Asked) -> int:
    """K."""
    return len(read_card(asked.weights)["legend"])


def onnx_path(asked: Asked, *, patch: int, overlap: float) -> Path:
    """Where the ONNX of a bundle is kept, for a patch and an overlap (the given ones are those of no option)."""
    return asked.weights.with_suffix(f".{asked.patch_or(patch)}.{round(100 * asked.overlap_or(overlap))}.onnx")


def write_classes(asked: Asked, classes: npt.NDArray[Any]) -> None:
    """A class map (H, W) as a tiled, compressed GeoTIFF on the scene's grid."""
    with rasterio.open(asked.scene) as source:
        grid = {"crs": source.crs, "transform": source.transform, "width": source.width, "height": source.height}
    if classes.shape != (grid["height"], grid["width"]):
        raise SystemExit(f"the class map is {classes.shape}, the scene {(grid['height'], grid['width'])}")
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "num_threads": "all_cpus"}
    with rasterio.open(asked.out, "w", driver="GTiff", count=1, dtype="uint8", **grid, **layout) as target:
        target.write(classes.astype(np.uint8), 1)
