"""Candidates fit the network; draws follow the paper's four distributions and depend on seed and step alone."""

from __future__ import annotations

import collections
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from geoseg.contexts.candidates import SizeRule, candidate_sizes, ladder
from geoseg.contexts.distributions import DISTRIBUTIONS, Distribution, make_distribution
from geoseg.errors import PlanError

RULES = st.builds(SizeRule, multiple=st.sampled_from([1, 8, 14, 32]), least=st.integers(1, 200))


@given(st.integers(1, 2000), RULES)
def test_the_nearest_sizes_are_taken_and_no_taken_one_is_nearer(size: int, rule: SizeRule) -> None:
    near = rule.near(size)
    assert all(rule.refusal(s) is None for s in near)
    closest = min(abs(s - size) for s in range(1, 4000) if rule.refusal(s) is None)
    assert min(abs(s - size) for s in near) == closest
    if rule.refusal(size) is None:
        assert near == (size,)
    else:
        assert all(str(s) in str(rule.refusal(size)) for s in near)


@given(st.integers(1, 400), st.integers(0, 600), st.one_of(st.none(), st.integers(1, 70)), RULES)
def test_a_range_gives_every_fitting_size(low: int, more: int, step: int | None, rule: SizeRule) -> None:
    high = low + more
    by = rule.multiple if step is None else step
    expected = tuple(s for s in range(-(-low // by) * by, high + 1, by) if rule.refusal(s) is None)
    if not expected:
        with pytest.raises(PlanError, match=r"would$"):
            candidate_sizes(span=(low, high), step=step, rule=rule)
        return
    assert candidate_sizes(span=(low, high), step=step, rule=rule) == expected


def test_networks_of_fixed_size_name_them() -> None:
    rule = SizeRule(only=(224, 384))
    assert candidate_sizes(span=(200, 400), rule=rule) == (224, 384)
    assert candidate_sizes([224, 512], rule=rule) == (224,)
    assert rule.near(1000) == (384,)
    with pytest.raises(PlanError, match="224, 384 px only"):
        candidate_sizes([256], rule=rule)


@given(
    st.integers(1, 900), st.one_of(RULES, st.builds(SizeRule, only=st.tuples(st.integers(1, 500), st.integers(1, 500))))
)
def test_at_least_is_the_smallest_that_is_no_smaller(side: int, rule: SizeRule) -> None:
    taken = [s for s in range(1, 1500) if rule.refusal(s) is None]
    assert rule.at_least(side) == min((s for s in taken if s >= side), default=taken[-1])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(0, 300))
def test_a_ladder_reaches_from_the_smallest_to_twice_the_largest(sizes: list[int], above: int) -> None:
    rule = SizeRule(multiple=32)
    trained = [32 * s for s in sizes]
    rungs = ladder(trained, rule=rule, above=above)
    assert all(r % 32 == 0 and r > above for r in rungs)
    assert rungs[-1] == 2 * max(*trained, above) // 32 * 32 or rungs[-1] - 2 * max(*trained, above) < 32
    assert all(b / a < 2.1 for a, b in itertools.pairwise(rungs))


@pytest.mark.parametrize(
    ("name", "sizes", "span", "expected"),
    [
        ("single", [64], None, {64: 1}),
        ("uniform-fixed", [96, 32, 64], None, {32: 1, 64: 1, 96: 1}),
        ("uniform", [], (32, 128), {32: 1, 64: 1, 96: 1, 128: 1}),
        ("uniform", [64], (32, 128), {32: 1, 64: 1, 96: 1, 128: 1}),
        ("uniform", [32, 128], None, {32: 1, 64: 1, 96: 1, 128: 1}),
        ("multinomial", [64, 128], (32, 128), {32: 1, 64: 2, 96: 1, 128: 2}),
    ],
)
def test_the_papers_distributions(
    name: str, sizes: list[int], span: tuple[int, int] | None, expected: dict[int, int]
) -> None:
    found = make_distribution(name, sizes=sizes, span=span, rule=SizeRule(multiple=32))
    assert dict(zip(found.sizes, found.weights, strict=True)) == expected
    assert sum(found.probabilities) == pytest.approx(1)
    drawn = collections.Counter(found.size_at(step, seed=5) for step in range(4000))
    assert set(drawn) == set(expected)
    if len(expected) > 1:
        total = sum(expected.values())
        wanted = [4000 * w / total for w in found.weights]
        assert chisquare([drawn[s] for s in found.sizes], wanted).pvalue > 1e-4


def test_a_draw_depends_on_seed_and_step_alone() -> None:
    distribution = Distribution(sizes=(32, 64, 96), weights=(1, 2, 1))
    there = [distribution.size_at(step, seed=1) for step in range(50)]
    assert there == [distribution.size_at(step, seed=1) for step in reversed(range(50))][::-1]
    assert there != [distribution.size_at(step, seed=2) for step in range(50)]


@pytest.mark.parametrize(
    ("name", "sizes", "span", "message"),
    [
        ("single", [64, 96], None, "use 'uniform-fixed'"),
        ("uniform-fixed", [], None, "list of sizes"),
        ("uniform-fixed", [50], None, "nearest are 32, 64"),
        ("uniform", [64], None, "range of sizes"),
        ("uniform", [], (33, 63), "no context among 33 to 63 px fits"),
        ("multinomial", [], (32, 128), "twice as likely"),
        ("normal", [64], None, "there are single"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(
    name: str, sizes: list[int], span: tuple[int, int] | None, message: str
) -> None:
    assert "normal" not in DISTRIBUTIONS
    with pytest.raises(PlanError, match=message):
        make_distribution(name, sizes=sizes, span=span, rule=SizeRule(multiple=32))  # type: ignore[arg-type]
