# /// script
# dependencies = ["tiler==0.6.0"]
# [tool.geoseg]
# name = "tiler"
# ///
"""tiler: tiles and merges arrays; the network in between is the user's.

python benchmarks/peers/with_tiler.py --scene SCENE --weights BUNDLE --out OUT.tif [--patch 512 --overlap 0.25]

Usual: half a tile of overlap and a Hamming window, as in its examples; tiles of 512 px, four at a time.
"""

from __future__ import annotations

import numpy as np
import shared

BATCH = 4


def main() -> None:
    asked = shared.parse(__doc__)
    import torch
    from tiler import Merger, Tiler

    network = shared.load_network(asked)
    pixels = shared.read_scene(asked.scene).astype(np.float32)
    patch = asked.patch_or(512)
    tiler = Tiler(
        data_shape=pixels.shape,
        tile_shape=(3, patch, patch),
        overlap=asked.overlap_or(0.5),
        channel_dimension=0,
        mode="reflect",
    )
    # the merger's tiles have no bands but classes in front, so it gets a tiler of the plane
    plane = Tiler(data_shape=pixels.shape[1:], tile_shape=(patch, patch), overlap=asked.overlap_or(0.5), mode="reflect")
    merger = Merger(plane, window="hamming", logits=shared.class_count(asked))
    with torch.inference_mode():
        for number, batch in tiler(pixels, batch_size=BATCH):
            merger.add_batch(number, BATCH, network(torch.from_numpy(batch)).numpy())
    shared.write_classes(asked, merger.merge(argmax=True))


if __name__ == "__main__":
    main()
