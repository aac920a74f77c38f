"""Every term of the loss is what its paper says, and what is not labelled is in none of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score
from torch.nn import functional

from geoseg.legend import IGNORE
from geoseg.training.losses import SegmentationLoss, unet_map
from geoseg.training.settings import FitConfig, LossConfig

NONE = LossConfig(cross_entropy=0.0, dice=0.0)
TERMS = {
    "cross_entropy": replace(NONE, cross_entropy=1.0),
    "dice": replace(NONE, dice=1.0),
    "focal": replace(NONE, focal=1.0),
    "focal-root": replace(NONE, focal=1.0, focal_gamma=0.5),
    "lovasz": replace(NONE, lovasz=1.0),
    "all": LossConfig(cross_entropy=1.0, dice=0.5, focal=0.7, lovasz=0.3),
}


def batch(seed: int, *, ignored: float = 0.3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (2, 4, 6, 5), labels and a border map."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random((2, 6, 5)) < ignored, IGNORE, rng.integers(0, 4, (2, 6, 5)))
    border = np.where(labels == IGNORE, 0, rng.uniform(0, 10, labels.shape))
    logits = torch.from_numpy(rng.normal(0, 3, (2, 4, 6, 5)).astype(np.float32))
    return logits, torch.from_numpy(labels), torch.from_numpy(border.astype(np.float32))


def loss_of(losses: LossConfig, weights: tuple[float, ...] = ()) -> SegmentationLoss:
    return SegmentationLoss(FitConfig(steps=1, losses=losses, class_weights=weights))


@given(st.integers(0, 10**6), st.floats(0, 4), st.sampled_from([(), (1.0, 2.0, 0.5, 3.0)]))
def test_focal_is_the_papers_formula(seed: int, gamma: float, weights: tuple[float, ...]) -> None:
    logits, labels, _ = batch(seed)
    labels[0, 0, 0] = 1  # one at least
    flat = np.moveaxis(logits.double().numpy(), 1, -1)[labels.numpy() != IGNORE]
    truth = labels.numpy()[labels.numpy() != IGNORE]
    p = (np.exp(flat) / np.exp(flat).sum(axis=1, keepdims=True))[np.arange(len(truth)), truth]
    alpha = np.array(weights or (1.0,) * 4)[truth]
    expected = (-alpha * (1 - p) ** gamma * np.log(p)).sum() / alpha.sum()
    found = loss_of(replace(NONE, focal=1.0, focal_gamma=gamma), weights)(logits, labels)
    assert float(found) == pytest.approx(expected, rel=1e-3, abs=1e-5)
    if gamma == 0:
        plain = loss_of(replace(NONE, cross_entropy=1.0), weights)(logits, labels)
        assert float(found) == pytest.approx(float(plain), rel=1e-5)


@pytest.mark.parametrize("weights", [(), (1.0, 2.0, 0.5, 3.0)])
def test_focal_without_focus_is_the_cross_entropy(weights: tuple[float, ...]) -> None:
    logits, labels, _ = batch(1)
    found = loss_of(replace(NONE, focal=1.0, focal_gamma=0.0), weights)(logits, labels)
    expected = functional.cross_entropy(
        logits, labels, ignore_index=IGNORE, weight=torch.tensor(weights) if weights else None
    )
    torch.testing.assert_close(found, expected)


@given(st.integers(0, 10**6), st.floats(0, 0.9))
def test_lovasz_of_hard_answers_is_one_minus_the_mean_jaccard(seed: int, ignored: float) -> None:
    logits, labels, _ = batch(seed, ignored=ignored)
    labels[0, 0, 0] = 1
    known = labels != IGNORE
    truth, guess = labels[known].numpy(), logits.argmax(1)[known].numpy()
    expected = 1 - jaccard_score(truth, guess, labels=np.unique(truth), average="macro", zero_division=0)
    hard = functional.one_hot(logits.argmax(1), 4).movedim(-1, 1) * 1000.0
    assert float(loss_of(replace(NONE, lovasz=1.0))(hard, labels)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("weights", [(), (1.0, 2.0, 0.0, 0.5)])
def test_the_map_is_the_papers_formula(weights: tuple[float, ...]) -> None:
    logits, labels, border = batch(5)
    known = labels.numpy() != IGNORE
    counts = np.array([(labels.numpy() == k).sum() for k in range(4)])
    balance = np.array(weights) if weights else counts.sum() / (4 * counts)
    expected = np.where(known, balance[np.where(known, labels, 0)] + border.numpy(), 0)
    given_weights = torch.tensor(weights) if weights else None
    found = unet_map(labels, border, classes=4, class_weights=given_weights)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    each = functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none").numpy()
    loss = loss_of(replace(NONE, cross_entropy=1.0), weights)(logits, labels, border)
    assert float(loss) == pytest.approx((expected * each).sum() / expected.sum(), rel=1e-5)


def test_a_map_balances_the_classes_that_are_there() -> None:
    labels = torch.tensor([[[0, 0, 0, 2, IGNORE, IGNORE]]])
    found = unet_map(labels, torch.zeros(labels.shape), classes=4)
    np.testing.assert_allclose(found[0, 0], [4 / 6, 4 / 6, 4 / 6, 2, 0, 0], rtol=1e-6)


@given(st.integers(0, 10**6), st.sampled_from(sorted(TERMS)), st.booleans())
def test_what_is_not_labelled_changes_nothing(seed: int, term: str, mapped: bool) -> None:
    logits, labels, border = batch(seed)
    spoilt, odd = logits.clone(), border.clone()
    unknown = labels == IGNORE
    spoilt.movedim(1, -1)[unknown] = 50 * torch.randn(int(unknown.sum()), 4)
    odd[unknown] = 7.0
    for values in (logits, spoilt):
        values.requires_grad_()
    loss = loss_of(TERMS[term])
    first, second = loss(logits, labels, border if mapped else None), loss(spoilt, labels, odd if mapped else None)
    torch.testing.assert_close(first, second)
    if first.requires_grad:
        first.backward()
        assert logits.grad is not None
        assert not logits.grad.movedim(1, -1)[unknown].any()


@pytest.mark.parametrize("term", sorted(TERMS))
@pytest.mark.parametrize("mapped", [False, True])
def test_without_labels_nothing_is_learnt(term: str, mapped: bool) -> None:
    logits, labels, border = batch(2)
    logits.requires_grad_()
    loss = loss_of(TERMS[term])(logits, torch.full_like(labels, IGNORE), border * 0 if mapped else None)
    loss.backward()
    assert loss.shape == ()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("term", sorted(TERMS))
@pytest.mark.parametrize("kind", ["random", "right", "wrong", "flat"])
def test_gradients_are_finite_and_point_to_the_truth(term: str, kind: str) -> None:
    logits, labels, _ = batch(3, ignored=0.2)
    truth = functional.one_hot(labels.where(labels != IGNORE, 0), 4).movedim(-1, 1)
    logits = {"random": logits, "right": 200.0 * truth, "wrong": -200.0 * truth, "flat": 0.0 * truth}[kind]
    logits.requires_grad_()
    loss = loss_of(TERMS[term])(logits, labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    if kind in ("random", "flat"):  # a step against the gradient helps
        with torch.no_grad():
            assert float(loss_of(TERMS[term])(logits - 0.1 * logits.grad, labels)) < loss.item()
    if kind == "right":
        assert loss.item() < 1e-3


def test_terms_add_up() -> None:
    logits, labels, border = batch(4)
    config = TERMS["all"]
    parts = [
        weight * loss_of(replace(NONE, **{name: 1.0}))(logits, labels, border)
        for name, weight in (("cross_entropy", 1.0), ("dice", 0.5), ("focal", 0.7), ("lovasz", 0.3))
    ]
    torch.testing.assert_close(loss_of(config)(logits, labels, border), torch.stack(parts).sum())
