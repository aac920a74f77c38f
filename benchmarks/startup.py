"""Start-up: `geoseg --help` and `import geoseg`, whole processes, medians of 15.

python benchmarks/startup.py
"""

from __future__ import annotations

import sys

from common import GEOSEG, machine, median, run_child, table


def main() -> None:
    """Times them, alternating with an empty Python process."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import geoseg": [sys.executable, "-c", "import geoseg"],
        "geoseg --help": [*GEOSEG, "--help"],
    }
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(15):
        for name, command in commands.items():
            found[name].append(run_child(command).seconds)
    print(f"{machine()}\n")
    print(table(["process", "median s"], [[name, f"{median(times):.3f}"] for name, times in found.items()]))


if __name__ == "__main__":
    main()
