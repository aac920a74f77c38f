# /// script
# dependencies = ["omnicloudmask==1.8.1"]
# [tool.geoseg]
# name = "OmniCloudMask"
# ///
"""OmniCloudMask: made for clouds, takes any network; the whole scene in memory.

python benchmarks/peers/with_omnicloudmask.py --scene SCENE --weights BUNDLE --out OUT.tif [--patch 512 --overlap 0.25]

Usual: its defaults, patches of 1000 px (992 here, what the network takes) with an overlap of 300, one at a time. It
normalises every patch by that patch's own mean and deviation, which cannot be turned off, so the network gets other
pixels than elsewhere: most of its disagreement with full-frame inference comes from that, not from seams.
"""

from __future__ import annotations

import shared


def main() -> None:
    asked = shared.parse(__doc__)
    from omnicloudmask import predict_from_array

    network = shared.load_network(asked).network  # without the normalisation of the bundle
    patch = asked.patch_or(992)
    overlap = 300 if asked.overlap is None else round(patch * asked.overlap)
    classes = predict_from_array(
        shared.read_scene(asked.scene),
        patch_size=patch,
        patch_overlap=overlap,
        custom_models=[network],
        pred_classes=shared.class_count(asked),
        no_data_value=-1,
        inference_device="cpu",
    )
    shared.write_classes(asked, classes[0])


if __name__ == "__main__":
    main()
