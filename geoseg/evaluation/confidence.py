"""Is confidence honest? Reliability, the expected calibration error, and the temperature that makes it smaller.

A model is calibrated if, of the pixels it gives 80 %, four in five are right. The expected calibration error (ECE;
Naeini et al., AAAI 2015) is the mean distance between confidence and accuracy over bins of confidence, weighted by
their pixels::

    ECE = sum_b n_b / n |accuracy_b - confidence_b|

Temperature scaling (Guo et al., ICML 2017) divides the logits by one number T, the one with the least negative log
likelihood on held-out pixels. It moves confidence and no class.
"""

from __future__ import annotations

import math
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

_STEPS, _ENOUGH = 60, 1e-6

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
        (f"{b['above']:.2f} - {b['to']:.2f}", f"{b['pixels']:,}", f"{b['confidence']:.4f}", f"{b['accuracy']:.4f}")
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

    The likelihood is convex in b = 1/T. Its slope, the mean over pixels of (expected logit - logit of the true class),
    is zero there and nowhere else; the slope's own slope is the logits' mean variance. Newton's steps, halved intervals
    where they lead away.

    Args:
        logits: (n, K).
        channels: (n,) the true channel of each.

    Raises:
        ValueError: if there is no pixel.
    """
    if not len(logits):
        raise ValueError("no pixel to fit a temperature on")
    true = float(logits[np.arange(len(channels)), channels].mean(dtype=np.float64))
    planes = np.array(logits.T, order="C")  # sums over a short last axis are slow
    planes -= planes.max(0)
    goal = true - float(logits.max(1).mean(dtype=np.float64))
    low, high, beta = 1 / HOTTEST, 1 / COLDEST, 1.0
    for end, beyond in ((high, -1), (low, 1)):
        if (_slope(planes, end)[0] - goal) * beyond >= 0:
            return 1 / end
    for _ in range(_STEPS):
        slope, curve = _slope(planes, beta)
        slope -= goal
        low, high = (low, beta) if slope > 0 else (beta, high)
        after = beta - slope / curve if curve > 0 else low
        if not low < after < high:
            after = math.sqrt(low * high)
        if abs(after / beta - 1) < _ENOUGH:
            break
        beta = after
    return 1 / after


def _slope(planes: npt.NDArray[np.float32], beta: float) -> tuple[float, float]:
    """Means over pixels of the expectation and the variance of (K, n) logits, of which the highest are 0."""
    shares = np.exp(planes * np.float32(beta))
    shares /= shares.sum(0)
    first = (shares * planes).sum(0)
    second = (shares * np.square(planes)).sum(0)
    return float(first.mean(dtype=np.float64)), float((second - first**2).mean(dtype=np.float64))


def judge_temperature(
    logits: npt.NDArray[np.float32], channels: npt.NDArray[np.integer], temperature: float
) -> tuple[float, float]:
    """Mean negative log likelihood and ECE (of whole percents, as they are stored) at a temperature."""
    planes = np.array(logits.T, np.float64, order="C")
    planes -= planes.max(0)
    shares = np.exp(planes / temperature)
    shares /= shares.sum(0)
    likelihood = shares[channels, np.arange(len(channels))]
    percent = (shares.max(0) * 100).round().astype(np.uint8)
    won = logits.argmax(1).astype(np.uint8)
    counts = count_reliability(channels.astype(np.uint8), won, percent)
    return float(-np.log(np.maximum(likelihood, 1e-30)).mean()), expected_calibration_error(counts)


def _bins(counts: ReliabilityCounts) -> tuple[npt.NDArray[np.float64], ...]:
    """(20,) pixels, mean confidence and accuracy of each bin."""
    percents = np.arange(PERCENT)
    place = np.maximum(percents - 1, 0) // BIN
    size = 100 // BIN
    pixels = np.bincount(place, weights=counts.sum(1), minlength=size).astype(np.float64)
    sums = np.bincount(place, weights=counts.sum(1) * percents / 100, minlength=size)
    right = np.bincount(place, weights=counts[:, 1], minlength=size)
    return pixels, ratio(sums, pixels), ratio(right, pixels)
