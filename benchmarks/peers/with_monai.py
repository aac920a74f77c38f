# /// script
# dependencies = ["monai==1.6.1"]
# [tool.geoseg]
# name = "MONAI"
# ///
"""MONAI: its sliding window over the whole scene in memory.

python benchmarks/peers/with_monai.py --scene SCENE --weights BUNDLE --out OUT.tif [--patch 512 --overlap 0.25]

Usual: patches of 512 px, four at a time, a quarter overlap, averaged (the function's own defaults for both). With
``--overlap`` given: gaussian weights, which is what its users take for smooth seams.
"""

from __future__ import annotations

import shared


def main() -> None:
    asked = shared.parse(__doc__)
    import torch
    from monai.inferers import sliding_window_inference

    network = shared.load_network(asked)
    pixels = torch.from_numpy(shared.read_scene(asked.scene).astype("float32"))[None]
    patch = asked.patch_or(512)
    mode = "constant" if asked.overlap is None else "gaussian"
    with torch.inference_mode():
        logits = sliding_window_inference(pixels, (patch, patch), 4, network, overlap=asked.overlap_or(0.25), mode=mode)
        classes = logits[0].argmax(0)
    shared.write_classes(asked, classes.numpy())


if __name__ == "__main__":
    main()
