"""Boundaries: SciPy's distances are the judge, and windows never change a count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from geoseg.evaluation.blocks import score_blocks
from geoseg.evaluation.boundaries import count_boundaries, halo_of, summarise_boundaries
from geoseg.evaluation.compare import Rules, compare_windows
from geoseg.evaluation.confusion import pair_counts
from geoseg.evaluation.discs import highest_within, lowest_within, near_another, reach
from geoseg.geometry.windows import Window
from geoseg.legend import Legend

IDS = (0, 2, 3)
LEGEND = Legend.from_json([{"id": i, "name": f"class {i}"} for i in IDS])
RADII = st.sampled_from([1.0, 1.5, 2.0, 2.9, 3.0, 5.0])


def class_maps(count: int, *, most: int = 14) -> st.SearchStrategy[list[np.ndarray]]:
    """Patchy maps with some nodata."""

    def patchy(shape: tuple[int, int], seed: int) -> list[np.ndarray]:
        random = np.random.default_rng(seed)
        values = np.array([*IDS, 255], np.uint8)
        size = int(random.integers(1, 5))
        coarse = [random.choice(values, (shape[0] // size + 1, shape[1] // size + 1), p=[0.4, 0.3, 0.2, 0.1])
                  for _ in range(count)]  # fmt: skip
        return [c.repeat(size, 0).repeat(size, 1)[: shape[0], : shape[1]] for c in coarse]

    shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=most)
    return st.builds(patchy, shapes, st.integers(0, 2**32))


def padded(ids: np.ndarray, rim: int) -> np.ndarray:
    return np.pad(ids, rim, constant_values=255)


def distance_to(where: np.ndarray) -> np.ndarray:
    """Of each pixel's centre to the nearest True one; infinite if there is none."""
    return ndimage.distance_transform_edt(~where) if where.any() else np.full(where.shape, np.inf)


def within(where: np.ndarray, radius: float) -> np.ndarray:
    return distance_to(where) <= radius + 1e-9


def judged_near_another(ids: np.ndarray, radius: float) -> np.ndarray:
    """Labelled pixels within a radius of a pixel of another class."""
    out = np.zeros(ids.shape, bool)
    for c in IDS:
        out |= (ids == c) & within((ids != c) & (ids != 255), radius)
    return out


@given(class_maps(1), RADII)
def test_extremes_are_those_of_scipy(maps: list[np.ndarray], radius: float) -> None:
    far = reach(radius)
    disc = np.hypot(*np.mgrid[-far : far + 1, -far : far + 1]) <= radius
    wide = padded(maps[0], far)
    inside = (slice(far, -far), slice(far, -far))
    np.testing.assert_array_equal(
        highest_within(wide, radius), ndimage.maximum_filter(wide, footprint=disc, mode="nearest")[inside]
    )
    np.testing.assert_array_equal(
        lowest_within(wide, radius), ndimage.minimum_filter(wide, footprint=disc, mode="nearest")[inside]
    )


@given(class_maps(1), RADII)
def test_near_another_is_a_distance(maps: list[np.ndarray], radius: float) -> None:
    found = near_another(padded(maps[0], reach(radius)), radius) & (maps[0] != 255)
    np.testing.assert_array_equal(found, judged_near_another(maps[0], radius))


@given(class_maps(2), RADII)
def test_scores_of_boundaries_are_those_of_distances(maps: list[np.ndarray], radius: float) -> None:
    truth, predicted = maps
    rim = halo_of(radius)
    counts = count_boundaries(padded(truth, rim), padded(predicted, rim), radius)
    found = summarise_boundaries(counts, LEGEND, distance=radius)
    scored = (truth != 255) & (predicted != 255)
    bands = [judged_near_another(ids, radius) & scored for ids in maps]
    lines = [judged_near_another(ids, 1) for ids in maps]
    for c, entry in zip(IDS, found["classes"], strict=True):
        band_t, band_p = bands[0] & (truth == c), bands[1] & (predicted == c)
        union = (band_t | band_p).sum()
        assert entry["iou"] == (None if union == 0 else pytest.approx((band_t & band_p).sum() / union))
        line_t, line_p = lines[0] & (truth == c), lines[1] & (predicted == c)
        for name, line, other in (("recall", line_t, line_p), ("precision", line_p, line_t)):
            counted = line & scored
            expected = None if not counted.any() else pytest.approx(within(other, radius)[counted].mean())
            assert entry[name] == expected


@settings(max_examples=40)
@given(class_maps(2, most=40), st.integers(1, 23), st.integers(1, 3), RADII, RADII, st.integers(1, 12))
def test_windows_never_change_a_count(
    maps: list[np.ndarray], window: int, threads: int, erode: float, boundary: float, block: int
) -> None:
    truth, predicted = maps
    rules = Rules(erode=erode, boundary=boundary, block=block)

    def reader(ids: np.ndarray) -> object:
        def read(part: Window) -> np.ndarray:
            return ids[part.within(Window.whole(ids.shape))]  # raises beyond the map

        return read

    found = compare_windows(reader(predicted), reader(truth), truth.shape, rules=rules, window=window, threads=threads)
    kept = np.where(judged_near_another(truth, erode), np.uint8(255), truth)
    np.testing.assert_array_equal(found.pairs, pair_counts(kept, predicted))
    assert found.eroded == ((kept == 255) & (truth != 255)).sum()
    rim = halo_of(boundary)
    np.testing.assert_array_equal(
        found.boundaries, count_boundaries(padded(truth, rim), padded(predicted, rim), boundary)
    )
    assert set(found.blocks) == {(r // block, c // block) for r in range(truth.shape[0]) for c in range(truth.shape[1])}
    for row, col in found.blocks:
        where = (slice(row * block, (row + 1) * block), slice(col * block, (col + 1) * block))
        np.testing.assert_array_equal(found.pairs_of((row, col)), pair_counts(kept[where], predicted[where]))


def test_the_same_map_is_perfect_and_a_shifted_one_is_within_its_shift() -> None:
    ids = np.zeros((40, 40), np.uint8)
    ids[10:30, 10:30] = 2
    moved = np.roll(ids, 2, axis=1)
    for distance, perfect in ((1.0, False), (2.0, True)):
        rim = halo_of(distance)
        same = count_boundaries(padded(ids, rim), padded(ids, rim), distance)
        assert summarise_boundaries(same, LEGEND, distance=distance)["mean_f1"] == 1
        assert summarise_boundaries(same, LEGEND, distance=distance)["miou"] == 1
        shifted = summarise_boundaries(
            count_boundaries(padded(ids, rim), padded(moved, rim), distance), LEGEND, distance=distance
        )
        assert (shifted["mean_f1"] == 1) is perfect
        assert shifted["miou"] < 1


def test_a_contour_that_only_one_map_draws_is_worth_nothing() -> None:
    ids = np.zeros((9, 9), np.uint8)
    drawn = ids.copy()
    drawn[4, 4] = 2
    found = summarise_boundaries(count_boundaries(padded(ids, 3), padded(drawn, 3), 2), LEGEND, distance=2)
    assert [c["f1"] for c in found["classes"]] == [0.0, 0.0, None]
    assert (found["mean_f1"], found["miou"]) == (0.0, 0.0)


def test_blocks_say_what_is_taken_for_what() -> None:
    truth, predicted = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
    predicted[:3, :2] = 2
    truth[:, 4:] = 255
    found = compare_windows(
        lambda w: predicted[w.within(Window.whole((4, 6)))],
        lambda w: truth[w.within(Window.whole((4, 6)))],
        (4, 6),
        rules=Rules(block=4),
    )
    left, right = score_blocks(found, LEGEND)
    assert (left.pixels, left.wrong, left.accuracy) == (16, 6, 10 / 16)
    assert left.mistake == "class 0 taken for class 2"
    assert (right.row, right.col, right.pixels, right.mistake) == (0, 1, 0, "")
    assert np.isnan(right.accuracy)
