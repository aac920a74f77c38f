"""Megapixels a second by patch size, in every runtime there is.

    python benchmarks/patches.py [--sizes 256 512 1024] [--runtimes eager openvino] [--model BUNDLE] [--rounds 3]

A predictor as `predict` uses it: stored pixels in, logits out, normalisation included, one patch a batch. Each runtime
has a process of its own, and processes alternate by rounds; within one, every size is warmed and then timed. Figures
are medians of the rounds' medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any

from common import machine, median, run_child, table

SIZES = (256, 384, 512, 768, 1024, 1280, 1536)
RUNTIMES = ("eager", "openvino", "compile")
CALLS = 3


def timed(asked: dict[str, Any]) -> None:
    """The measured process: prints the median seconds of each size as JSON, or why there are none."""
    import numpy as np

    from geoseg.models.bundle import open_bundle

    try:
        predictor = _predictor(open_bundle(asked["model"]), runtime=asked["runtime"])
    except (ImportError, ValueError, RuntimeError) as error:
        print(json.dumps({"reason": " ".join(str(error).split())}))
        return
    found = {}
    for size in asked["sizes"]:
        pixels = np.random.default_rng(0).integers(0, 256, (1, 3, size, size), dtype=np.uint8)
        valid = np.ones((1, size, size), bool)
        times = []
        for _ in range(CALLS + 1):
            started = time.perf_counter()
            predictor.logits(pixels, valid)
            times.append(time.perf_counter() - started)
        found[size] = statistics.median(times[1:])
    print(json.dumps(found))


def _predictor(bundle: Any, *, runtime: str) -> Any:
    """A predictor on the CPU."""
    from geoseg.inference.machine import core_count

    try:
        from geoseg.models.runtimes import make_predictor
    except ImportError:  # a geoseg of eager PyTorch only
        from geoseg.models.runtime import make_predictor as make_eager

        if runtime != "eager":
            raise ImportError("this geoseg has no such runtime") from None
        return make_eager(bundle)
    return make_predictor(bundle, device="cpu", runtime=runtime, threads=core_count())


def main() -> None:
    """One row per size, one column per runtime."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--runtimes", nargs="+", default=list(RUNTIMES))
    parser.add_argument("--model")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in asked.runtimes}
    reasons: dict[str, str] = {}
    for number in range(asked.rounds):
        for name in asked.runtimes if number % 2 == 0 else reversed(asked.runtimes):
            if name in reasons:
                continue
            order = json.dumps({"model": asked.model, "runtime": name, "sizes": asked.sizes})
            answer = json.loads(run_child([sys.executable, __file__, "timed", order]).stdout.splitlines()[-1])
            if "reason" in answer:
                reasons[name] = answer["reason"]
            else:
                found[name].append(answer)
    names = [name for name in asked.runtimes if found[name]]
    rows = [
        [size, *(f"{size * size / 1e6 / median([run[str(size)] for run in found[name]]):.2f}" for name in names)]
        for size in asked.sizes
    ]
    print(f"{machine()}; {asked.rounds} alternating rounds\n")
    print(table(["patch px", *(f"{name}, Mpx/s" for name in names)], rows))
    for name, reason in reasons.items():
        print(f"\n{name}: {reason}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["timed"]:
        timed(json.loads(sys.argv[2]))
    else:
        main()
