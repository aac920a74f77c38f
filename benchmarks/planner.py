"""Predicted against measured time: plans scenes of several sizes, runs them, prints one over the other.

    python benchmarks/planner.py [--sides 2048 4096] [--scene REAL.tif ...] [--rounds 1] [--probe]

Whole processes of `geoseg predict`, start-up, reading and the GeoTIFF included; the prediction is that of the plan that
the run itself made. `free` is the share of the machine that other work left before and after: predictions count what
there was before, so on a busy machine look at processor seconds too. Those are foretold by a plan for a free machine:
all its cores at work, but one at the start. With --probe the default model is probed first.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
from unittest.mock import patch

from common import GEOSEG, WORK, machine, median, run_child, synthetic_scene, table

import geoseg
from geoseg.inference import machine as machine_room
from geoseg.inference.machine import free_share
from geoseg.inference.runtime_choice import SPEEDS


def main() -> None:
    """One row per scene and round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="*", default=[2048, 4096])
    parser.add_argument("--scene", dest="scenes", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--probe", action="store_true")
    asked = parser.parse_args()
    if asked.probe:
        run_child([*GEOSEG, "model", "probe", "--force", "--json", "-q"])
    scenes = [*(str(synthetic_scene(side)) for side in asked.sides), *asked.scenes]
    outputs = [WORK / "planner.tif", WORK / "planner.zarr"]
    rows, ratios, work = [], [], []
    for number in range(asked.rounds):
        for scene in scenes:
            for path in outputs:
                shutil.rmtree(path, ignore_errors=True) if path.suffix == ".zarr" else path.unlink(missing_ok=True)
            quiet = _on_a_free_machine(scene)
            before, spent = free_share(0.5), _processor_seconds()
            ours = run_child([*GEOSEG, "predict", scene, "-q", "--json", "--restart", *(f"-o{p}" for p in outputs)])
            spent = _processor_seconds() - spent
            found = json.loads(ours.stdout)
            plan, busy = found["plan"], found["seconds"]
            predicted = plan["cost"]["seconds"]
            ratios.append(predicted / ours.seconds)
            work.append(quiet / spent)
            row = [number + 1, scene.rsplit("/", 1)[-1], plan["patch_size"], f"{found['computed_pixels'] / 1e6:.1f}",
                   f"{predicted:.1f}", f"{ours.seconds:.1f}", f"{ratios[-1]:.2f}", f"{quiet:.0f}", f"{spent:.0f}",
                   f"{quiet / spent:.2f}", f"{busy['compute']:.1f}",
                   f"{busy['finish']:.1f}", f"{before:.0%} {free_share(0.5):.0%}", plan["timing"]]  # fmt: skip
            rows.append(row)
            print(*row, file=sys.stderr, flush=True)
    print(f"{machine()}\n")
    header = ["round", "scene", "patch px", "Mpx computed", "predicted s", "measured s", "predicted / measured",
              "predicted processor s", "processor s", "predicted / measured processor s",
              "compute busy s", "finish s", "free", "by"]  # fmt: skip
    print(table(header, rows))
    print(
        f"\nmedian {median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f};"
        f" of processor time {median(work):.2f}, from {min(work):.2f} to {max(work):.2f}"
    )


def _on_a_free_machine(scene: str) -> float:
    """Processor seconds that a run would take, by its plan."""
    with patch.object(machine_room, "free_share", lambda: 1.0):
        made = geoseg.plan(scene)
    assert made.cost.seconds is not None
    start = SPEEDS[made.runtime].start
    return start + (made.cost.seconds - start) * made.threads


def _processor_seconds() -> float:
    """Of the children that ended so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
