"""Which runtimes there are here, found out without importing any of them."""

from __future__ import annotations

import os
import shlex
import shutil
import sysconfig
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from geoseg.choices import PLANNED_RUNTIMES
from geoseg.errors import PlanError

COMPILERS = ("g++", "clang++", "c++", "cl")
"""C++ compilers that PyTorch looks for, after ``CXX``."""


def available(runtime: str, *, device: str = "cpu") -> str | None:
    """Why a runtime cannot be used here, with the way out; None if it can.

    Args:
        runtime: one of ``PLANNED_RUNTIMES``.
        device: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        PlanError: if there is no such runtime.
    """
    if runtime not in PLANNED_RUNTIMES:
        raise PlanError(f"unknown runtime {runtime!r}: there are {', '.join(PLANNED_RUNTIMES)}")
    if runtime == "openvino":
        return _openvino(device)
    if runtime == "compile":
        return _compile(device)
    return None


def lacking(*, device: str = "cpu") -> Mapping[str, str]:
    """The runtimes that cannot be used here, and why."""
    found = {runtime: available(runtime, device=device) for runtime in PLANNED_RUNTIMES}
    return {runtime: reason for runtime, reason in found.items() if reason is not None}


def _openvino(device: str) -> str | None:
    if device != "cpu":
        return f"openvino computes on the CPU, not on {device}: use --device cpu, or --runtime eager"
    if not _installed("openvino"):
        return "openvino is not installed: pip install 'geoseg[openvino]', or --runtime eager"
    return None


def _compile(device: str) -> str | None:
    """What ``torch.compile`` needs: on a CPU a C++ compiler and Python's headers, on CUDA Triton."""
    if device != "cpu":
        return None if _installed("triton") else "torch.compile needs triton on CUDA: install it, or --runtime eager"
    own = shlex.split(os.environ.get("CXX", ""))[:1]
    if not any(shutil.which(name) for name in [*own, *COMPILERS]):
        return "torch.compile needs a C++ compiler: install g++, or --runtime eager"
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        return "torch.compile needs Python's headers: install python3-dev, or --runtime eager"
    return None


@cache
def _installed(name: str) -> bool:
    return find_spec(name) is not None
