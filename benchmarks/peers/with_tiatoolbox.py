# /// script
# dependencies = [
#   "defusedxml", "glymur", "imagecodecs", "joblib", "numba", "opencv-python<5", "openslide-bin", "openslide-python",
#   "pydicom", "scikit-image", "scikit-learn", "SimpleITK", "tifffile", "transformers", "umap-learn", "wsidicom",
#   "bokeh", "flask", "flask-cors", "ipywidgets", "matplotlib",
# ]
# [tool.geoseg]
# name = "tiatoolbox"
# bare = ["tiatoolbox==2.1.3"]
# ///
"""tiatoolbox: made for slides in pathology, reads TIFFs of any kind and spills to Zarr.

python benchmarks/peers/with_tiatoolbox.py --scene SCENE --weights BUNDLE --out OUT.tif [--patch 512 --overlap 0.25]

Usual: patches of 512 px side by side, averaged where they overlap; masking of tissue off. Its ceilings on versions
would replace torch and NumPy, so it is installed alone, and beside it what it imports. Its own output is Zarr; the
GeoTIFF that all write is made from that.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import shared

BATCH = 4


def main() -> None:
    asked = shared.parse(__doc__)
    import torch
    import zarr
    from tiatoolbox.models.engine.io_config import IOSegmentorConfig
    from tiatoolbox.models.engine.semantic_segmentor import SemanticSegmentor
    from tiatoolbox.models.models_abc import ModelABC

    class Model(ModelABC):
        """The network as tiatoolbox wants it: (N, h, w, 3) to (N, h, w, K)."""

        def __init__(self) -> None:
            super().__init__()
            self.network = shared.load_network(asked)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.network(pixels)
            return found

        @staticmethod
        def infer_batch(model: Any, batch_data: torch.Tensor, *, device: str) -> Any:
            with torch.inference_mode():
                return model(batch_data.to(device).permute(0, 3, 1, 2).float()).permute(0, 2, 3, 1).numpy()

        @staticmethod
        def postproc(image: Any) -> Any:
            return image.argmax(axis=-1)

    patch = asked.patch_or(512)
    stride = patch - round(patch * asked.overlap_or(0.0))
    baseline = [{"units": "baseline", "resolution": 1.0}]
    layout = IOSegmentorConfig(
        input_resolutions=baseline,
        output_resolutions=baseline,
        patch_input_shape=(patch, patch),
        patch_output_shape=(patch, patch),
        stride_shape=(stride, stride),
        save_resolution=baseline[0],
    )
    with tempfile.TemporaryDirectory(dir=asked.out.parent, prefix="tiatoolbox-") as folder:
        found = SemanticSegmentor(model=Model(), batch_size=BATCH, num_workers=0, device="cpu").run(
            images=[asked.scene],
            patch_mode=False,
            ioconfig=layout,
            save_dir=Path(folder) / "out",
            output_type="zarr",
            auto_get_mask=False,
            wsireader_kwargs={"mpp": (1.0, 1.0), "power": 10},
        )
        store = zarr.open(str(next(iter(found.values())) if isinstance(found, dict) else found), mode="r")
        shared.write_classes(asked, store["predictions"][:])


if __name__ == "__main__":
    main()
