# /// script
# dependencies = ["terratorch==1.2.11"]
# [tool.geoseg]
# name = "terratorch"
# ///
"""terratorch: its tiled inference over the whole scene in memory; needs Python 3.11 for this release.

python benchmarks/peers/with_terratorch.py --scene SCENE --weights BUNDLE --out OUT.tif [--patch 512 --overlap 0.25]

Usual: the function's defaults, chips of 224 px at steps of 192, 8 px of each chip's rim dropped, the rest blended, 16
at a time. With ``--patch`` given: four at a time.
"""

from __future__ import annotations

import shared


def main() -> None:
    asked = shared.parse(__doc__)
    import torch
    from terratorch.tasks.tiled_inference import tiled_inference

    network = shared.load_network(asked)
    pixels = torch.from_numpy(shared.read_scene(asked.scene).astype("float32"))[None]
    crop = asked.patch_or(224)
    stride = 192 if asked.patch is None else crop - round(crop * asked.overlap_or(0.25))
    batch = 16 if asked.patch is None else 4
    with torch.inference_mode():
        logits = tiled_inference(network, pixels, crop=crop, stride=stride, delta=8, batch_size=batch)
        classes = logits[0].argmax(0)
    shared.write_classes(asked, classes.numpy())


if __name__ == "__main__":
    main()
