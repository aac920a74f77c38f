"""`geoseg export` against polygonising the whole array at once: time, peak memory, number and area of polygons.

    python benchmarks/polygons.py --sides 2000 5000 10000
    python benchmarks/polygons.py --sides 2000 --options='--min-area 20' --options='--min-area 20 --simplify 2'

Class maps are what `geoseg predict` makes of synthetic scenes with the default model (1 m pixels), made once. The whole
array goes through rasterio.features.shapes, shapely and geopandas into a GeoPackage, as people do it; each run is a
process of its own.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from common import GEOSEG, WORK, Child, machine, run_child, synthetic_scene, table

_WHOLE = """
import sys, json, geopandas, rasterio, rasterio.features, shapely
with rasterio.open(sys.argv[1]) as raster:
    classes, transform, crs = raster.read(1), raster.transform, raster.crs
found = rasterio.features.shapes(classes, mask=classes != 255, connectivity=4, transform=transform)
ids, polygons = [], []
for geometry, value in found:
    ids.append(int(value))
    polygons.append(shapely.geometry.shape(geometry))
frame = geopandas.GeoDataFrame({"class_id": ids}, geometry=polygons, crs=crs)
frame.to_file(sys.argv[2], layer="classes", driver="GPKG")
print(json.dumps([len(frame), float(frame.area.sum()), int(shapely.get_num_coordinates(frame.geometry.array).sum())]))
"""

_COUNT = """
import sys, json, geopandas
frame = geopandas.read_file(sys.argv[1], layer="classes")
print(json.dumps([len(frame), float(frame.area.sum()), bool(frame.is_valid.all())]))
"""


def main() -> None:
    """Both ways per size, each in its own process, and the options asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[2000, 5000, 10_000])
    parser.add_argument("--options", action="append", default=[], help="of a further export: --options='--simplify 2'")
    parser.add_argument("--prepare", action="store_true", help="make the maps and stop")
    asked = parser.parse_args()
    rows = []
    for side in asked.sides:
        source = _class_map(side)
        if asked.prepare:
            continue
        whole_file, ours = WORK / "whole.gpkg", WORK / "ours.gpkg"
        whole_file.unlink(missing_ok=True)
        whole = run_child([sys.executable, "-c", _WHOLE, str(source), str(whole_file)])
        count, area, vertices = json.loads(whole.stdout)
        rows.append(_row(side, f"whole array ({vertices / 1e6:.1f} M vertices)", whole, count, area, ""))
        for options in ["", *asked.options]:
            made = run_child([*GEOSEG, "export", str(source), str(ours), "-q", "--overwrite", *shlex.split(options)])
            found, sum_of_areas, valid = json.loads(run_child([sys.executable, "-c", _COUNT, str(ours)]).stdout)
            same = "equal" if (found, sum_of_areas) == (count, area) else "other"
            rows.append(
                _row(side, f"geoseg export {options}".strip(), made, found, sum_of_areas, f"{same}, valid: {valid}")
            )
    if rows:
        header = [
            "map px",
            "way",
            "wall s",
            "CPU s",
            "peak RSS GB",
            "polygons",
            "area m2 (plane)",
            "against the whole array",
        ]
        print(f"{machine()}\n\n{table(header, rows)}")


def _row(side: int, way: str, run: Child, count: int, area: float, remark: str) -> list[str]:
    memory = f"{run.peak_rss_bytes / 1e9:.2f}"
    return [
        f"{side} x {side}",
        way,
        f"{run.seconds:.1f}",
        f"{run.cpu_seconds:.1f}",
        memory,
        f"{count:,}",
        f"{area:,.0f}",
        remark,
    ]


def _class_map(side: int) -> Path:
    """A prediction of a synthetic scene, made once."""
    path = WORK / f"classes_{side}.tif"
    if not path.exists():
        run_child([*GEOSEG, "predict", str(synthetic_scene(side)), "-o", str(path), "-q"])
    return path


if __name__ == "__main__":
    main()
