"""Start-up: `geoseg --help` and `import geoseg`, whole processes; and how soon the first tile is computed.

    python benchmarks/startup.py

Medians of 15 processes, which alternate. The last rows are a `predict` of a 1024 px scene that ends where its first
tile's patches are about to be run, by runtime, OpenVINO's copy of the model in the cache; medians of 5.
"""

from __future__ import annotations

import sys

from common import GEOSEG, WORK, machine, median, run_child, synthetic_scene, table

FIRST_TILE = """
import os, sys
import geoseg
from geoseg.inference import segment

segment.Engine.run = lambda *_, **__: os._exit(0)
geoseg.predict(sys.argv[1], outputs=sys.argv[2], runtime=sys.argv[3], restart=True, overwrite=True)
raise SystemExit("no tile was computed")
"""


def main() -> None:
    """Times them, alternating with an empty Python process."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import geoseg": [sys.executable, "-c", "import geoseg"],
        "geoseg --help": [*GEOSEG, "--help"],
    }
    rows = _medians(commands, rounds=15)
    scene, out = str(synthetic_scene(1024)), str(WORK / "startup.zarr")
    run_child([*GEOSEG, "predict", scene, "-o", out, "--runtime", "openvino", "--restart", "--overwrite", "-q"])
    first = {
        f"first tile, {name}": [sys.executable, "-c", FIRST_TILE, scene, out, name] for name in ("openvino", "eager")
    }
    rows += _medians(first, rounds=5)
    print(f"{machine()}\n")
    print(table(["process", "median s"], rows))


def _medians(commands: dict[str, list[str]], *, rounds: int) -> list[list[str]]:
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found[name].append(run_child(command).seconds)
    return [[name, f"{median(times):.3f}"] for name, times in found.items()]


if __name__ == "__main__":
    main()
