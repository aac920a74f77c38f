"""Accuracy and area from a stratified random sample of a map (Olofsson et al. 2014).

Source: P. Olofsson, G. M. Foody, M. Herold, S. V. Stehman, C. E. Woodcock, M. A. Wulder: *Good practices for estimating
area and assessing accuracy of land change*, Remote Sensing of Environment 148 (2014) 42-57. Its numbers of equations:

The strata are the classes of the map. Of stratum i, with the share W_i of the map's area, n_i units were interpreted,
and n_ij of those are truly of class j::

    p_ij = W_i n_ij / n_i                                                        (4)  the error matrix in shares
    O    = sum_j p_jj                                                            (1)  overall accuracy
    U_i  = p_ii / sum_j p_ij                                                     (2)  user's accuracy
    P_j  = p_jj / sum_i p_ij                                                     (3)  producer's accuracy
    V(O)   = sum_i W_i^2 U_i (1 - U_i) / (n_i - 1)                               (5)
    V(U_i) = U_i (1 - U_i) / (n_i - 1)                                           (6)
    V(P_j) = 1/N_j^2 [ M_j^2 (1 - P_j)^2 U_j (1 - U_j) / (n_j - 1)
                       + P_j^2 sum_{i != j} M_i^2 (n_ij/n_i)(1 - n_ij/n_i) / (n_i - 1) ]
                                                                                 (7)  M_i: mapped, N_j: estimated area
    p_j    = sum_i W_i n_ij / n_i                                                (8, 9)  share of the area of class j
    S(p_j) = sqrt( sum_i W_i^2 (n_ij/n_i)(1 - n_ij/n_i) / (n_i - 1) )            (10)
    A_j    = A p_j,  S(A_j) = A S(p_j),  interval A_j +- 1.96 S(A_j)             (11, 12)

The map's own counts of pixels carry its mistakes; A_j does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Z95 = 1.96
"""Standard errors on either side that make an interval of 95 %, as in the paper."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AreaEstimates:
    """What a sample says of a map; NaN where it says nothing. K classes in one order."""

    proportions: Floats
    """(K, K): shares of the area; rows the map, columns the reference."""
    overall: float
    """Overall accuracy."""
    overall_se: float
    """Its standard error; half of a 95 % interval is ``Z95`` times as wide, here and below."""
    users: Floats
    """(K,): user's accuracies: 1 - commission error. NaN where the map has no such class."""
    users_se: Floats
    producers: Floats
    """(K,): producer's accuracies: 1 - omission error. NaN where the reference has no such class."""
    producers_se: Floats
    shares: Floats
    """(K,): each class's share of the area, by the reference."""
    shares_se: Floats


def estimate_areas(counts: Ints, weights: Floats) -> AreaEstimates:
    """The estimates of the module's equations.

    Args:
        counts: (K, K) int64: interpreted units; rows the class of the map, which is the stratum, columns the class of
            the reference.
        weights: (K,) float64: the strata's shares of the map's area; 0 for classes that the map lacks.

    Returns:
        The estimates. A stratum of one unit has no standard error: NaN wherever it enters.

    Raises:
        ValueError: if the shapes differ, the weights do not sum to 1, or a stratum that is there has no unit, or one
            that is not there has some.
    """
    counts, weights = np.asarray(counts, np.int64), np.asarray(weights, np.float64)
    if counts.shape != (weights.size, weights.size) or counts.min(initial=0) < 0:
        raise ValueError(f"{counts.shape} counts for {weights.size} strata")
    if not np.isclose(weights.sum(), 1) or weights.min() < 0:
        raise ValueError(f"weights must be shares that sum to 1, these sum to {weights.sum()}")
    units = counts.sum(1)
    if ((units == 0) != (weights == 0)).any():
        raise ValueError(f"strata with weights {weights.tolist()} cannot have {units.tolist()} units")
    within = _over(counts, units[:, None], empty=0.0)  # n_ij / n_i
    proportions = weights[:, None] * within
    spread = _variances(within, units)
    truly = proportions.sum(0)
    users = np.where(units > 0, within.diagonal(), np.nan)
    own = spread.diagonal()
    return AreaEstimates(
        proportions=proportions,
        overall=float(proportions.trace()),
        overall_se=float(np.sqrt((weights**2 * own).sum())),
        users=users,
        users_se=np.where(units > 0, np.sqrt(own), np.nan),
        producers=_over(proportions.diagonal(), truly),
        producers_se=_producers_se(proportions, weights=weights, spread=spread),
        shares=truly,
        shares_se=np.sqrt((weights[:, None] ** 2 * spread).sum(0)),
    )


def _variances(within: Floats, units: Ints) -> Floats:
    """(K, K): q (1 - q) / (n_i - 1) of the shares q within strata; 0 in strata that are not there."""
    found = within * (1 - within)
    spread = _over(found, (units - 1)[:, None])  # NaN where a stratum has one unit
    return np.where((units == 0)[:, None], 0.0, spread)


def _producers_se(proportions: Floats, *, weights: Floats, spread: Floats) -> Floats:
    """Equation (7); areas as shares: its numerator and denominator are both of second degree in them."""
    truly = proportions.sum(0)
    producers = _over(proportions.diagonal(), truly)
    scaled = weights[:, None] ** 2 * spread
    own = scaled.diagonal()
    others = scaled.sum(0) - own
    if np.isnan(own).any():  # NaN - NaN would say nothing of strata that are fine
        others = np.array([np.delete(scaled[:, j], j).sum() for j in range(len(own))])
    variance = _over((1 - producers) ** 2 * own + producers**2 * np.maximum(others, 0), truly**2)
    return np.asarray(np.sqrt(variance))


def _over(above: npt.NDArray[np.number], below: npt.NDArray[np.number], *, empty: float = np.nan) -> Floats:
    """A quotient in float64; ``empty`` where the divisor is 0."""
    shape = np.broadcast(above, below).shape
    out: Floats = np.full(shape, empty)
    np.divide(np.asarray(above, np.float64), np.asarray(below, np.float64), out=out, where=np.asarray(below) != 0)
    return out
