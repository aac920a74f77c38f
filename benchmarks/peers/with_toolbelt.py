# /// script
# dependencies = ["pytorch-toolbelt==0.8.0"]
# [tool.geoseg]
# name = "pytorch-toolbelt"
# ///
"""pytorch-toolbelt: its slicer and merger, used as its manual does; the network in between is the user's.

python benchmarks/peers/with_toolbelt.py --scene SCENE --weights BUNDLE --out OUT.tif [--patch 512 --overlap 0.25]

Usual: tiles of 512 px at steps of 256, averaged, eight at a time, as in the manual. With ``--overlap`` given: its
pyramid weights. The manual cuts all tiles first (``split``); so does this.
"""

from __future__ import annotations

import numpy as np
import shared

BATCH = 8


def main() -> None:
    asked = shared.parse(__doc__)
    import torch
    from pytorch_toolbelt.inference.tiles import ImageSlicer, TileMerger

    network = shared.load_network(asked)
    image = np.ascontiguousarray(shared.read_scene(asked.scene).transpose(1, 2, 0))
    patch = asked.patch_or(512)
    step = patch - round(patch * asked.overlap_or(0.5))
    weight = "mean" if asked.overlap is None else "pyramid"
    slicer = ImageSlicer(image.shape, tile_size=(patch, patch), tile_step=(step, step), weight=weight)
    tiles = [torch.from_numpy(tile.transpose(2, 0, 1)) for tile in slicer.split(image)]
    merger = TileMerger(slicer.target_shape, shared.class_count(asked), slicer.weight)
    with torch.inference_mode():
        for first in range(0, len(tiles), BATCH):
            batch = torch.stack(tiles[first : first + BATCH]).float()
            merger.integrate_batch(network(batch), slicer.crops[first : first + BATCH])
        classes = merger.merge_().argmax(0).numpy()
    shared.write_classes(asked, slicer.crop_to_orignal_size(classes))


if __name__ == "__main__":
    main()
