"""Draws are balanced, repeatable and bounded."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from geoseg.contexts.distributions import Distribution
from geoseg.errors import ConfigError
from geoseg.geometry.windows import Window
from geoseg.legend import IGNORE, Legend
from geoseg.models.card import Normalisation
from geoseg.training.border_weights import border_weights
from geoseg.training.sampling import PatchSampler
from geoseg.training.scenes import BLOCK, LabelledScene, check_classes, measure_normalisation, scan_labels
from geoseg.training.settings import AugmentConfig

PLAIN = Normalisation(mean=(0.0,), std=(1.0,))


class FakeRaster:
    """One band that holds the label; remembers the largest window that was read."""

    def __init__(self, labels: npt.NDArray[np.uint8]) -> None:
        self.labels = labels
        self.largest = 0

    def pixels(self, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        part = self.ids(window)
        return part[None].astype(np.uint8), np.ones(part.shape, bool)

    def ids(self, window: Window) -> npt.NDArray[np.uint8]:
        self.largest = max(self.largest, window.pixels)
        return self.labels[window.within(Window.whole((self.labels.shape[0], self.labels.shape[1])))]


def opened(labels: npt.NDArray[np.uint8], path: Path, *, weight: float = 1.0, legend: Legend | None = None) -> Any:
    raster = FakeRaster(labels)
    shape = (labels.shape[0], labels.shape[1])
    mapped, counts = scan_labels(raster.ids, shape=shape, legend=legend or Legend.numbered(3), path=path)
    scene = LabelledScene(name=path.stem, read=raster.pixels, labels=mapped, counts=counts, weight=weight)
    return scene, raster


def sampler(*scenes: LabelledScene, **changes: Any) -> PatchSampler:
    settings: dict[str, Any] = {"batch_size": 4, "augment": AugmentConfig(), "normalisation": PLAIN}
    settings |= changes
    contexts = settings.pop("contexts", Distribution(sizes=(16,), weights=(1,)))
    budget = settings.pop("batch_size") * contexts.sizes[-1] ** 2
    return PatchSampler(scenes, contexts=contexts, pixel_budget=budget, **settings)


def rare(seed: int = 0) -> npt.NDArray[np.uint8]:
    """Mostly class 0, one corner of class 1, one pixel of class 2."""
    labels = np.zeros((700, 500), np.uint8)
    labels[:60, -60:] = 1
    labels[650, 20 + seed] = 2
    return labels


@pytest.mark.parametrize("shape", [(1, 1), (128, 128), (129, 257), (1300, 70)])
def test_labels_are_copied_and_counted(tmp_path: Path, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    ids = rng.choice(np.array([3, 7, 200, IGNORE], np.uint8), shape)
    legend = Legend.from_json([{"id": i, "name": str(i)} for i in (3, 7, 200)])
    scene, _ = opened(ids, tmp_path / "s.u8", legend=legend)
    expected = np.select([ids == 3, ids == 7, ids == 200], [0, 1, 2], IGNORE)
    np.testing.assert_array_equal(scene.labels, expected)
    for row, col in np.ndindex(scene.counts.shape[:2]):
        block = expected[row * BLOCK : (row + 1) * BLOCK, col * BLOCK : (col + 1) * BLOCK]
        assert scene.counts[row, col].tolist() == [(block == k).sum() for k in range(3)]


def test_rare_classes_are_drawn_as_often_as_common_ones(tmp_path: Path) -> None:
    scene, _ = opened(rare(), tmp_path / "s.u8")
    draws = sampler(scene, batch_size=1, balance=1.0)
    with_rare = np.array([[(draws.batch(i).labels == k).any() for k in (1, 2)] for i in range(300)])
    # a drawn pixel is in its patch but for those that the scene's edge pushes away: a third each, within 4 sigma
    assert (with_rare.mean(axis=0) > 0.22).all(), with_rare.mean(axis=0)
    by_area = sampler(scene, batch_size=1, balance=0.0)
    assert np.mean([(by_area.batch(i).labels == 2).any() for i in range(300)]) < 0.05


def test_scenes_are_drawn_by_weight(tmp_path: Path) -> None:
    low, _ = opened(np.zeros((100, 100), np.uint8), tmp_path / "low.u8", weight=1)
    high, _ = opened(np.full((100, 100), 2, np.uint8), tmp_path / "high.u8", weight=3)
    draws = sampler(low, high, batch_size=400)
    share = (draws.batch(0).labels[:, 0, 0] == 2).mean()
    assert 0.75 - 0.09 < share < 0.75 + 0.09


def test_a_batch_is_a_function_of_seed_and_step(tmp_path: Path) -> None:
    scene, _ = opened(rare(), tmp_path / "s.u8")
    augment = AugmentConfig(rotation=0.5, scale=(0.5, 2.0), brightness=1.0, noise=0.1, elastic=0.5)
    plain = [sampler(scene, augment=augment, seed=5).batch(i) for i in range(3, 9)]
    for loaders in (1, 3):
        np.random.seed(loaders)  # noqa: NPY002 - global states, which must not matter
        torch.manual_seed(loaders)
        prepared = sampler(scene, augment=augment, seed=5).batches(start=3, stop=9, loaders=loaders)
        for one, other in zip(plain, prepared, strict=True):
            np.testing.assert_array_equal(one.pixels, other.pixels)
            np.testing.assert_array_equal(one.labels, other.labels)
    assert not np.array_equal(plain[0].pixels, plain[1].pixels)
    assert not np.array_equal(plain[0].pixels, sampler(scene, augment=augment, seed=6).batch(3).pixels)


def test_the_share_of_patches_that_asks_for_it_is_deformed(tmp_path: Path) -> None:
    scene, _ = opened(rare(), tmp_path / "s.u8")
    calm = AugmentConfig(flips=False, quarter_turns=False)
    strong = {"elastic_alpha": 100.0, "elastic_sigma": 3.0}
    plain = sampler(scene, augment=calm, batch_size=200, balance=0.0).batch(0)
    for share, low, high in ((0.0, 0.0, 0.0), (0.3, 0.15, 0.45), (1.0, 1.0, 1.0)):
        augment = replace(calm, elastic=share, **strong)
        found = sampler(scene, augment=augment, batch_size=200, balance=0.0).batch(0)
        changed = (found.labels == IGNORE).any(axis=(1, 2))  # some of it came from beyond the patch
        assert low <= changed.mean() <= high
        np.testing.assert_array_equal(found.pixels[~changed], plain.pixels[~changed])
        same = found.labels != IGNORE  # the band holds the label: moved as one, 0 where nothing came
        np.testing.assert_array_equal(np.rint(found.pixels[:, 0])[same], found.labels[same])
        assert not found.pixels[:, 0][~same].any()


def test_border_maps_belong_to_the_labels_as_they_are_learnt(tmp_path: Path) -> None:
    scene, _ = opened(rare(), tmp_path / "s.u8")
    assert sampler(scene).batch(0).border is None
    weigh = partial(border_weights, w0=10, sigma=2)
    augment = AugmentConfig(rotation=1.0, elastic=1.0)
    found = sampler(scene, augment=augment, border=weigh).batch(3)
    assert found.border is not None
    assert found.border.shape == found.labels.shape
    assert found.border.dtype == np.float32
    assert found.border.any()
    for border, labels in zip(found.border, found.labels, strict=True):
        np.testing.assert_array_equal(border, weigh(labels.astype(np.uint8)))


def test_a_class_without_a_pixel_is_named(tmp_path: Path) -> None:
    one, _ = opened(np.full((50, 50), 0, np.uint8), tmp_path / "one.u8")
    two, _ = opened(np.full((50, 30), 2, np.uint8), tmp_path / "two.u8")
    legend = Legend.numbered(3)
    with pytest.raises(
        ConfigError, match=r"a pixel of 'class 1' \(.*class 0 2,500, class 2 1,500\); add .*legend"
    ) as caught:
        check_classes([one, two], legend)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"a pixel of 'class 1', 'class 2' \(.*class 0 2,500\)"):
        check_classes([one], legend)
    three, _ = opened(rare(), tmp_path / "three.u8")
    check_classes([three], legend)
    check_classes([one, three], legend)


def test_no_read_is_larger_than_a_patch_needs(tmp_path: Path) -> None:
    scene, raster = opened(rare(), tmp_path / "s.u8")
    raster.largest = 0
    draws = sampler(scene, batch_size=50, augment=AugmentConfig(rotation=1.0, scale=(1.0, 2.0)))
    draws.batch(0)
    assert 0 < raster.largest <= (16 * 2 * 1.4143 + 3) ** 2


def test_preparing_ahead_ends_with_the_consumer(tmp_path: Path) -> None:
    scene, _ = opened(rare(), tmp_path / "s.u8")
    batches = sampler(scene).batches(start=0, stop=10**9)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert list(sampler(scene).batches(start=5, stop=5)) == []


def test_scenes_without_labels_are_an_error(tmp_path: Path) -> None:
    scene, _ = opened(np.full((50, 50), IGNORE, np.uint8), tmp_path / "s.u8")
    with pytest.raises(ConfigError, match="none of the 1 training scenes has a labelled pixel"):
        sampler(scene)


def test_normalisation_is_measured_on_valid_pixels() -> None:
    rng = np.random.default_rng(6)
    pixels = rng.normal((10, 200, 5), (2, 30, 0), (600, 500, 3)).transpose(2, 0, 1).astype(np.float32)
    valid = rng.random((600, 500)) < 0.8
    pixels[:, ~valid] = 1e9

    def read(window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        part = window.within(Window.whole((600, 500)))
        return pixels[:, *part], valid[part]

    scene = LabelledScene(
        name="s", read=read, labels=np.zeros((600, 500), np.uint8), counts=np.ones((1, 1, 1), np.int64)
    )
    found = measure_normalisation([scene])
    np.testing.assert_allclose(found.mean, (10, 200, 5), rtol=0.01)
    np.testing.assert_allclose(found.std, (2, 30, 1), rtol=0.02)  # a constant band is divided by one
