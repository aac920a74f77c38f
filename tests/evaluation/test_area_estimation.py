"""Areas and accuracies of a stratified sample: the paper's example, and what intervals promise."""

from __future__ import annotations

import numpy as np
import pytest

from geoseg.evaluation.area_estimation import Z95, estimate_areas
from geoseg.evaluation.sample_size import sample_size

# Olofsson et al. 2014, section 5: deforestation, forest gain, stable forest, stable non-forest; 10^7 pixels of 0.09 ha.
WEIGHTS = np.array([0.02, 0.015, 0.32, 0.645])
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS, HECTARES = 10_000_000, 0.09


def test_the_papers_worked_example() -> None:
    found = estimate_areas(COUNTS, WEIGHTS)
    assert found.shares[0] * PIXELS == pytest.approx(235_086, abs=0.5)
    hectares, half = found.shares * PIXELS * HECTARES, Z95 * found.shares_se * PIXELS * HECTARES
    assert hectares.round().tolist() == [21_158, 11_686, 285_770, 581_386]
    assert half.round().tolist() == [6_158, 3_756, 15_510, 16_282]
    assert (round(found.overall, 2), round(Z95 * found.overall_se, 2)) == (0.95, 0.02)
    assert found.users.round(2).tolist() == [0.88, 0.73, 0.93, 0.96]
    assert (Z95 * found.users_se).round(2).tolist() == [0.07, 0.10, 0.04, 0.02]
    assert found.producers.round(2).tolist()[:2] == [0.75, 0.85]
    assert (Z95 * found.producers_se).round(2).tolist()[:2] == [0.21, 0.25]
    assert found.proportions.sum() == pytest.approx(1)


def test_the_papers_sample_size() -> None:
    accuracies = np.array([0.7, 0.6, 0.9, 0.95])
    assert sample_size(WEIGHTS, accuracies, target_se=0.01, population=PIXELS) == 641
    # a small map needs no more units than it has pixels
    assert sample_size(WEIGHTS, accuracies, target_se=0.0001, population=500) <= 500


def test_intervals_hold_what_they_promise() -> None:
    """95 % intervals of drawn samples cover the truth in about 95 % of the draws: every figure, not only the first."""
    random = np.random.default_rng(7)
    mapped = np.array([0.1, 0.3, 0.6])
    within = np.array([[0.8, 0.15, 0.05], [0.1, 0.85, 0.05], [0.05, 0.05, 0.9]])
    truth = (mapped[:, None] * within).sum(0)
    producers = mapped * within.diagonal() / truth
    hits = np.zeros(10)
    draws = 600
    for _ in range(draws):
        counts = np.array([random.multinomial(n, q) for n, q in zip((150, 150, 300), within, strict=True)])
        e = estimate_areas(counts, mapped)
        values = np.concatenate([[e.overall], e.users, e.producers, e.shares])
        errors = np.concatenate([[e.overall_se], e.users_se, e.producers_se, e.shares_se])
        true = np.concatenate([[(mapped * within.diagonal()).sum()], within.diagonal(), producers, truth])
        hits += np.abs(values - true) <= Z95 * errors
    assert ((hits / draws > 0.92) & (hits / draws < 0.98)).all(), hits / draws


def test_a_class_the_map_lacks_has_an_area_all_the_same() -> None:
    counts = np.array([[40, 0, 10], [0, 50, 0], [0, 0, 0]])
    found = estimate_areas(counts, np.array([0.5, 0.5, 0.0]))
    assert found.shares.tolist() == pytest.approx([0.4, 0.5, 0.1])
    assert found.shares_se[2] == pytest.approx(0.5 * np.sqrt(0.2 * 0.8 / 49))
    assert np.isnan(found.users[2])
    assert found.producers.tolist() == [1.0, 1.0, 0.0]


def test_one_unit_has_no_standard_error() -> None:
    found = estimate_areas(np.array([[1, 0], [2, 8]]), np.array([0.1, 0.9]))
    assert np.isnan(found.overall_se)
    assert np.isnan(found.users_se[0])
    assert found.users_se[1] == pytest.approx(np.sqrt(0.8 * 0.2 / 9))


def test_what_cannot_be_estimated_is_refused() -> None:
    with pytest.raises(ValueError, match="units"):
        estimate_areas(np.array([[5, 0], [0, 0]]), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="sum to 1"):
        estimate_areas(np.array([[5, 0], [0, 5]]), np.array([0.5, 0.6]))
