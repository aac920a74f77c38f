"""The evidence for contexts: one network and budget, trained with single sizes and with the dynamic distributions.

    python benchmarks/contexts.py --preset cpu       a MobileNetV2 U-Net at half resolution: hours on two cores
    python benchmarks/contexts.py --preset gpu       the full grid
    python benchmarks/contexts.py --preset cpu --table

Cell by cell (dataset, network, training distribution, seed): train, calibrate on a held-out place, test on another at
every size, with fusion and adaptively. Everything lies in `runs/benchmarks/contexts/PRESET`; what is there is not made
again, so the same command goes on after a stop, a training from its last checkpoint. Several processes of the same
command share the grid. The table, `benchmarks/contexts.md`, is made of what is finished and says what is missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import os
from pathlib import Path

from common import WORK

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Prepares, trains, tests, tabulates: as much as was asked for."""
    asked = _parser().parse_args()
    from contexts_grid import PRESETS

    preset = PRESETS[asked.preset]
    changes = {k: getattr(asked, k) for k in ("steps", "threads", "seeds", "pixel_budget") if getattr(asked, k)}
    preset = dataclasses.replace(preset, **changes)
    cells = [c for c in preset.cells if not asked.cell or any(fnmatch.fnmatch(c.name, p) for p in asked.cell)]
    if not cells:
        raise SystemExit(f"no cell is called {' or '.join(asked.cell)}; --list names them")
    if asked.list:
        print("\n".join(cell.name for cell in cells))
        return
    if preset.threads:
        os.environ["OMP_NUM_THREADS"] = str(preset.threads)  # of this process, before torch, and of its children
    from contexts_cells import Job, taken, train
    from contexts_scenes import dataset, prepare

    folder = asked.out / preset.name
    datasets = {name: dataset(name, data=asked.data, scenes=asked.out / "scenes") for name in preset.datasets}
    jobs = [Job(cell=c, preset=preset, dataset=datasets[c.dataset], folder=folder / "cells" / c.name) for c in cells]
    for name in {c.dataset for c in cells}:
        prepare(datasets[name], data=asked.data)
    if asked.prepare:
        return
    for job in jobs:
        with taken(job) as mine:
            print(f"{job.cell.name}{'' if mine else ': another process is at it'}", flush=True)
            if mine:
                train(job)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=("cpu", "gpu", "smoke"), required=True)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--prepare", action="store_true", help="only make the scenes")
    only.add_argument("--train-only", action="store_true", help="train, test nothing")
    only.add_argument("--table", action="store_true", help="only make the table of what is finished")
    only.add_argument("--list", action="store_true", help="only name the cells")
    parser.add_argument("--cell", action="append", default=[], metavar="NAME", help="only this cell; * and ? match")
    parser.add_argument("--steps", type=int, help="training steps, in place of the preset's")
    parser.add_argument("--pixel-budget", type=int, help="input pixels of a training step, in place of the preset's")
    parser.add_argument("--threads", type=int, help="of training and testing, in place of the preset's")
    parser.add_argument("--seeds", type=int, nargs="+", help="in place of the preset's")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the real scenes")
    parser.add_argument("--out", type=Path, default=WORK / "contexts", help="where everything is kept")
    return parser


if __name__ == "__main__":
    main()
