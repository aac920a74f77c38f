"""Peak memory and time of `geoseg report` by the size of the map, without and with a reference.

    python benchmarks/report.py --sides 5000 10000 20000

Maps and their truths are synthetic, at 1 m. What made the map changes nothing, so a network of one 1 x 1 convolution
makes it, with a confidence layer, once.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from common import GEOSEG, WORK, machine, run_child, table

_MAP = """
import sys, geoseg, torch
from geoseg.synthesis.legend import LEGEND
torch.manual_seed(1)
network = torch.nn.Sequential(torch.nn.Conv2d(3, len(LEGEND), 1))
geoseg.predict(sys.argv[1], outputs=sys.argv[2], model=network, legend=LEGEND, patch_size=512, confidence=True,
               runtime="eager", device="cpu", overwrite=True)
"""


def main() -> None:
    """Two reports per size, each in its own process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[5000, 10_000, 20_000])
    asked = parser.parse_args()
    rows = []
    for side in asked.sides:
        classes, truth = _map(side)
        for name, more in (("", []), ("--reference", ["--reference", str(truth)])):
            page = WORK / "report.html"
            run = run_child([*GEOSEG, "report", str(classes), "-o", str(page), "-q", "--json", "--overwrite", *more])
            assert json.loads(run.stdout)["outputs"] == [str(page)]
            size = f"{page.stat().st_size / 1e6:.1f}"
            peak = f"{run.peak_rss_bytes / 1e9:.2f}"
            rows.append([f"{side} x {side}", name, f"{run.seconds:.0f}", f"{run.cpu_seconds:.0f}", peak, size])
    print(f"{machine()}\n\n{table(['map px', 'with', 'wall s', 'CPU s', 'peak RSS GB', 'page MB'], rows)}")


def _map(side: int) -> tuple[Path, Path]:
    """A store and its truth, made once."""
    WORK.mkdir(parents=True, exist_ok=True)
    scene, truth, classes = (WORK / f"report_{side}{end}" for end in (".tif", "_truth.tif", ".zarr"))
    if not (scene.exists() and truth.exists()):
        size = f"{side}x{side}"
        run_child([*GEOSEG, "synth", str(scene), "--size", size, "--truth", str(truth), "-q", "--overwrite"])
    if not classes.exists():
        run_child([sys.executable, "-c", _MAP, str(scene), str(classes)])
    return classes, truth


if __name__ == "__main__":
    main()
