# /// script
# dependencies = ["rastervision-core==0.31.1", "rastervision-pytorch-learner==0.31.1"]
# [tool.geoseg]
# name = "Raster Vision"
# ///
"""Raster Vision: its sliding-window dataset and its labels, used as in its tutorial on prediction.

python benchmarks/peers/with_rastervision.py --scene SCENE --weights BUNDLE --out OUT.tif [--patch 512 --overlap 0.25]

Usual: discrete labels (votes), windows of 512 px side by side, as in the tutorial (which takes 325). With ``--overlap``
given: smooth labels (summed scores), its way to blend.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import shared

BATCH = 4


def main() -> None:
    asked = shared.parse(__doc__)
    import torch
    from rastervision.core.data import SemanticSegmentationLabels
    from rastervision.pytorch_learner import SemanticSegmentationSlidingWindowGeoDataset
    from torch.utils.data import DataLoader

    network = shared.load_network(asked)
    patch = asked.patch_or(512)
    smooth = asked.overlap is not None
    stride = patch - round(patch * asked.overlap_or(0.0))
    windows = SemanticSegmentationSlidingWindowGeoDataset.from_uris(
        image_uri=str(asked.scene), size=patch, stride=stride, normalize=False
    )

    def predictions() -> Iterator[Any]:
        with torch.inference_mode():
            for pixels, _ in DataLoader(windows, batch_size=BATCH):
                scores = network(pixels[:, :3])
                yield from (scores.softmax(1) if smooth else scores.argmax(1)).numpy()

    classes = shared.class_count(asked)
    extent = windows.scene.extent
    labels = SemanticSegmentationLabels.from_predictions(
        windows.windows, predictions(), extent=extent, num_classes=classes, smooth=smooth
    )
    shared.write_classes(asked, labels.get_label_arr(extent))


if __name__ == "__main__":
    main()
