# /// script
# dependencies = ["geodeep==0.9.13", "onnxscript"]
# [tool.geoseg]
# name = "GeoDeep"
# prepare = "onnx_export.py"
# reference = "median 5"
# ///
"""GeoDeep: reads windows of the file, runs ONNX Runtime on them, one at a time.

python benchmarks/peers/onnx_export.py --scene SCENE --weights BUNDLE --out OUT.tif [--patch 512 --overlap 0.25]
python benchmarks/peers/with_geodeep.py --scene SCENE --weights BUNDLE --out OUT.tif [--patch 512 --overlap 0.25]

The first line writes the network as ONNX, once; its time is not the peer's. Patch and overlap are the model file's.
Usual: its own default of 5 % overlap, patches of 512 px. GeoDeep always runs a 5 x 5 median over its map; its sieve of
small segments is off here (``onnx_export.py``), so that the map can be compared at all.
"""

from __future__ import annotations

import shared

PATCH, OVERLAP = 512, 0.05


def main() -> None:
    asked = shared.parse(__doc__)
    from geodeep.geodeep import segment

    model = shared.onnx_path(asked, patch=PATCH, overlap=OVERLAP)
    if not model.exists():
        raise SystemExit(f"{model} is not there: run onnx_export.py with the same options first")
    # 0.01 cm per pixel: no scene is finer, so it is read as it is
    shared.write_classes(asked, segment(str(asked.scene), str(model), output_type="raw", resolution=0.01))


if __name__ == "__main__":
    main()
