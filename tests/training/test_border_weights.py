"""The border map is eq. 2 of the U-Net paper, pixel by pixel and object by object."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geoseg.legend import IGNORE, Legend
from geoseg.training.border_weights import border_distances, border_map, border_weights
from geoseg.training.settings import LossConfig

Array = npt.NDArray[Any]

small = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, IGNORE]))
)
blocky = st.tuples(arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 4, IGNORE])), st.integers(1, 4)).map(
    lambda pair: np.kron(pair[0], np.ones((pair[1], pair[1]), np.uint8))
)


def components(labels: Array) -> list[set[tuple[int, int]]]:
    """4-connected components by flooding, without SciPy."""
    left = {(int(r), int(c)) for r, c in zip(*np.nonzero(labels != IGNORE), strict=True)}
    found = []
    while left:
        front = [left.pop()]
        whole = set(front)
        while front:
            r, c = front.pop()
            for near in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
                if near in left and labels[near] == labels[r, c]:
                    left.remove(near)
                    whole.add(near)
                    front.append(near)
        found.append(whole)
    return found


def by_brute_force(labels: Array, background: tuple[int, ...] = ()) -> tuple[Array, Array]:
    """For every labelled pixel the distance to every object's border, the least two of them."""
    height, width = labels.shape
    borders = []
    for whole in components(labels):
        if labels[next(iter(whole))] in background:
            continue
        rim = [
            (r, c)
            for r, c in whole
            for near in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1))
            if 0 <= near[0] < height and 0 <= near[1] < width and near not in whole
        ]
        borders.append(rim)
    first, second = np.full(labels.shape, np.inf), np.full(labels.shape, np.inf)
    for r, c in zip(*np.nonzero(labels != IGNORE), strict=True):
        reach = [min((np.hypot(r - y, c - x) for y, x in rim), default=np.inf) for rim in borders]
        first[r, c], second[r, c] = sorted([*reach, np.inf, np.inf])[:2]
    return first, second


@given(st.one_of(small, blocky))
def test_distances_agree_with_brute_force(labels: Array) -> None:
    for mine, theirs in zip(border_distances(labels), by_brute_force(labels), strict=True):
        np.testing.assert_allclose(mine, theirs)


@given(st.one_of(small, blocky), st.sampled_from([(0,), (1,), (0, 1), (0, 1, 2, 4), (7,)]))
def test_distances_on_a_background_agree_with_brute_force(labels: Array, background: tuple[int, ...]) -> None:
    expected = by_brute_force(labels, background)
    for mine, theirs in zip(border_distances(labels, background=background), expected, strict=True):
        np.testing.assert_allclose(mine, theirs)


def test_on_a_background_a_narrow_gap_weighs_more_than_a_wide_one() -> None:
    labels = np.zeros((9, 39), np.uint8)
    for first, stop in ((0, 4), (7, 20), (35, 39)):  # houses, 3 and 15 px of road between them
        labels[:, first:stop] = 1
    flat = border_weights(labels, w0=10, sigma=5)[4]
    paper = border_weights(labels, w0=10, sigma=5, background=(0,))[4]
    narrow, wide = 4, 20  # road pixels that touch a house
    assert flat[narrow] == flat[wide] == flat[34]
    np.testing.assert_allclose(paper[[narrow, wide]], 10 * np.exp(-(np.array([1 + 3, 1 + 15]) ** 2) / 50), rtol=1e-6)


@given(st.one_of(small, blocky), st.floats(0.1, 20), st.floats(0.5, 9))
def test_weights_are_the_papers_formula(labels: Array, w0: float, sigma: float) -> None:
    first, second = by_brute_force(labels)
    found = border_weights(labels, w0=w0, sigma=sigma)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, w0 * np.exp(-((first + second) ** 2) / (2 * sigma**2)), rtol=1e-5, atol=1e-12)
    assert not found[labels == IGNORE].any()


def test_many_objects_of_one_class_are_told_apart() -> None:
    labels = np.full((39, 39), IGNORE, np.uint8)
    for i in range(10):
        for j in range(10):
            labels[4 * i : 4 * i + 3, 4 * j : 4 * j + 3] = 1  # gaps of one unlabelled pixel
    first, second = border_distances(labels)
    assert first[0:3, 0].tolist() == [2, 1, 0]  # the patch's edge is no border, the gap is
    assert second[2, 1] == 2
    assert second[17, 17] == 3
    assert not np.isinf(second[labels == 1]).any()


def test_one_object_has_no_border_to_another() -> None:
    assert not border_weights(np.ones((5, 7), np.uint8), w0=10, sigma=5).any()
    assert not border_weights(np.full((5, 7), IGNORE, np.uint8), w0=10, sigma=5).any()


def test_the_map_is_off_by_default() -> None:
    legend = Legend.numbered(2)
    assert border_map(LossConfig(), legend=legend) is None
    labels = np.repeat(np.array([[0, 1]], np.uint8), 4, axis=1)
    weigh = border_map(LossConfig(border_w0=10, border_sigma=2), legend=legend)
    assert weigh is not None
    np.testing.assert_array_equal(weigh(labels), border_weights(labels, w0=10, sigma=2))
    expected = 10 * np.exp(-(np.array([7, 5, 3, 1, 1, 3, 5, 7]) ** 2) / 8)
    np.testing.assert_allclose(weigh(labels)[0], expected, rtol=1e-6)


def test_background_classes_are_named() -> None:
    legend = Legend.numbered(3)
    config = LossConfig(border_w0=10, border_sigma=2, border_background=(legend.names[1],))
    weigh = border_map(config, legend=legend)
    assert weigh is not None
    labels = np.repeat(np.array([[0, 1, 2]], np.uint8), 4, axis=1)
    np.testing.assert_array_equal(weigh(labels), border_weights(labels, w0=10, sigma=2, background=(1,)))
    assert weigh(labels)[0, 5] != border_weights(labels, w0=10, sigma=2)[0, 5]
