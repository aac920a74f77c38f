"""Runtimes side by side: start-up, megapixels per second by patch size, and how far their classes agree.

    python benchmarks/runtimes.py --scene SCENE [--runtimes eager,openvino] [--sides 512,768,1024] [--rounds 5]

Each runtime is a process of its own that stays, so that no other's idle threads disturb it; they take turns, patch size
by patch size, on the same patches of a scene (a synthetic one without --scene), in the planner's batches. ``plain`` is
eager without folded batch norms; ``eager-bf16`` and ``eager-fp16`` are autocast. Start-up counts from a process's start
to its first answer at the first size. Figures are medians of the rounds. CPU seconds say more than wall time where
others use the machine; efficiency is from them: multiply-adds per second on all threads as a share of
``machine.macs_per_second()``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from common import machine, median, synthetic_scene, table

RUNTIMES = ("plain", "eager", "compile", "openvino")
PIXELS = 1_500_000
"""Of the patches that are timed at once."""
BATCH_PIXELS = 1_200_000
"""The planner's, on a CPU."""


def work(name: str, patches: str, threads: int) -> None:
    """A runtime's process: for every side that it is told, the seconds of a pass; classes and margins are kept."""
    predictor = _predictor(name, threads)
    for line in sys.stdin:
        pixels = np.load(f"{patches}/{int(line)}.npy")
        valid = np.ones((len(pixels), *pixels.shape[2:]), bool)
        batch = max(1, BATCH_PIXELS // (pixels.shape[2] * pixels.shape[3]))
        started, busy = time.perf_counter(), time.process_time()
        parts = [slice(k, k + batch) for k in range(0, len(pixels), batch)]
        logits = [predictor.logits(pixels[part], valid[part]) for part in parts]
        seconds, busy = time.perf_counter() - started, time.process_time() - busy
        np.save(f"{patches}/{name}-{int(line)}.npy", np.concatenate([np.asarray(each) for each in logits]))
        print(seconds, busy, flush=True)


def _predictor(name: str, threads: int):  # type: ignore[no-untyped-def]
    from geoseg.models.bundle import open_bundle
    from geoseg.models.runtimes import make_predictor

    bundle = open_bundle()
    runtime, _, precision = name.partition("-")
    if runtime != "openvino":
        import torch

        torch.set_num_threads(threads)
    if runtime == "plain":
        from geoseg.models.runtimes.eager import EagerPredictor

        card = bundle.card
        return EagerPredictor(bundle.load_network(), normalisation=card.normalisation, multiple=card.multiple)
    return make_predictor(bundle, runtime=runtime, precision=precision or "fp32", threads=threads)


class Turn:
    """A runtime's process."""

    def __init__(self, name: str, folder: Path, *, threads: int) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, __file__, "work", name, str(folder), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},  # threads that spin look busy
        )

    def run(self, side: int) -> tuple[float, float]:
        """Wall and CPU seconds of all patches of a side."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(side, file=self._process.stdin, flush=True)
        wall, busy = self._process.stdout.readline().split()
        return float(wall), float(busy)

    def close(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def cut_patches(scene: Path, sides: list[int], folder: Path) -> None:
    """Patches of each side from the scene's middle, row by row, about ``PIXELS`` in all."""
    from geoseg.geometry.windows import Window
    from geoseg.raster.reading import read_window
    from geoseg.raster.scene import inspect_scene

    info = inspect_scene(str(scene), bands=3)
    height, width = info.geobox.shape
    for side in sides:
        across = max(1, min(width // side, 3))
        count = max(1, round(PIXELS / side**2))
        found = []
        for k in range(count):
            row, col = divmod(k, across)
            top, left = (height // 4 + row * side) % max(1, height - side), col * side
            found.append(read_window(info.recipe, Window(row_off=top, col_off=left, height=side, width=side))[0])
        np.save(folder / f"{side}.npy", np.stack(found))


def main() -> None:
    """Takes turns and prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scene", type=Path)
    parser.add_argument("--runtimes", default=",".join(RUNTIMES))
    parser.add_argument("--sides", default="512,768,1024")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    from geoseg.inference.machine import core_count, macs_per_second
    from geoseg.models.bundle import open_bundle

    sides = [int(side) for side in asked.sides.split(",")]
    names = asked.runtimes.split(",")
    macs = open_bundle().card.macs_per_pixel or 0.0
    with tempfile.TemporaryDirectory(prefix="geoseg-runtimes-") as place:
        folder = Path(place)
        cut_patches(asked.scene or synthetic_scene(2048), sides, folder)
        pixels = {side: int(np.prod(np.load(folder / f"{side}.npy").shape)) // 3 for side in sides}
        turns, start = [], {}
        for name in names:
            begun = time.perf_counter()
            turns.append(Turn(name, folder, threads=asked.threads))
            turns[-1].run(sides[0])
            start[name] = time.perf_counter() - begun
            for side in sides[1:]:
                turns[-1].run(side)
        found: dict[tuple[str, int], list[tuple[float, float]]] = {(name, side): [] for name in names for side in sides}
        for _ in range(asked.rounds):
            for side in sides:
                for turn in turns:
                    found[turn.name, side].append(turn.run(side))
        for turn in turns:
            turn.close()
        rate = macs_per_second() / core_count() * asked.threads
        rows = []
        for name, side in found:
            wall, busy = (median([each[i] for each in found[name, side]]) for i in (0, 1))
            pairs = zip(found[names[0], side], found[name, side], strict=True)
            ratio = median([first[0] / other[0] for first, other in pairs])
            logits = [np.load(folder / f"{each}-{side}.npy") for each in (names[0], name)]
            equal, margin = agreement(*logits)
            area = pixels[side] / 1e6
            rows.append([name, f"{start[name]:.1f}", side, f"{area / wall:.2f}", f"{ratio:.2f}", f"{busy / area:.2f}",
                         f"{macs * pixels[side] / (busy / asked.threads) / rate:.2f}", f"{equal:.4%}",
                         f"{margin:.1e}"])  # fmt: skip
    print(f"{machine()}; {asked.threads} threads, {asked.rounds} rounds; {asked.scene or 'synthetic'}\n")
    header = ["runtime", "start-up s", "patch px", "Mpx/s", f"times {names[0]}", "CPU s/Mpx", "efficiency",
              "classes equal", "largest margin"]  # fmt: skip
    print(table(header, rows))


def agreement(truth: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Share of pixels of equal class, and where they differ the largest lead of the true one's logit."""
    best = truth.argmax(axis=1)
    other = found.argmax(axis=1)
    differ = best != other
    if not differ.any():
        return 1.0, 0.0
    lead = np.take_along_axis(truth, best[:, None], axis=1) - np.take_along_axis(truth, other[:, None], axis=1)
    return float(1 - differ.mean()), float(lead[:, 0][differ].max())


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
