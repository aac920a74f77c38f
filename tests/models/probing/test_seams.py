"""The seam curve: against brute force, a network of known reach, and real tiled prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import geoseg
from geoseg.geometry.windows import Window
from geoseg.models.bundle import open_bundle
from geoseg.models.probing.seams import STEP, Frame, SeamCurve, places, seam_curve
from geoseg.models.runtimes import make_predictor
from geoseg.synthesis.world import render

REACH = 11


def blurred(frame: Frame) -> np.ndarray:
    """Classes by the mean of a window of known reach, nothing beyond the edge: a network of finite receptive field."""
    mean = ndimage.uniform_filter(frame.pixels[0].astype(float), 2 * REACH + 1, mode="constant")
    return (mean > 49.5007).astype(np.intp)


def all_blurred(frames: Sequence[Frame]) -> list[np.ndarray]:
    return [blurred(frame) for frame in frames]


def noise(side: int, *, seed: int = 0) -> Frame:
    pixels = np.random.default_rng(seed).integers(0, 100, (1, side, side)).astype(np.uint8)
    return Frame(pixels=pixels, valid=np.ones((side, side), bool))


def test_a_finite_receptive_field_ends_the_curve() -> None:
    frame = noise(256)
    curve = seam_curve([frame], [blurred(frame)], classes_of=all_blurred, size=96, multiple=4)
    beyond = -(-REACH // STEP)
    assert all(n > 0 for n in curve.changed[:beyond])
    assert not any(curve.changed[beyond:])
    assert curve.disagreement((96, 96), 8) > 0
    assert curve.disagreement((96, 96), beyond * STEP) == 0


@given(
    patch=st.tuples(st.integers(20, 90), st.integers(20, 90)),
    halo=st.integers(0, 9),
    rates=st.lists(st.integers(0, 100), min_size=1, max_size=8),
)
def test_disagreement_is_the_mean_over_a_cell(patch: tuple[int, int], halo: int, rates: list[int]) -> None:
    curve = SeamCurve(size=2 * STEP * len(rates), pixels=(100,) * len(rates), changed=tuple(rates))
    down, across = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in patch)
    distance = np.minimum(down[:, None], across[None])
    tail = rates[3 * len(rates) // 4 :]
    table = np.array([*rates, sum(tail) / len(tail)]) / 100
    inside = distance[distance >= halo]
    assert curve.disagreement(patch, halo) == pytest.approx(table[np.minimum(inside // STEP, len(rates))].mean())


def test_what_holds_no_data_does_not_count() -> None:
    frame = noise(256)
    valid = frame.valid.copy()
    valid[:, 128:] = False
    half = Frame(pixels=frame.pixels, valid=valid)
    whole = blurred(frame)
    whole[:, 128:] = 7  # would differ everywhere
    curve = seam_curve([half], [whole], classes_of=all_blurred, size=96, multiple=4)
    assert not any(curve.changed[-(-REACH // STEP) :])


@given(side=st.integers(64, 400), size=st.integers(8, 400), multiple=st.sampled_from([1, 4, 8]), most=st.integers(1, 9))
def test_patches_lie_at_multiples_clear_of_the_rim(side: int, size: int, multiple: int, most: int) -> None:
    found = places(side, size=size, multiple=multiple, most=most)
    rim = side // 8 // multiple * multiple
    assert len(found) == len(set(found)) <= most
    assert bool(found) == (size <= side - 2 * rim)
    for place in found:
        assert all(start % multiple == 0 and rim <= start <= side - rim - size for start in place)


def test_the_curve_foretells_tiled_prediction(tiny_bundle: Path) -> None:
    """What a probe of one place says of a halo is what tiled prediction of another place has."""
    bundle = open_bundle(tiny_bundle)
    predictor = make_predictor(bundle)
    pixels, _ = render(Window(row_off=0, col_off=0, height=768, width=384), seed=3)
    frame, other = Frame(pixels=pixels[:, :384], valid=np.ones((384, 384), bool)), pixels[:, 384:]

    def classes_of(frames: Sequence[Frame]) -> list[np.ndarray]:
        answer = predictor.logits(np.stack([f.pixels for f in frames]), np.stack([f.valid for f in frames]))
        return [*answer.argmax(1).numpy()]

    curve = seam_curve([frame], classes_of([frame]), classes_of=classes_of, size=128, multiple=8)
    whole = geoseg.predict_array(other, bundle, patch_size=384, exact=True, overlap=0)
    foretold, found = [], []
    for halo in (0, 8, 16):
        tiled = geoseg.predict_array(other, bundle, patch_size=128, exact=True, overlap=2 * halo, batch_size=8)
        foretold.append(curve.disagreement((128, 128), halo))
        found.append(float((tiled != whole).mean()))
    assert found[0] > 0.01, "a test of a network without seams shows nothing"
    for said, true in zip(foretold, found, strict=True):
        assert 0.5 * said < true < 1.1 * said, "a third of these patches' edges are the scene's own, which are no seams"
