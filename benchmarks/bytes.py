"""Bytes read over bytes of the scene: how often `predict` reads a local file.

    python benchmarks/bytes.py --sides 4096 10000
    python benchmarks/bytes.py --scene SCENE.tif

What a process reads is the kernel's count (``rchar`` of ``/proc/self/io``: every read, also those that memory serves),
taken from before the first tile to after the last, in a process that a run of another scene has warmed. So it holds the
scene, and the little that the store's own files are read; the model and Python's files were read before.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from common import WORK, machine, run_child, synthetic_scene, table


def measured(scene: str, warm: str) -> None:
    """The measured process: prints the bytes and the plan's patch and ratio as JSON."""
    import geoseg

    marks: list[int] = []

    def run(name: str) -> object:
        marks.clear()
        return geoseg.predict(
            name,
            outputs=[WORK / "bytes.zarr"],
            resolution="native",
            overwrite=True,
            restart=True,
            on_progress=lambda _: marks.append(_read_so_far()),
        )

    run(warm)
    plan = run(scene).plan.to_json()  # type: ignore[attr-defined]
    print(json.dumps({"read": marks[-1] - marks[0], "patch": plan["patch_size"], "ratio": plan["computed_ratio"]}))


def main() -> None:
    """One row per scene, each in its own process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="*", default=[4096])
    parser.add_argument("--scene", type=Path, nargs="*", default=[])
    asked = parser.parse_args()
    scenes = asked.scene or [synthetic_scene(side) for side in asked.sides]
    warm = synthetic_scene(1024)
    rows = []
    for scene in scenes:
        child = run_child([sys.executable, __file__, "measured", str(scene), str(warm)])
        found = json.loads(child.stdout.splitlines()[-1])
        size = scene.stat().st_size
        rows.append(
            [
                scene.name,
                f"{size / 1e6:.1f}",
                f"{found['read'] / 1e6:.1f}",
                f"{found['read'] / size:.3f}",
                " x ".join(str(side) for side in found["patch"]),
                f"{found['ratio']:.3f}",
            ]
        )
    print(f"{machine()}\n")
    print(table(["scene", "file MB", "read MB", "read / file", "patch px", "computed / scene"], rows))


def _read_so_far() -> int:
    """Bytes that this process has asked to read."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar:")).split()[1])


if __name__ == "__main__":
    if sys.argv[1:2] == ["measured"]:
        measured(sys.argv[2], sys.argv[3])
    else:
        main()
