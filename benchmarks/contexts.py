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
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common import WORK

if TYPE_CHECKING:
    from contexts_cells import Job
    from contexts_grid import Preset

ROOT = Path(__file__).resolve().parent.parent
OUT = WORK / "contexts"
_CHANGED = ("steps", "threads", "seeds", "pixel_budget")


def main() -> None:
    """Prepares, trains, tests, tabulates: as much as was asked for."""
    asked = _parser().parse_args()
    preset = _preset(asked)
    chosen = [c.name for c in preset.cells if not asked.cell or any(fnmatch.fnmatch(c.name, p) for p in asked.cell)]
    if not chosen:
        raise SystemExit(f"no cell is called {' or '.join(asked.cell)}; --list names them")
    if asked.list:
        print("\n".join(chosen))
        return
    if preset.threads:
        os.environ["OMP_NUM_THREADS"] = str(preset.threads)  # of this process, before torch, and of its children
    from contexts_cells import Job
    from contexts_scenes import dataset, prepare
    from contexts_table import report

    folder = asked.out / preset.name
    datasets = {name: dataset(name, data=asked.data, scenes=asked.out / "scenes") for name in preset.datasets}
    grid = [
        Job(cell=c, preset=preset, dataset=datasets[c.dataset], folder=folder / "cells" / c.name) for c in preset.cells
    ]
    jobs = [job for job in grid if job.cell.name in chosen]
    if not asked.table:
        for name in sorted({job.cell.dataset for job in jobs}):
            prepare(datasets[name], data=asked.data)
    if asked.prepare:
        return
    failed = [] if asked.table else _work(jobs, train_only=asked.train_only)
    if not asked.train_only:
        standing = ROOT / "benchmarks" / "contexts.md"
        page = asked.page or (standing if asked.out == OUT and preset.name != "smoke" else folder / "contexts.md")
        part = page.with_name(f".{page.name}.part")
        part.write_text(report(grid, preset=preset, datasets=datasets), encoding="utf-8")
        part.replace(page)
        print(f"wrote {page}")
    if failed:
        raise SystemExit("\n".join(failed))


def _work(jobs: Sequence[Job], *, train_only: bool) -> list[str]:
    """Does what is missing of each cell that no other process holds; returns what failed, one line each."""
    from contexts_cells import evaluate, taken, train

    failed: list[str] = []
    for job in jobs:
        with taken(job) as mine:
            print(f"{job.cell.name}{'' if mine else ': another process is at it'}", flush=True)
            if not mine:
                continue
            try:
                train(job)
            except SystemExit as error:  # the child said why on stderr
                failed.append(f"{job.cell.name}: {error}")
                continue
            if not train_only:
                failed += evaluate(job)
    return failed


def _preset(asked: argparse.Namespace) -> Preset:
    """The preset with what the command line changes of it."""
    from contexts_grid import PRESETS

    changes = {key: getattr(asked, key) for key in _CHANGED if getattr(asked, key) is not None}
    if "seeds" in changes:
        changes["seeds"] = tuple(changes["seeds"])
    return dataclasses.replace(PRESETS[asked.preset], **changes)


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
    parser.add_argument("--out", type=Path, default=OUT, help="where everything is kept")
    parser.add_argument("--page", type=Path, help="the table, in place of benchmarks/contexts.md")
    return parser


if __name__ == "__main__":
    main()
