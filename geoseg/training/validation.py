"""How good a network is on whole held-out scenes, while it is being trained. `geoseg evaluate` is the real judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from geoseg.contexts.candidates import SizeRule
from geoseg.geometry.windows import split
from geoseg.legend import IGNORE, Legend
from geoseg.models.card import Normalisation
from geoseg.training.scenes import LabelledScene


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of one scene."""

    miou: float
    """Mean intersection over union of the classes present in the reference or the prediction; NaN if none is."""
    iou: dict[str, float]
    """Intersection over union by class name, of the classes present."""
    overall_accuracy: float
    """Share of labelled pixels that are right."""
    pixels: int
    """Labelled pixels."""


def scores_of(confusion: npt.NDArray[np.int64], *, legend: Legend) -> Scores:
    """Scores from a (K, K) confusion, reference by rows."""
    hits = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
    iou = {
        name: int(h) / int(u) for name, h, u in zip(legend.names, hits.tolist(), union.tolist(), strict=True) if u > 0
    }
    total = int(confusion.sum())
    return Scores(
        miou=sum(iou.values()) / len(iou) if iou else float("nan"),
        iou=iou,
        overall_accuracy=int(hits.sum()) / total if total else float("nan"),
        pixels=total,
    )


@torch.inference_mode()
def validate(
    network: nn.Module,
    scenes: Sequence[LabelledScene],
    *,
    normalisation: Normalisation,
    legend: Legend,
    window: int,
    rule: SizeRule,
    precision: str = "32-true",
) -> dict[str, Scores]:
    """Scores by scene name, from plain windows of ``window`` pixels without overlap."""
    network.eval()
    device = next(network.parameters()).device
    mean = np.array(normalisation.mean, dtype=np.float32)[:, None, None]
    std = np.array(normalisation.std, dtype=np.float32)[:, None, None]
    classes = len(legend)
    found = {}
    for scene in scenes:
        confusion = np.zeros((classes, classes), dtype=np.int64)
        for part in split(scene.shape, size=(window, window)):
            stored, valid = scene.read(part)
            labels = scene.labels[part.row_off : part.row_stop, part.col_off : part.col_stop]
            scored = valid & (labels != IGNORE)
            if not scored.any():
                continue
            pixels = (stored.astype(np.float32) - mean) / std
            pixels[:, ~valid] = 0.0
            # Networks of fixed size take squares only.
            wanted = [max(part.shape)] * 2 if rule.only else part.shape
            pads = [(0, 0)] + [(0, rule.at_least(w) - side) for w, side in zip(wanted, part.shape, strict=True)]
            batch = torch.from_numpy(np.pad(pixels, pads, mode="reflect"))[None].to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
                logits = network(batch.to(memory_format=torch.channels_last))
            predicted = logits[0, :, : part.height, : part.width].argmax(0).cpu().numpy()
            flat = labels[scored].astype(np.int64) * classes + predicted[scored]
            confusion += np.bincount(flat, minlength=classes * classes).reshape(classes, classes)
        found[scene.name] = scores_of(confusion, legend=legend)
    return found
