"""Patches lie on the scene where their placement says, and labels move with their pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from geoseg.geometry.windows import Window
from geoseg.legend import IGNORE
from geoseg.training.augment import Placement, oriented, random_placement, recoloured
from geoseg.training.patches import cut_patch
from geoseg.training.scenes import LabelledScene
from geoseg.training.settings import AugmentConfig


def scene_of(pixels: npt.NDArray[Any], labels: npt.NDArray[np.uint8], valid: Any = None) -> LabelledScene:
    whole = np.ones(labels.shape, bool) if valid is None else valid

    def read(window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        part = window.within(Window.whole((labels.shape[0], labels.shape[1])))
        return pixels[:, *part].copy(), whole[part].copy()

    return LabelledScene(name="fake", read=read, labels=labels, counts=np.ones((1, 1, 1), np.int64))


def as_is(pixels: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    return np.where(valid, pixels, 0).astype(np.float32)


def coordinates(height: int, width: int) -> LabelledScene:
    """A scene whose bands are its row and column numbers and whose labels are a function of both."""
    rows, cols = np.mgrid[:height, :width].astype(np.float32)
    labels = ((7 * rows + 3 * cols) % 11).astype(np.uint8)
    return scene_of(np.stack([rows, cols]), labels)


placements = st.builds(
    Placement,
    angle=st.one_of(st.just(0.0), st.floats(-math.pi / 4, math.pi / 4)),
    scale=st.floats(0.5, 1.6),
    turns=st.integers(0, 3),
    mirror=st.booleans(),
)


@given(placements, st.floats(-20, 220), st.floats(-20, 180))
def test_labels_are_those_of_the_pixels_nearest(placement: Placement, row: float, col: float) -> None:
    scene = coordinates(200, 160)
    pixels, valid, labels = cut_patch(scene, centre=(row, col), placement=placement, size=32, normalise=as_is)
    assert pixels.shape == (2, 32, 32)
    assert valid.all()
    inside = labels != IGNORE
    assert inside.all()  # pushed inside: the scene is larger than any of these patches
    off_grid = np.abs(pixels - np.rint(pixels)).max(axis=0) < 0.49  # nearest is a matter of rounding beyond
    near = np.rint(pixels).astype(int)
    assert (labels == scene.labels[near[0], near[1]])[off_grid].all()
    # bilinear is exact on linear functions: neighbours lie `scale` apart, rows across columns
    down = np.diff(pixels, axis=1).reshape(2, -1)
    right = np.diff(pixels, axis=2).reshape(2, -1)
    np.testing.assert_allclose(np.hypot(*down), placement.scale, atol=1e-3)
    np.testing.assert_allclose((down[:, :1] * right[:, :1]).sum(), 0, atol=1e-3)


def test_exact_patches_are_the_scenes_own_pixels() -> None:
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 255, (3, 90, 70)).astype(np.uint8)
    scene = scene_of(stored, rng.integers(0, 5, (90, 70)).astype(np.uint8))
    for placement in (Placement(), Placement(turns=3), Placement(turns=1, mirror=True)):
        pixels, _, labels = cut_patch(scene, centre=(40, 30), placement=placement, size=32, normalise=as_is)
        np.testing.assert_array_equal(pixels, oriented(stored[:, 24:56, 14:46], placement))
        np.testing.assert_array_equal(labels, oriented(scene.labels[24:56, 14:46], placement))


def test_the_eight_symmetries_are_all_drawn() -> None:
    config = AugmentConfig()
    rng = np.random.default_rng(1)
    square = np.arange(9).reshape(3, 3)
    seen = {oriented(square, random_placement(config, rng)).tobytes() for _ in range(200)}
    assert len(seen) == 8
    still = AugmentConfig(flips=False, quarter_turns=False)
    assert {oriented(square, random_placement(still, rng)).tobytes() for _ in range(50)} == {square.tobytes()}


@pytest.mark.parametrize("shape", [(20, 15), (1, 40), (64, 9), (33, 33)])
def test_small_scenes_are_reflected_and_nothing_is_learnt_there(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    stored = rng.normal(size=(2, *shape)).astype(np.float32)
    labels = rng.integers(0, 3, shape).astype(np.uint8)
    pixels, _, found = cut_patch(
        scene_of(stored, labels), centre=(5, 5), placement=Placement(), size=32, normalise=as_is
    )
    pads, cuts = [], []
    for length in shape:
        before = max(0, -((length - 32) // 2))
        pads.append((before, max(0, 32 - length - before)))
        cuts.append(slice(None) if length <= 32 else slice(0, 32))
    if shape != (64, 9):  # an axis that is larger is pushed, which the other test shows
        np.testing.assert_allclose(
            pixels, np.pad(stored, [(0, 0), *pads], mode="reflect")[:, cuts[0], cuts[1]], atol=1e-6
        )
        np.testing.assert_array_equal(found, np.pad(labels, pads, constant_values=IGNORE)[cuts[0], cuts[1]])
    assert (found != IGNORE).sum() == min(shape[0], 32) * min(shape[1], 32)


def test_interpolation_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    stored = rng.normal(size=(3, 50, 60)).astype(np.float32)
    scene = scene_of(stored, np.zeros((50, 60), np.uint8))
    placement = Placement(angle=0.3, scale=2.0)  # needs more than the scene has: reflected
    pixels, _, _ = cut_patch(scene, centre=(25, 30), placement=placement, size=40, normalise=as_is)
    rows, cols = placement.grid(40)
    reach = placement.reach(40)
    where = [rows + (50 - reach) // 2 + (reach - 1) / 2, cols + (60 - reach) // 2 + (reach - 1) / 2]
    for mine, band in zip(pixels, stored, strict=True):
        np.testing.assert_allclose(mine, ndimage.map_coordinates(band, where, order=1, mode="mirror"), atol=1e-4)


@given(placements, st.integers(0, 2**32 - 1))
def test_what_invalid_pixels_hold_changes_nothing(placement: Placement, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stored = rng.normal(size=(2, 80, 80)).astype(np.float32)
    valid = rng.random((80, 80)) < 0.7
    labels = np.ones((80, 80), np.uint8)
    spoilt = np.where(valid, stored, 1e6).astype(np.float32)
    first = cut_patch(scene_of(stored, labels, valid), centre=(40, 40), placement=placement, size=32, normalise=as_is)
    second = cut_patch(scene_of(spoilt, labels, valid), centre=(40, 40), placement=placement, size=32, normalise=as_is)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(first[2] == IGNORE, ~first[1])


@pytest.mark.parametrize("bands", [1, 3, 5])
def test_colours_change_by_what_is_asked(bands: int) -> None:
    rng = np.random.default_rng(4)
    pixels = rng.normal(size=(bands, 16, 16)).astype(np.float32)
    np.testing.assert_array_equal(recoloured(pixels, AugmentConfig(), rng), pixels)
    config = AugmentConfig(brightness=0.5, contrast=0.3, saturation=0.4, cast=0.2, noise=0.1)
    changed = recoloured(pixels, config, rng)
    assert changed.dtype == np.float32
    assert not np.allclose(changed, pixels)


def test_turning_hue_keeps_grey_grey() -> None:
    grey = np.repeat(np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 4, 4), 3, axis=0)
    turned = recoloured(grey, AugmentConfig(hue=0.3, saturation=0.5), np.random.default_rng(5))
    np.testing.assert_allclose(turned, grey, atol=1e-6)
