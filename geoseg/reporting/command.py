"""The command line that makes a map again, from what its store says was asked for."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

_SWITCHES = ("exact", "confidence", "probabilities")


def command_of(run: Mapping[str, Any], *, output: str) -> str:
    """A shell command, one option a line.

    Args:
        run: ``scene``, ``model`` (None is the default one) and ``options`` that are not their defaults.
        output: what is written.
    """
    parts = [["geoseg", "predict", *_scenes(run.get("scene"))]]
    if run.get("model"):
        parts.append(["-m", str(run["model"])])
    parts += [_option(name, value) for name, value in dict(run.get("options") or {}).items() if value is not None]
    parts.append(["-o", output])
    return " \\\n  ".join(" ".join(shlex.quote(word) for word in part) for part in parts)


def _scenes(scene: Any) -> list[str]:
    if isinstance(scene, Sequence) and not isinstance(scene, str):
        return ["--mosaic", *map(str, scene)] if len(scene) > 1 else [str(s) for s in scene]
    return [str(scene)] if scene else ["SCENE"]


def _option(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if name in _SWITCHES:
        return [flag]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [flag, ",".join(str(v) for v in value)]
    return [flag, str(value)]
