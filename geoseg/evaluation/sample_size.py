"""How many units a stratified sample needs, and how they are shared among the strata.

Source: Olofsson et al. 2014 (see ``area_estimation.py``), section 3.1.2 and equation (13), after Cochran, *Sampling
Techniques*, 1977, equation (5.25)::

    n = (sum_i W_i S_i)^2 / ( S(O)^2 + (1/N) sum_i W_i S_i^2 ),   S_i = sqrt(U_i (1 - U_i))            (13)

W_i is a stratum's share of the map, U_i its conjectured user's accuracy, S(O) the standard error that the overall
accuracy may have, N the number of pixels.
"""

from __future__ import annotations

import math

import numpy as np

from geoseg.choices import Allocation
from geoseg.errors import SampleError
from geoseg.evaluation.area_estimation import Floats, Ints


def sample_size(weights: Floats, accuracies: Floats, *, target_se: float, population: int) -> int:
    """Equation (13), rounded up.

    Args:
        weights: (K,) shares of the map.
        accuracies: (K,) conjectured user's accuracies, 0..1.
        target_se: standard error wanted of the overall accuracy, > 0.
        population: pixels of the map.
    """
    deviations = np.sqrt(accuracies * (1 - accuracies))
    above = float((weights * deviations).sum()) ** 2
    below = target_se**2 + float((weights * deviations**2).sum()) / population
    return math.ceil(above / below)


def allocate(
    size: int,
    pixels: Ints,
    *,
    method: Allocation,
    minimum: int,
    accuracies: Floats,
) -> Ints:
    """Units of each stratum; they sum to ``size``, unless the map has fewer pixels.

    Strata whose part would be below the minimum get the minimum, and the others share the rest (the paper's
    recommendation: 50 to 100 units for rare classes, the rest by area). A stratum never gets more units than it has
    pixels; what it cannot take goes to the others.

    Args:
        size: units in all.
        pixels: (K,) int64 pixels of each stratum.
        method: ``equal``: alike; ``proportional``: by pixels; ``neyman``: by pixels times the deviation S_i of the
            conjectured accuracy, which makes the overall accuracy most certain (Neyman 1934).
        minimum: units that a stratum gets at least, if it has the pixels.
        accuracies: (K,) conjectured user's accuracies.

    Raises:
        SampleError: if ``size`` is less than the minima.
    """
    least = np.where(pixels > 0, np.minimum(pixels, minimum), 0)
    if least.sum() > size:
        raise SampleError(
            f"{size} units are too few for at least {minimum} in each of {np.count_nonzero(pixels)} classes"
            f" ({int(least.sum())}): give a larger --size or a smaller --min-per-class"
        )
    there = pixels > 0
    deviations = np.sqrt(accuracies * (1 - accuracies))
    parts = np.asarray({"equal": there, "proportional": pixels, "neyman": pixels * deviations}[method], np.float64)
    if not parts.any():
        parts = np.asarray(pixels, np.float64)  # all thought to be certain
    return _share(min(size, int(pixels.sum())), parts, least=least, most=pixels)


def _share(size: int, parts: Floats, *, least: Ints, most: Ints) -> Ints:
    """Whole numbers in proportion to ``parts``, within bounds: who would break one is given it and leaves the rest."""
    given = np.zeros(parts.size, np.int64)
    free = most > 0
    while free.any():
        left = size - int(given.sum())
        total = float(parts[free].sum())
        ideal = np.where(free, left * parts / total if total > 0 else left / np.count_nonzero(free), 0.0)
        short, over = free & (ideal < least), free & (ideal > most)
        # Both kinds at once would overcorrect: first the kind that is further from what it asks.
        excess, lack = float((ideal - most)[over].sum()), float((least - ideal)[short].sum())
        bound = short if lack >= excess and short.any() else over
        if not bound.any():
            break
        given[bound] = (least if bound is short else most)[bound]
        free &= ~bound
    if free.any():
        left = size - int(given.sum())
        given[free] = _whole(ideal[free], left)
    return given


def _whole(ideal: Floats, total: int) -> Ints:
    """Largest remainders: whole numbers near ``ideal`` that sum to ``total``; ties go to the first."""
    floor = np.floor(ideal + 1e-9).astype(np.int64)
    order = np.argsort(-(ideal - floor), kind="stable")
    floor[order[: total - int(floor.sum())]] += 1
    return floor
