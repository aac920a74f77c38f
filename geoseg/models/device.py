"""Devices: which one ``auto`` means here."""

from __future__ import annotations

import sys
from pathlib import Path

from geoseg.errors import PlanError


def pick_device(wanted: str = "auto") -> str:
    """``cpu``, ``cuda`` or ``cuda:N`` for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Where there is no NVIDIA driver, ``auto`` is the CPU without asking PyTorch, whose import takes two seconds.

    Raises:
        PlanError: if the name is unknown, or a CUDA device is asked for and PyTorch sees none.
    """
    if wanted == "cpu":
        return "cpu"
    kind, _, index = wanted.partition(":")
    if wanted != "auto" and (kind != "cuda" or (":" in wanted and not index.isdigit())):
        raise PlanError(f"unknown device {wanted!r}: there are auto, cpu, cuda and cuda:N")
    if wanted == "auto" and not _driver_here():
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return "cuda" if count else "cpu"
    if int(index or 0) >= count:
        raise PlanError(f"device {wanted}: PyTorch sees {count} CUDA devices here; use --device cpu")
    return wanted


def _driver_here() -> bool:
    return sys.platform == "win32" or any(Path(p).exists() for p in ("/dev/nvidiactl", "/dev/dxg", "/dev/nvhost-ctrl"))
