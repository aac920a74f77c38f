"""What the ways of choosing contexts cost and give: `auto`, several fused, adaptive at several budgets.

    python benchmarks/modes.py                     dubai tile4 of the real scenes, the default model
    python benchmarks/modes.py SCENE REFERENCE [BUNDLE] [--rounds 3]

Whole processes of `geoseg predict`, alternating, so that the machine's moods meet all alike. Seconds are medians of the
rounds: the computing alone, and the whole process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from common import GEOSEG, machine, median, run_child, table

REAL = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "dubai"

MODES = {
    "auto": [],
    "2 fused": ["--contexts", "2"],
    "3 fused": ["--contexts", "3"],
    "3 fused, equal weights": ["--contexts", "3", "--fuse", "equal"],
    "adaptive, budget 1.25": ["--contexts", "adaptive", "--budget", "1.25"],
    "adaptive, budget 1.5": ["--contexts", "adaptive", "--budget", "1.5"],
    "adaptive, budget 2": ["--contexts", "adaptive", "--budget", "2"],
}


def main() -> None:
    """Runs all modes in turn, round after round, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", nargs="?", default=str(REAL / "tile4.tif"))
    parser.add_argument("reference", nargs="?", default=str(REAL / "tile4_mask.png"))
    parser.add_argument("model", nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    found: dict[str, list[dict[str, object]]] = {name: [] for name in MODES}
    with tempfile.TemporaryDirectory(prefix="geoseg-modes-") as folder:
        target = str(Path(folder) / "map.zarr")
        command = [*GEOSEG, "predict", asked.scene, "-o", target, "-r", asked.reference, "--json", "-q", "--overwrite"]
        command += ["--model", asked.model] if asked.model else []
        for _ in range(asked.rounds):
            for name, options in MODES.items():
                child = run_child([*command, *options])
                found[name].append({**json.loads(child.stdout), "wall": child.seconds})
    print(f"{machine()}; {asked.rounds} alternating rounds\n")
    print(table(["mode", "contexts", "mIoU", "computed / scene", "compute, s", "process, s"], _rows(found)))


def _rows(found: dict[str, list[dict[str, object]]]) -> list[list[str]]:
    rows = []
    for name, runs in found.items():
        first: dict = runs[0]  # type: ignore[type-arg]
        plan = first["plan"]
        rows.append(
            [
                name,
                " + ".join(str(c["size"]) for c in plan["contexts"]),
                f"{first['metrics']['miou']:.4f}",
                f"{first['computed_pixels'] / plan['scene_pixels']:.3f}",
                f"{median([run['seconds']['compute'] for run in runs]):.1f}",  # type: ignore[index]
                f"{median([run['wall'] for run in runs]):.1f}",  # type: ignore[misc]
            ]
        )
    return rows


if __name__ == "__main__":
    main()
