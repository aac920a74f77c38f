"""A reliability diagram, where matplotlib is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from geoseg.errors import MissingExtraError, OutputError


def demand_matplotlib() -> None:
    """Found out before any work.

    Raises:
        MissingExtraError: if matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError("a reliability diagram needs matplotlib: pip install 'geoseg[notebooks]'")


def draw_reliability(summary: dict[str, Any], path: Path) -> None:
    """Draws accuracy over confidence, and how many pixels have it, as ``summarise_reliability`` gave them.

    Raises:
        MissingExtraError: if matplotlib is not installed.
        OutputError: if the file cannot be written.
    """
    demand_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    bins = summary["bins"]
    middles = [(b["above"] + b["to"]) / 2 for b in bins]
    width = bins[0]["to"] - bins[0]["above"] if bins else 0.05
    upper.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="honest")
    upper.bar(middles, [b["accuracy"] for b in bins], width=width, edgecolor="white", label="accuracy")
    upper.plot([b["confidence"] for b in bins], [b["accuracy"] for b in bins], "o-", color="black", markersize=3)
    ece = "no pixel" if summary["ece"] is None else f"ECE {summary['ece']:.3f}"
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1), title=ece)
    upper.legend(loc="upper left")
    lower.bar(middles, [b["pixels"] / summary["pixels"] for b in bins], width=width, edgecolor="white", color="0.5")
    lower.set(xlabel="confidence", ylabel="share of pixels")
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:  # matplotlib's word for a suffix it does not know
        raise OutputError(f"cannot write the diagram {path}: {' '.join(str(error).split())}") from error
