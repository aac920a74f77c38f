"""End-to-end `predict` against the bare forward passes of the same patches in the same runtime.

    python benchmarks/overhead.py --side 10000 --rounds 3 [--runtime openvino]

Both are whole processes and alternate. The bare one imports the runtime, loads the network, and runs as many patches of
the plan's size as the plan has, on random pixels, normalisation included, as many at once as the runtime takes; it
reads, stitches and writes nothing. Where a runtime takes several, a plain loop, one patch after the other on all
threads, runs beside it. Told
are wall seconds of each, and the median of the rounds' ratios, once against the bare process and once against its
forward passes alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time

from common import GEOSEG, WORK, machine, median, run_child, synthetic_scene, table

KEYS = ("threads", "patch_size", "batch_size", "patches", "runtime")
"""Of a plan: what the bare process is told."""


def bare(plan_json: str, callers: int) -> None:
    """The bare process: prints the seconds of its forward passes; ``callers`` 0: as many at once as the plan's run."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from geoseg.models.batching import streams_of
    from geoseg.models.bundle import open_bundle
    from geoseg.models.runtimes import make_predictor

    plan = json.loads(plan_json)
    if plan["runtime"] != "openvino":
        import torch

        torch.set_num_threads(plan["threads"])
    streams = callers or streams_of(plan["runtime"], plan["threads"])
    predictor = make_predictor(open_bundle(), runtime=plan["runtime"], threads=plan["threads"], streams=streams)
    height, width = plan["patch_size"]
    batch = plan["batch_size"]
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 3, height, width), dtype=np.uint8)
    valid = np.ones((batch, height, width), bool)

    def work(_: int) -> None:
        predictor.logits(pixels, valid)

    started = time.perf_counter()
    if streams == 1:  # PyTorch's threads are this thread's own
        for number in range(-(-plan["patches"] // batch)):
            work(number)
    else:
        with ThreadPoolExecutor(streams) as pool:
            for done in [pool.submit(work, number) for number in range(-(-plan["patches"] // batch))]:
                done.result()
    print(time.perf_counter() - started)


def main() -> None:
    """Alternates the two and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runtime", default="auto")
    asked = parser.parse_args()
    running = ["--runtime", asked.runtime]
    scene = synthetic_scene(asked.side)
    outputs = [WORK / "overhead.tif", WORK / "overhead.zarr"]
    plan = run_child([*GEOSEG, "plan", str(scene), "--json", *running]).stdout
    slim = json.dumps({k: json.loads(plan)[k] for k in KEYS})
    rows, ratios, forward_ratios, loop_ratios = [], [], [], []
    for number in range(asked.rounds):
        for path in outputs:
            shutil.rmtree(path, ignore_errors=True) if path.suffix == ".zarr" else path.unlink(missing_ok=True)
        ours = run_child(
            [*GEOSEG, "predict", str(scene), "-q", "--json", "--restart", *running, *(f"-o{p}" for p in outputs)]
        )
        other = run_child([sys.executable, __file__, "bare", slim])
        loop = (
            run_child([sys.executable, __file__, "bare", slim, "1"])
            if json.loads(slim)["runtime"] == "openvino"
            else other
        )
        forward = float(other.stdout)
        busy = json.loads(ours.stdout)["seconds"]
        ratios.append(ours.seconds / other.seconds)
        forward_ratios.append(ours.seconds / forward)
        loop_ratios.append(ours.seconds / loop.seconds)
        rows.append(
            [number + 1, f"{ours.seconds:.1f}", f"{other.seconds:.1f}", f"{forward:.1f}", f"{loop.seconds:.1f}",
             f"{ratios[-1]:.3f}", f"{forward_ratios[-1]:.3f}", f"{loop_ratios[-1]:.3f}",
             f"{ours.cpu_seconds:.0f}, {other.cpu_seconds:.0f}", f"{busy['finish']:.1f}",
             f"{ours.peak_rss_bytes / 1e9:.2f}"]
        )  # fmt: skip
    print(
        f"{machine()}; {asked.side} x {asked.side} px, {json.loads(plan)['patches']} patches,"
        f" {json.loads(plan)['runtime']}\n"
    )
    header = ["round", "predict s", "bare process s", "its forward s", "plain loop s", "ratio", "ratio to forward",
              "ratio to loop", "CPU s of predict, bare", "finish s", "peak GB"]  # fmt: skip
    print(table(header, rows))
    print(
        f"\nmedian ratio {median(ratios):.3f}; to the forward passes alone {median(forward_ratios):.3f}; to the plain"
        f" loop {median(loop_ratios):.3f}"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        bare(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    else:
        main()
