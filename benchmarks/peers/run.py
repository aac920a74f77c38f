"""geoseg against its peers: same weights, same scene, whole processes, alternating rounds in one sitting.

    python benchmarks/peers/run.py                                  a synthetic scene of 4096 px, the first four peers
    python benchmarks/peers/run.py --scene SCENE.tif --model default --peers with_monai with_tiler --rounds 1
    python benchmarks/peers/run.py --side 2048 --peers all

Every process reads the scene from disk and leaves a GeoTIFF of classes. Measured from outside: wall seconds, processor
seconds, peak memory, children included. Figures are medians of the rounds; ratios are taken within a round and then
their median; peers' usual settings run in the first round only, unless ``--usual-rounds`` says more. "Other class":
share of pixels whose class differs from full-frame inference. A row that fails is given up and named below the table.
What a system converts once per model (ONNX, OpenVINO's form) is made before and not timed; what that took is printed.
Raw figures: ``runs/benchmarks/peers/last.json``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # common, beside the peers' folder

from common import machine, synthetic_scene, table
from environments import HERE, ROOT, versions
from measured import measure
from rows import FIRST, HEADER, OURS, THEIRS, Row, equip, make_rows, table_rows

WARM_SIDE = 1024
"""Side of the scene on which geoseg's rows fill their caches, pixels."""


def main() -> None:
    """Prepares, alternates, compares, prints."""
    asked = _arguments()
    scene = asked.scene.resolve() if asked.scene else synthetic_scene(asked.side)
    weights = _weights(asked.model)
    rows = make_rows(asked.peers, ours=asked.ours, theirs=asked.theirs)
    equip(rows)
    work = ROOT / "outputs"
    for old in (work, ROOT / "cache"):  # what was converted once is converted once a sitting, and its time is seen
        shutil.rmtree(old, ignore_errors=True)
    work.mkdir(parents=True)
    for row in rows:
        _prepare(row, scene, weights=weights, work=work, timeout=asked.timeout)
    for number in range(asked.rounds):
        for row in rows if number % 2 == 0 else reversed(rows):
            if row.settings == "usual" and number >= asked.usual_rounds:
                continue
            _measure(row, scene, weights=weights, work=work, timeout=asked.timeout)
        _keep(rows)
    note = _compare(rows, scene, weights=weights, work=work)
    _keep(rows)
    _print(rows, scene, weights=weights, note=note)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", type=Path, help="default: a synthetic one of --side")
    parser.add_argument("--side", type=int, default=4096, help="of the synthetic scene, pixels")
    parser.add_argument("--model", default="resnet18", help="resnet18 (untrained), default (geoseg's own), or a bundle")
    parser.add_argument("--peers", nargs="*", default=list(FIRST), help="script names such as with_monai, or all")
    parser.add_argument("--ours", nargs="*", choices=list(OURS), default=list(OURS), help="rows of geoseg")
    parser.add_argument("--theirs", nargs="*", choices=list(THEIRS), default=list(THEIRS)[:2], help="rows of a peer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--usual-rounds", type=int, default=1, help="rounds of the peers' usual settings, the first ones"
    )
    parser.add_argument("--timeout", type=float, default=900, help="seconds that one run may take")
    asked = parser.parse_args()
    if asked.peers == ["all"]:
        rest = sorted(path.stem for path in HERE.glob("with_*.py") if path.stem not in FIRST)
        asked.peers = [*FIRST, *rest]
    return asked


def _weights(model: str) -> Path:
    """The bundle that all compute with."""
    if model == "resnet18":
        path = ROOT / "resnet18.safetensors"
        if not path.exists():
            ROOT.mkdir(parents=True, exist_ok=True)
            subprocess.run([sys.executable, HERE / "weights.py", path], check=True, stdout=subprocess.DEVNULL)
        return path
    if model == "default":
        from geoseg.models.bundle import default_bundle_path

        # a copy: what is converted for the peers is kept beside it
        return Path(shutil.copy(default_bundle_path(), ROOT / "default.safetensors"))
    return Path(model).resolve()


def _environment(row: Row) -> dict[str, str]:
    """Rows of geoseg keep their cache to themselves; peers do not see where geoseg is looked for."""
    if row.script is None:
        return {**os.environ, "GEOSEG_CACHE": str(ROOT / "cache")}
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _prepare(row: Row, scene: Path, *, weights: Path, work: Path, timeout: float) -> None:
    """What comes once per model and is not timed."""
    if row.failure is not None:
        return
    out = work / f"{row.name}-first.tif"
    command = row.preparation(scene, weights=weights, out=out)
    if row.script is None:
        command = row.command(synthetic_scene(WARM_SIDE), weights=weights, out=out)
        if "--runtime" not in command and find_spec("openvino"):
            command = [*command, "--runtime", "openvino"]  # a small scene would not earn the conversion
    if command is None:
        return
    found = measure(command, env=_environment(row), log=work / f"{row.name}-first.log", timeout=timeout)
    row.failure, row.first_seconds = found.error, found.seconds
    _say(f"{row.name}: {found.error or f'prepared in {found.seconds:.1f} s'}")


def _measure(row: Row, scene: Path, *, weights: Path, work: Path, timeout: float) -> None:
    if row.failure is not None:
        return
    out = work / f"{row.name}.tif"
    for old in work.glob(f"{row.name}.tif*"):
        old.unlink()
    command = row.command(scene, weights=weights, out=out)
    found = measure(command, env=_environment(row), log=work / f"{row.name}.log", timeout=timeout)
    row.failure = found.error
    row.runs.append(found)
    _say(
        f"{row.name}: {found.error or ''} {found.seconds:.1f} s, {found.cpu_seconds:.1f} CPU s,"
        f" {found.peak_bytes / 1e9:.2f} GB"
    )


def _compare(rows: Sequence[Row], scene: Path, *, weights: Path, work: Path) -> str:
    """Every row's map against the full frame's; returns what was compared."""
    import numpy as np
    import rasterio
    from rasterio.windows import Window

    out = work / "full_frame.npz"
    options = ["--scene", str(scene), "--weights", str(weights), "--out", str(out)]
    found = measure(
        [sys.executable, str(HERE / "full_frame.py"), *options], env=dict(os.environ), log=work / "full_frame.log"
    )
    if found.error is not None:
        return f"not compared: full-frame inference failed: {found.error}"
    with np.load(out) as kept:
        classes, (row_off, col_off) = kept["classes"], kept["origin"]
    window = Window(int(col_off), int(row_off), classes.shape[1], classes.shape[0])
    with rasterio.open(scene) as source:
        valid = source.dataset_mask(window=window) > 0
        whole = classes.shape == source.shape
    for row in rows:
        path = work / f"{row.name}.tif"
        if row.failure is None and path.exists():
            with rasterio.open(path) as source:
                written = source.read(1, window=window)
            wanted = treated(classes, row.head.reference if row.head else None)
            row.disagreement = float((written != wanted)[valid].mean())
    shares = np.bincount(classes[valid], minlength=1) / valid.sum()
    return (
        f"Compared: {'the whole scene' if whole else f'its middle {classes.shape[1]} x {classes.shape[0]} px'}; class"
        f" shares there {', '.join(f'{share:.0%}' for share in shares)}."
    )


def treated(classes, how: str | None):  # type: ignore[no-untyped-def]
    """The full frame's classes, treated as a peer treats its own."""
    if how is None:
        return classes
    from scipy.ndimage import median_filter

    assert how == "median 5"
    return median_filter(classes, 5)


def _keep(rows: Sequence[Row]) -> None:
    """Raw figures on disk, so that an interrupted sitting is not lost."""
    data = [
        {
            "system": row.system,
            "settings": row.settings,
            "first_seconds": row.first_seconds,
            "disagreement": row.disagreement,
            "failure": row.failure,
            "runs": [dataclasses.asdict(run) for run in row.runs],
        }
        for row in rows
    ]
    (ROOT / "last.json").write_text(json.dumps(data, indent=1) + "\n")


def _print(rows: Sequence[Row], scene: Path, *, weights: Path, note: str) -> None:
    import rasterio

    with rasterio.open(scene) as source:
        size = f"{source.width} x {source.height}"
    scripts = dict.fromkeys(row.script for row in rows if row.script is not None)
    print(f"{machine()}, load {os.getloadavg()[0]:.1f}; {', '.join([*_ours(), *map(versions, scripts)])}\n")
    print(f"{scene.name}, {size} px, model {weights.stem}, alternating rounds. {note}\n")
    print(table(HEADER, table_rows(rows)))
    firsts = [f"{row.name} {row.first_seconds:.0f} s" for row in rows if row.first_seconds and not row.failure]
    if firsts:
        print(f"\nBefore, once per model (geoseg: on {WARM_SIDE} px; GeoDeep: export to ONNX): {'; '.join(firsts)}.")
    for row in rows:
        if row.failure is not None:
            print(f"\n{row.name}: {row.failure}")


def _ours() -> list[str]:
    """What geoseg's other runtime is here."""
    try:
        return [f"openvino {version('openvino')}"]
    except PackageNotFoundError:
        return []


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
