"""Is confidence honest? Reliability, the expected calibration error, and the temperature that makes it smaller.

A model is calibrated if, of the pixels it gives 80 %, four in five are right. The expected calibration error (ECE;
Naeini et al., AAAI 2015) is the mean distance between confidence and accuracy over bins of confidence, weighted by
their pixels::

    ECE = sum_b n_b / n |accuracy_b - confidence_b|

Temperature scaling (Guo et al., ICML 2017) divides the logits by one number T, the one with the least negative log
likelihood on held-out pixels. It moves confidence and no class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.evaluation.confusion import Ids
from geoseg.evaluation.metrics import plain, ratio
from geoseg.legend import IGNORE

PERCENT = 101
"""Whole percents, 0 to 100: what a confidence layer holds."""

BIN = 5
"""Percents in a bin: (0, 5], (5, 10], …; a confidence of 0 is in the first."""

COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures that are looked at: beyond them nothing is gained, and a model that is always right has none."""

ReliabilityCounts = npt.NDArray[np.int64]
"""(101, 2): pixels by percent of confidence, the wrong ones and the right ones; counts of parts add up."""


def no_reliability() -> ReliabilityCounts:
    """Nothing counted yet."""
    return np.zeros((PERCENT, 2), np.int64)


def count_reliability(truth: Ids, prediction: Ids, percent: Ids) -> ReliabilityCounts:
    """Counts the pixels that all three have a value for.

    Args:
        truth: class ids, any shape, uint8, 255 = not scored.
        prediction: alike.
        percent: confidence in whole percent, 255 = none.
    """
    scored = (truth != IGNORE) & (prediction != IGNORE) & (percent != IGNORE)
    places = percent[scored].astype(np.int64) * 2 + (truth == prediction)[scored]
    return np.asarray(np.bincount(places, minlength=PERCENT * 2), np.int64).reshape(PERCENT, 2)


def expected_calibration_error(counts: ReliabilityCounts) -> float:
    """The ECE over bins of five percent, as a share of 1; NaN without a pixel."""
    pixels, confidence, accuracy = _bins(counts)
    gaps = np.nan_to_num(np.abs(accuracy - confidence))
    return float(ratio((pixels * gaps).sum(), pixels.sum()))


def summarise_reliability(counts: ReliabilityCounts) -> dict[str, Any]:
    """ECE and the reliability table as plain values for JSON; bins without a pixel are left out."""
    pixels, confidence, accuracy = _bins(counts)
    total = counts.sum()
    return {
        "ece": plain(expected_calibration_error(counts)),
        "mean_confidence": plain(float(ratio(counts.sum(1) @ np.arange(PERCENT) / 100, total))),
        "accuracy": plain(float(ratio(counts[:, 1].sum(), total))),
        "pixels": int(total),
        "bins": [
            {
                "above": b * BIN / 100,
                "to": (b + 1) * BIN / 100,
                "pixels": int(pixels[b]),
                "confidence": float(confidence[b]),
                "accuracy": float(accuracy[b]),
            }
            for b in np.flatnonzero(pixels)
        ],
    }


def reliability_rows(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """What ``summarise_reliability`` gave as rows of text, with a heading."""
    rows: list[tuple[str, ...]] = [("confidence", "pixels", "mean confidence", "accuracy")]
    rows += [
        (f"{b['above']:.0%} - {b['to']:.0%}", f"{b['pixels']:,}", f"{b['confidence']:.4f}", f"{b['accuracy']:.4f}")
        for b in summary["bins"]
    ]
    if summary["pixels"]:
        means = (f"{summary['mean_confidence']:.4f}", f"{summary['accuracy']:.4f}")
        rows += [("all", f"{summary['pixels']:,}", *means), ("ECE", "", "", f"{summary['ece']:.4f}")]
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureFit:
    """A temperature, and what it did to the pixels it was fitted on."""

    temperature: float
    pixels: int
    scenes: tuple[str, ...]
    context: int
    """Patch size of the predictions, pixels."""
    nll_before: float
    """Mean negative log likelihood of the true class at temperature 1."""
    nll_after: float
    ece_before: float
    ece_after: float

    def to_json(self) -> dict[str, Any]:
        """The fit as plain values."""
        return {
            "scenes": list(self.scenes),
            "pixels": self.pixels,
            "context": self.context,
            "nll": [round(self.nll_before, 5), round(self.nll_after, 5)],
            "ece": [round(self.ece_before, 5), round(self.ece_after, 5)],
        }


def fit_temperature(logits: npt.NDArray[np.float32], channels: npt.NDArray[np.integer]) -> float:
    """The temperature of least negative log likelihood.

    The likelihood is convex in 1/T: its slope, the mean over pixels of (expected logit - logit of the true class), is
    zero there and nowhere else, so it is bisected.

    Args:
        logits: (n, K).
        channels: (n,) the true channel of each.

    Raises:
        ValueError: if there is no pixel.
    """
    if not len(logits):
        raise ValueError("no pixel to fit a temperature on")
    true = logits[np.arange(len(channels)), channels].astype(np.float64)
    low, high = -np.log(HOTTEST), -np.log(COLDEST)  # logarithms of 1/T
    for _ in range(40):
        middle = (low + high) / 2
        shares = _softmax(logits, float(np.exp(-middle)))
        slope = float(((shares * logits).sum(1) - true).mean())
        low, high = (low, middle) if slope > 0 else (middle, high)
    return float(np.exp(-(low + high) / 2))


def judge_temperature(
    logits: npt.NDArray[np.float32], channels: npt.NDArray[np.integer], temperature: float
) -> tuple[float, float]:
    """Mean negative log likelihood and ECE (of whole percents, as they are stored) at a temperature."""
    shares = _softmax(logits, temperature)
    likelihood = shares[np.arange(len(channels)), channels]
    percent = (shares.max(1) * 100).round().astype(np.uint8)
    won = logits.argmax(1).astype(np.uint8)
    counts = count_reliability(channels.astype(np.uint8), won, percent)
    return float(-np.log(np.maximum(likelihood, 1e-30)).mean()), expected_calibration_error(counts)


def _softmax(logits: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float64]:
    scaled = logits.astype(np.float64) / temperature
    scaled = np.exp(scaled - scaled.max(1, keepdims=True))
    return np.asarray(scaled / scaled.sum(1, keepdims=True))


def _bins(counts: ReliabilityCounts) -> tuple[npt.NDArray[np.float64], ...]:
    """(20,) pixels, mean confidence and accuracy of each bin."""
    percents = np.arange(PERCENT)
    place = np.maximum(percents - 1, 0) // BIN
    size = 100 // BIN
    pixels = np.bincount(place, weights=counts.sum(1), minlength=size).astype(np.float64)
    sums = np.bincount(place, weights=counts.sum(1) * percents / 100, minlength=size)
    right = np.bincount(place, weights=counts[:, 1], minlength=size)
    return pixels, ratio(sums, pixels), ratio(right, pixels)
