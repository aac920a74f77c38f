"""File to file in one warm process: the plain loop, MONAI's sliding window, geoseg. Same network, same device.

All read the scene with rasterio and leave a GeoTIFF of classes; normalisation and arg max happen on the device, in
bfloat16 by autocast. geoseg runs as it does by default there, and what it leaves is a COG, overviews included.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
import torch
from timing import synchronise
from torch import nn

HEADER = ["system", "patch px", "overlap", "wall s", "Mpx/s", "× geoseg's time"]
BATCH_PIXELS = 4 * 1024**2

Name = tuple[str, str, str]
"""System, patch and overlap as they are printed."""

OURS: Name = ("geoseg", "planned", "planned")


def measure_windows(scene: Path, *, patch: int, device: torch.device, rounds: int) -> list[list[str]]:
    """Rows of the table; a system that cannot run has its reason in its row.

    Args:
        scene: a raster of three bands; maps are written beside it.
        patch: side of the plain loop's and MONAI's patches, pixels.
        device: where.
        rounds: alternating, after one that warms.
    """
    systems = _systems(scene, patch=patch, device=device)
    found: dict[Name, list[float]] = {name: [] for name in systems}
    failed: dict[Name, str] = {}
    for number in range(rounds + 1):
        for name, run in systems.items():
            if name in failed:
                continue
            try:
                started = time.perf_counter()
                run()
                synchronise(device)
            except Exception as error:  # noqa: BLE001 - one system that fails must not cost the others their turn
                failed[name] = " ".join(f"{type(error).__name__}: {error}".split())[:160]
                continue
            if number:
                found[name].append(time.perf_counter() - started)
    with rasterio.open(scene) as source:
        megapixels = source.width * source.height / 1e6
    base = found[OURS]
    return [_row(name, found[name], base, megapixels=megapixels, failed=failed.get(name)) for name in systems]


def _systems(scene: Path, *, patch: int, device: torch.device) -> dict[Name, Callable[[], object]]:
    """What is timed: each reads the scene and leaves a map."""
    import geoseg

    bundle = geoseg.open_bundle()
    network = bundle.load_network().to(device, memory_format=torch.channels_last)
    normalise = _normaliser(bundle.card.normalisation, device=device)
    out = scene.with_name("windows.tif")
    ours = {"device": device.type, "overwrite": True, "restart": True, "resolution": "native"}

    def theirs(predict: Callable[..., npt.NDArray[np.uint8]]) -> Callable[[], object]:
        return lambda: _write(out, scene, predict(_read(scene), network, normalise, patch=patch, device=device))

    return {
        OURS: lambda: geoseg.predict(scene, outputs=[out], **ours),
        ("plain loop", str(patch), "none"): theirs(_plain_loop),
        ("MONAI, gaussian", str(patch), "25 %"): theirs(_monai),
    }


def _row(name: Name, times: list[float], base: list[float], *, megapixels: float, failed: str | None) -> list[str]:
    if failed is not None or not times:
        return [*name, failed or "not run", "-", "-"]
    took = float(np.median(times))
    ratios = [one / other for one, other in zip(times, base, strict=False)]
    return [*name, f"{took:.2f}", f"{megapixels / took:.1f}", f"{np.median(ratios):.2f}" if ratios else "-"]


def _normaliser(normalisation: object, *, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    shape = (1, 3, 1, 1)
    mean = torch.tensor(normalisation.mean, device=device).view(shape)  # type: ignore[attr-defined]
    std = torch.tensor(normalisation.std, device=device).view(shape)  # type: ignore[attr-defined]
    return lambda pixels: (pixels.float() - mean) / std


def _plain_loop(
    pixels: npt.NDArray[np.uint8],
    network: nn.Module,
    normalise: Callable[[torch.Tensor], torch.Tensor],
    *,
    patch: int,
    device: torch.device,
) -> npt.NDArray[np.uint8]:
    """What anyone writes first: patch by patch without overlap, in batches; the last row and column are padded."""
    height, width = pixels.shape[1:]
    padded = np.pad(pixels, [(0, 0), (0, -height % patch), (0, -width % patch)], mode="reflect")
    classes = np.empty(padded.shape[1:], np.uint8)
    corners = [(row, col) for row in range(0, height, patch) for col in range(0, width, patch)]
    batch = max(1, BATCH_PIXELS // patch**2)
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16):
        for first in range(0, len(corners), batch):
            part = corners[first : first + batch]
            stack = np.stack([padded[:, row : row + patch, col : col + patch] for row, col in part])
            logits = network(normalise(torch.from_numpy(stack).to(device)).to(memory_format=torch.channels_last))
            for (row, col), found in zip(part, logits.argmax(1).to(torch.uint8).cpu().numpy(), strict=True):
                classes[row : row + patch, col : col + patch] = found
    return classes[:height, :width]


def _monai(
    pixels: npt.NDArray[np.uint8],
    network: nn.Module,
    normalise: Callable[[torch.Tensor], torch.Tensor],
    *,
    patch: int,
    device: torch.device,
) -> npt.NDArray[np.uint8]:
    """MONAI with the whole scene on the device, which is its quickest way while that fits."""
    from monai.inferers import sliding_window_inference

    batch = max(1, BATCH_PIXELS // patch**2)
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16):
        whole = torch.from_numpy(pixels)[None].to(device).float()
        logits = sliding_window_inference(
            whole, (patch, patch), batch, lambda window: network(normalise(window)), overlap=0.25, mode="gaussian"
        )
        return logits[0].argmax(0).to(torch.uint8).cpu().numpy()


def _read(scene: Path) -> npt.NDArray[np.uint8]:
    with rasterio.open(scene) as source:
        pixels: npt.NDArray[np.uint8] = source.read([1, 2, 3])
    return pixels


def _write(out: Path, scene: Path, classes: npt.NDArray[np.uint8]) -> None:
    with rasterio.open(scene) as source:
        grid = {"crs": source.crs, "transform": source.transform, "width": source.width, "height": source.height}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "num_threads": "all_cpus"}
    out.unlink(missing_ok=True)
    with rasterio.open(out, "w", driver="GTiff", count=1, dtype="uint8", **grid, **layout) as target:
        target.write(classes, 1)
