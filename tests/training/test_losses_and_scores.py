"""The loss ignores what it must, the schedule stays in bounds, scores agree with scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score
from torch.nn import functional

from geoseg.contexts.candidates import SizeRule
from geoseg.contexts.scores import Criterion
from geoseg.geometry.windows import Window
from geoseg.legend import IGNORE, Legend
from geoseg.models.card import Normalisation
from geoseg.training.lightning_module import SegmentationModule
from geoseg.training.losses import SegmentationLoss
from geoseg.training.scenes import LabelledScene
from geoseg.training.schedule import learning_rate, share_done
from geoseg.training.settings import ContextsConfig, FitConfig, LossConfig
from geoseg.training.validation import scores_of, validate


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, 8, 8, generator=generator)
    return logits, torch.randint(0, 4, (2, 8, 8), generator=generator)


@pytest.mark.parametrize("weights", [(), (1.0, 2.0, 0.0, 0.5)])
def test_cross_entropy_is_torchs_mean(weights: tuple[float, ...]) -> None:
    logits, labels = batch()
    labels[0, :3] = IGNORE
    config = FitConfig(steps=1, losses=LossConfig(dice=0), class_weights=weights, label_smoothing=0.1)
    expected = functional.cross_entropy(
        logits,
        labels,
        weight=torch.tensor(weights) if weights else None,
        ignore_index=IGNORE,
        label_smoothing=0.1,
    )
    torch.testing.assert_close(SegmentationLoss(config)(logits, labels), expected)


def test_dice_of_a_perfect_answer_is_zero() -> None:
    _, labels = batch()
    loss = SegmentationLoss(FitConfig(steps=1, losses=LossConfig(cross_entropy=0)))
    sure = functional.one_hot(labels, 4).permute(0, 3, 1, 2) * 100.0
    assert float(loss(sure, labels)) < 1e-4
    assert float(loss(-sure, labels)) > 0.9


def test_logits_of_ignored_pixels_change_nothing() -> None:
    logits, labels = batch()
    labels[:, 4:] = IGNORE
    spoilt = logits.clone()
    spoilt[:, :, 4:] = 50.0
    loss = SegmentationLoss(FitConfig(steps=1))
    torch.testing.assert_close(loss(logits, labels), loss(spoilt, labels))


def test_a_batch_without_labels_teaches_nothing() -> None:
    logits, labels = batch()
    logits.requires_grad_()
    loss = SegmentationLoss(FitConfig(steps=1))(logits, torch.full_like(labels, IGNORE))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert logits.grad.abs().max().item() == 0.0


@given(st.floats(-1, 2), st.floats(0, 0.9))
def test_learning_rate_stays_in_bounds(done: float, warm_up: float) -> None:
    rate = learning_rate(done, peak=2.0, warm_up=warm_up)
    assert 2.0 * 0.01 - 1e-9 <= rate <= 2.0 + 1e-9


def test_learning_rate_peaks_after_warm_up_and_ends_low() -> None:
    assert learning_rate(0.1, peak=1.0, warm_up=0.1) == pytest.approx(1.0)
    assert learning_rate(0.0, peak=1.0, warm_up=0.1) == pytest.approx(0.04)
    assert learning_rate(1.0, peak=1.0, warm_up=0.1) == pytest.approx(0.01)


def test_a_time_limit_only_shortens() -> None:
    assert share_done(step=5, steps=10, seconds=1e9, limit=None) == 0.5
    assert share_done(step=5, steps=10, seconds=30, limit=100) == 0.5
    assert share_done(step=1, steps=10, seconds=100, limit=100) == 1.0


def test_scores_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(7)
    truth, guess = rng.integers(0, 4, 5000), rng.integers(0, 4, 5000)  # class 4 is in neither
    confusion = np.bincount(truth * 5 + guess, minlength=25).reshape(5, 5)
    scores = scores_of(confusion, legend=Legend.numbered(5))
    expected = jaccard_score(truth, guess, average=None)
    assert list(scores.iou.values()) == pytest.approx(list(expected))
    assert list(scores.iou) == [f"class {i}" for i in range(4)]
    assert scores.miou == pytest.approx(expected.mean())
    assert scores.overall_accuracy == pytest.approx((truth == guess).mean())
    assert scores.pixels == 5000


class FixedSides(torch.nn.Module):
    """Class 1 where the pixel is positive; takes only squares of 224 or 448 px."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        assert pixels.shape[-2:] in ((224, 224), (448, 448))
        return torch.cat([-pixels, pixels], dim=1)


def test_validation_pads_the_rest_to_a_size_that_holds_it() -> None:
    stored = np.random.default_rng(9).normal(0, 1, (1, 300, 648)).astype(np.float32)
    labels = (stored[0] > 0).astype(np.uint8)

    def read(window: Window) -> tuple[Any, Any]:
        part = window.within(Window.whole(labels.shape))
        return stored[:, *part], np.ones(labels.shape, np.bool_)[part]

    scene = LabelledScene(name="s", read=read, labels=labels, counts=np.ones((1, 1, 2), np.int64))
    found = validate(
        FixedSides(),
        [scene],
        normalisation=Normalisation(mean=(0.0,), std=(1.0,)),
        legend=Legend.numbered(2),
        window=448,
        rule=SizeRule(only=(224, 448)),
    )["s"]
    assert (found.pixels, found.overall_accuracy) == (labels.size, 1.0)


@pytest.mark.parametrize("criterion", ["accuracy", "loss"])
def test_a_batch_without_labels_earns_nothing(criterion: Criterion) -> None:
    config = FitConfig(steps=1, contexts=ContextsConfig(sizes=(8,), criterion=criterion))
    module = SegmentationModule(torch.nn.Conv2d(1, 4, 1), config=config, rate=lambda step: 0.1)
    _, labels = batch()
    for truth in (torch.full_like(labels, IGNORE), labels):
        module.training_step((torch.ones(2, 1, 8, 8), truth, None), 0)
        module.count_step()
    score = module.scores[8]
    assert score.count == 1
    assert score.total > 0


class Threshold(torch.nn.Module):
    """Class 1 where the pixel is positive; takes only sides that are multiples of 4."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        assert pixels.shape[-1] % 4 == 0
        assert pixels.shape[-2] % 4 == 0
        return torch.cat([-pixels, pixels], dim=1)


def test_validation_counts_every_valid_labelled_pixel_once() -> None:
    rng = np.random.default_rng(8)
    stored = rng.normal(5, 2, (1, 45, 51)).astype(np.float32)
    labels = rng.choice(np.array([0, 1, IGNORE], np.uint8), (45, 51))
    valid = rng.random((45, 51)) < 0.9

    def read(window: Window) -> tuple[Any, Any]:
        part = window.within(Window.whole((45, 51)))
        return stored[:, *part], valid[part]

    scene = LabelledScene(name="s", read=read, labels=labels, counts=np.ones((1, 1, 2), np.int64))
    found = validate(
        Threshold(),
        [scene],
        normalisation=Normalisation(mean=(5.0,), std=(2.0,)),
        legend=Legend.numbered(2),
        window=20,
        rule=SizeRule(multiple=4),
    )["s"]
    scored = valid & (labels != IGNORE)
    assert found.pixels == scored.sum()
    guess = stored[0] > 5
    assert found.overall_accuracy == pytest.approx((guess == labels)[scored].mean())
    assert found.miou == pytest.approx(jaccard_score(labels[scored], guess[scored], average="macro"))
