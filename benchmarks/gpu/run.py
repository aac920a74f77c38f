"""A GPU's figures: forward passes with their floors, geoseg against MONAI and the plain loop, how busy the device is.

    make bench-gpu                                      on a machine with a GPU
    python benchmarks/gpu/run.py --device cpu --small   the same code, small, anywhere

Sections run in order of worth and print as they end; one that would begin after the minutes given is left out by name,
one that fails prints its reason. `make gpu-wheels` fetches what a bare machine lacks beside PyTorch.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # common, beside this folder

import torch
from busy_share import measure_busy
from common import WORK, machine, table
from floors import Rates, measure_rates
from forward import HEADER as FORWARD_HEADER
from forward import measure_forward, subjects
from windows import HEADER as WINDOWS_HEADER
from windows import measure_windows


def main() -> None:
    """All sections."""
    asked = _arguments()
    device = torch.device(asked.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("PyTorch sees no GPU here; --device cpu --small runs the same code")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{machine()}; {name}\n", flush=True)
    rates = measure_rates(device, dtype=torch.bfloat16)
    print(f"bf16 matrix product {rates.flops / 1e12:.2f} TFLOP/s, copy {rates.bytes / 1e9:.0f} GB/s\n", flush=True)
    small = asked.small
    sections: list[tuple[str, Callable[[], str]]] = [
        ("Forward passes", lambda: _forward(device, rates=rates, small=small, compiled=False)),
        ("Device busy", lambda: _busy(device, side=256 if small else asked.side)),
        ("File to file", lambda: _windows(device, side=256 if small else asked.side // 2, small=small)),
        ("Forward passes, compiled", lambda: _forward(device, rates=rates, small=small, compiled=True)),
    ]
    started = time.monotonic()
    for title, run in sections:
        if small and "compiled" in title:
            continue  # minutes on a CPU, and a compiler
        spent = (time.monotonic() - started) / 60
        if spent > asked.minutes * 0.75:
            print(f"## {title}\n\nleft out: {spent:.1f} of {asked.minutes:g} minutes are spent\n", flush=True)
            continue
        try:
            text = run()
        except Exception as error:  # noqa: BLE001 - a section that fails must not cost the others their turn
            text = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:400]}"
        print(f"## {title}\n\n{text}\n", flush=True)
    print(f"{(time.monotonic() - started) / 60:.1f} minutes")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--small", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--side", type=int, default=8192, help="of the scene of the busy share, pixels")
    parser.add_argument("--minutes", type=float, default=8)
    return parser.parse_args()


def _scene(side: int) -> Path:
    """A synthetic scene in a folder of its own: outputs are written beside it."""
    import os

    from geoseg.verbs.synth import synth

    path = WORK / "gpu" / f"synth_{side}.tif"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        synth(path, width=side, height=side, seed=1, threads=os.cpu_count() or 1)
    return path


def _forward(device: torch.device, *, rates: Rates, small: bool, compiled: bool) -> str:
    sizes, pixels = ([64, 128], 128**2) if small else ([512, 1024, 2048], 4 * 1024**2)
    if compiled:
        sizes = [1024]  # a minute each
    rows: list[Sequence[object]] = []
    for subject in subjects():
        found = measure_forward(
            subject, sizes=sizes, batch_pixels=pixels, rates=rates, device=device, compiled=compiled
        )
        rows += found
    return table(FORWARD_HEADER, rows)


def _windows(device: torch.device, *, side: int, small: bool) -> str:
    rows = measure_windows(_scene(side), patch=64 if small else 512, device=device, rounds=1 if small else 3)
    return f"{side} x {side} px, geoseg's default model.\n\n{table(WINDOWS_HEADER, rows)}"


def _busy(device: torch.device, *, side: int) -> str:
    found = measure_busy(_scene(side), device=device)
    return (
        f"{side} x {side} px, runtime {found.runtime}: the device had work in {found.busy_seconds:.2f} of"
        f" {found.tile_seconds:.2f} s between first and last tile ({found.share:.1%});"
        f" {found.megapixels / found.tile_seconds:.1f} Mpx/s there, {found.megapixels / found.total_seconds:.1f} Mpx/s"
        f" with overviews and COG ({found.total_seconds:.2f} s). Under the profiler, which takes its own share."
    )


if __name__ == "__main__":
    main()
