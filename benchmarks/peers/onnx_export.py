"""Writes the network of a bundle as ONNX for GeoDeep, with the metadata it reads; does nothing if it is there.

python benchmarks/peers/onnx_export.py --scene SCENE --weights BUNDLE --out OUT.tif [--patch 512 --overlap 0.25]

GeoDeep divides uint8 pixels by 255 itself; the file multiplies them back and normalises as the bundle says. It zeroes
what lies under ``seg_thresh``, which is put where no logit is.
"""

from __future__ import annotations

import json
import sys

import shared
from with_geodeep import OVERLAP, PATCH


def main() -> None:
    asked = shared.parse(__doc__)
    patch = asked.patch_or(PATCH)
    target = shared.onnx_path(asked, patch=PATCH, overlap=OVERLAP)
    if target.exists():
        return
    import onnx
    import torch

    network = shared.load_network(asked)

    class Scaled(torch.nn.Module):
        """The network for pixels from 0 to 1."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.network(pixels * 255.0)
            return found

    part = target.with_suffix(".part")
    torch.onnx.export(
        Scaled().eval(), (torch.zeros(1, 3, patch, patch),), str(part), dynamo=True, external_data=False, verbose=False
    )
    model = onnx.load(part)
    names = {str(entry["id"]): entry["name"] for entry in shared.read_card(asked.weights)["legend"]}
    told = {
        "model_type": "Segmentor",
        "resolution": 10,
        "class_names": names,
        "tiles_overlap": 100 * asked.overlap_or(OVERLAP),
        "seg_thresh": -1e30,
        "seg_small_segment": 0,
    }
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in told.items()})
    onnx.save(model, part)
    part.replace(target)


if __name__ == "__main__":
    sys.exit(main())
