"""Small regions: the rule against a slow reading of it, pixel by pixel, and what follows from it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from geoseg.geometry.windows import split
from geoseg.polygons.absorb import absorb
from geoseg.polygons.cleaned import cleaned_map
from geoseg.polygons.survey import join_graph, survey_tile
from tests.polygons.maps import Ids, read_from, smooth
from tests.polygons.test_joining import small_maps


def labelled(classes: Ids) -> tuple[np.ndarray, int]:
    labels, count = np.zeros(classes.shape, int), 0
    for value in np.unique(classes[classes != 255]):
        found, more = ndimage.label(classes == value)
        labels[found > 0] = found[found > 0] + count
        count += more
    return labels, count


def by_the_rule(classes: Ids, least: float, step: tuple[float, float]) -> Ids:
    """One region at a time, everything looked at anew each time."""
    classes = classes.copy()
    while True:
        labels, count = labelled(classes)
        pixels = {i: np.flatnonzero(labels == i) for i in range(1, count + 1)}
        for area, _, i in sorted((len(p), int(p[0]), i) for i, p in pixels.items()):
            borders: dict[int, float] = {}
            for row, col in np.argwhere(labels == i) if area < least else ():
                for down, across, length in ((0, 1, step[1]), (0, -1, step[1]), (1, 0, step[0]), (-1, 0, step[0])):
                    r, c = row + down, col + across
                    if 0 <= r < classes.shape[0] and 0 <= c < classes.shape[1] and labels[r, c] not in (0, i):
                        borders[labels[r, c]] = borders.get(labels[r, c], 0) + length
            if borders:
                into = min(borders, key=lambda n: (-borders[n], -len(pixels[n]), pixels[n][0]))
                classes[labels == i] = classes[labels == into][0]
                break
        else:
            return classes


def cleaned(classes: Ids, least: float, tile: int, step: tuple[float, float] = (1.0, 1.0)) -> Ids:
    """As ``export`` does it; what each tile sees of its neighbours is checked on the way."""

    def read(window):
        return read_from(classes, window)

    windows = list(split(classes.shape, size=(tile, tile)))
    tiles = [survey_tile(read(w), w, width=classes.shape[1]) for w in windows]
    graph = join_graph(tiles)
    final = absorb(graph, areas=graph.pixels.astype(float), least=least, step=step)
    made = cleaned_map(read, tiles, side=tile, final=final[graph.parts])
    out = np.zeros_like(classes)
    for w in windows:
        out[w.row_off : w.row_stop, w.col_off : w.col_stop] = made.padded(w)[1:-1, 1:-1]
    for w in windows:
        np.testing.assert_array_equal(made.padded(w), read_from(out, w.grown(1)))
    return out


@given(small_maps, st.integers(1, 13), st.sampled_from([1.0, 2.0, 3.0, 6.0, 30.0]), st.sampled_from([0.5, 1.0, 3.0]))
@settings(max_examples=60)
def test_the_rule_in_any_tiles(classes: Ids, tile: int, least: float, tall: float) -> None:
    step = (1.0, tall)
    np.testing.assert_array_equal(cleaned(classes, least, tile, step), by_the_rule(classes, least, step))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("step", [(1.0, 1.0), (1.0, 2.5)])
def test_the_rule_on_noise(seed: int, step: tuple[float, float]) -> None:
    """Where regions of one class come to touch again and again."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 4, (13, 16)).astype(np.uint8)
    classes[rng.random(classes.shape) < 0.05] = 255
    least = float(rng.integers(3, 15))
    np.testing.assert_array_equal(cleaned(classes, least, 4, step), by_the_rule(classes, least, step))


@pytest.mark.parametrize("least", [4.0, 50.0])
def test_nothing_small_is_left_and_no_hole_appears(least: float) -> None:
    classes = smooth(150, seed=2, noise=0.05)
    out = cleaned(classes, least, 64)
    np.testing.assert_array_equal(out == 255, classes == 255)
    labels, count = labelled(out)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    assert sizes.min() >= least
    before, many = labelled(classes)
    assert np.bincount(before.ravel(), minlength=many + 1)[1:].min() < least
    assert np.array_equal(out, cleaned(classes, least, 37))


def test_an_island_in_nodata_stays() -> None:
    classes = np.full((5, 5), 255, np.uint8)
    classes[2, 2] = 3
    np.testing.assert_array_equal(cleaned(classes, 10, 2), classes)


def test_the_longest_border_wins_and_ties_go_to_the_larger() -> None:
    classes = np.array([[0, 0, 0, 0], [0, 9, 1, 1], [2, 2, 2, 2], [2, 2, 2, 2]], np.uint8)
    assert cleaned(classes, 2, 3)[1, 1] == 0  # two sides against one and one
    assert cleaned(np.array([[1, 1, 9, 2, 2, 2]], np.uint8), 2, 3)[0, 2] == 2
    assert cleaned(np.array([[1, 1, 9, 2, 2]], np.uint8), 2, 3)[0, 2] == 1  # and of equals to the first
