"""Peak memory and computed/scene of `predict` by scene size.

python benchmarks/memory.py --sides 4096 10000 20000
"""

from __future__ import annotations

import argparse
import json

from common import GEOSEG, WORK, machine, run_child, synthetic_scene, table


def main() -> None:
    """One run per size, each in its own process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 10_000, 20_000])
    rows = []
    for side in parser.parse_args().sides:
        scene = synthetic_scene(side)
        outputs = [f"-o{WORK / name}" for name in ("memory.tif", "memory.zarr")]
        run = run_child([*GEOSEG, "predict", str(scene), "-q", "--json", "--overwrite", "--restart", *outputs])
        data = json.loads(run.stdout)
        plan = data["plan"]
        rows.append(
            [
                f"{side} x {side}",
                f"{run.seconds:.0f}",
                f"{side * side / 1e6 / run.seconds:.2f}",
                f"{run.peak_rss_bytes / 1e9:.2f}",
                f"{plan['cost']['memory_bytes'] / 1e9:.2f}",
                f"{plan['cost']['seconds']:.0f}",
                f"{plan['computed_ratio']:.3f}",
            ]
        )
    print(f"{machine()}\n")
    print(
        table(
            ["scene px", "wall s", "Mpx/s", "peak RSS GB", "planned GB", "planned s", "computed/scene"],
            rows,
        )
    )


if __name__ == "__main__":
    main()
