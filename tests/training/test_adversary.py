"""The adversary learns to tell maps apart, makes the network pay for it, and sees labelled pixels only."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from geoseg.legend import IGNORE
from geoseg.training.adversary import Adversary, Discriminator

BANDS, CLASSES = 3, 4


def adversary(*, weight: float = 0.5, rate: float = 1e-3, seed: int = 0) -> Adversary:
    return Adversary(bands=BANDS, classes=CLASSES, weight=weight, rate=rate, seed=seed)


def batch(seed: int, *, side: int = 16, ignored: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pixels, logits and labels."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (2, side, side), generator=rng)
    labels[torch.rand(2, side, side, generator=rng) < ignored] = IGNORE
    pixels = torch.randn(2, BANDS, side, side, generator=rng)
    return pixels, torch.randn(2, CLASSES, side, side, generator=rng), labels


def weights(module: Adversary) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.discriminator.parameters()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@given(st.integers(1, 40), st.integers(1, 40))
def test_any_side_will_do(height: int, width: int) -> None:
    odds = Discriminator(5)(torch.zeros(1, 2, height, width), torch.zeros(1, 3, height, width))
    assert odds.shape == (1, 1, -(-height // 8), -(-width // 8))


def test_the_field_of_view_is_31_pixels() -> None:
    pixels = torch.zeros(1, 2, 96, 96, requires_grad=True)
    torch.manual_seed(0)
    Discriminator(5)(pixels, torch.rand(1, 3, 96, 96))[0, 0, 6, 6].backward()
    assert pixels.grad is not None
    rows = pixels.grad.abs().sum(dim=(0, 1, 3)).nonzero()[:, 0]
    assert int(rows.max() - rows.min()) + 1 == 31


def test_the_network_pays_by_the_odds_that_its_map_is_a_reference() -> None:
    pixels, logits, labels = batch(1)
    module = adversary(weight=0.25)
    found = module(pixels, logits, labels)
    odds = module.discriminator(pixels, logits.softmax(1))  # after its own step
    torch.testing.assert_close(found, 0.25 * functional.softplus(-odds).mean())


def test_only_the_network_learns_from_the_term() -> None:
    pixels, logits, labels = batch(2)
    logits.requires_grad_()
    module = adversary()
    term = module(pixels, logits, labels)
    before = [None if p.grad is None else p.grad.clone() for p in module.discriminator.parameters()]
    term.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.any()
    for parameter, grad in zip(module.discriminator.parameters(), before, strict=True):
        assert grad is not None
        assert torch.equal(parameter.grad, grad)
    with torch.no_grad():  # downhill the map looks more like a reference
        maps = [x.softmax(1) for x in (logits, logits - 100 * logits.grad)]
        was, now = (float(functional.softplus(-module.discriminator(pixels, m)).mean()) for m in maps)
    assert now < was


def test_the_discriminator_learns_to_tell_maps_apart() -> None:
    module = adversary(rate=2e-3)
    for step in range(150):
        module(*batch(step))
    pixels, logits, labels = batch(1000)
    reference = functional.one_hot(labels, CLASSES).movedim(-1, 1).float()
    with torch.no_grad():
        assert module.discriminator(pixels, reference).min() > 0
        assert module.discriminator(pixels, logits.softmax(1)).max() < 0


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_what_is_not_labelled_changes_nothing(seed: int, ignored: float) -> None:
    pixels, logits, labels = batch(seed, ignored=ignored)
    spoilt = logits.clone()
    unknown = labels == IGNORE
    spoilt.movedim(1, -1)[unknown] = 30 * torch.randn(int(unknown.sum()), CLASSES)
    results = []
    for values in (logits, spoilt):
        module = adversary()
        values.requires_grad_()
        term = module(pixels, values, labels)
        term.backward()
        assert values.grad is not None
        assert not values.grad.movedim(1, -1)[unknown].any()
        results.append((float(term.detach()), weights(module)))
    assert results[0][0] == results[1][0]
    assert same(results[0][1], results[1][1])


def test_without_labels_nothing_is_learnt() -> None:
    pixels, logits, labels = batch(3)
    module = adversary()
    for _ in range(2):
        module(pixels, logits, labels)  # so that Adam has momentum
    before = weights(module)
    logits.requires_grad_()
    term = module(pixels, logits, torch.full_like(labels, IGNORE))
    term.backward()
    assert term.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()
    assert same(before, weights(module))


def test_an_unlabelled_place_has_no_say() -> None:
    pixels, logits, labels = batch(4, side=64)
    labels[:, :, 32:] = IGNORE
    module = adversary()
    found = module(pixels, logits, labels)
    with torch.no_grad():
        maps = logits.softmax(1) * (labels != IGNORE)[:, None]
        odds = module.discriminator(pixels, maps)[..., :4]
        torch.testing.assert_close(found, 0.5 * functional.softplus(-odds).mean())


def test_a_restored_adversary_goes_on_bit_for_bit(tmp_path: Path) -> None:
    straight, first = adversary(), adversary()
    for step in range(3):
        straight(*batch(step))
        first(*batch(step))
    torch.save(first.state(), tmp_path / "a.pt")
    second = adversary(seed=9)
    second.restore(torch.load(tmp_path / "a.pt", weights_only=True))
    for step in range(3, 6):
        assert float(straight(*batch(step))) == float(second(*batch(step)))
    assert same(weights(straight), weights(second))
    reset = deepcopy(first)
    reset._optimiser = None  # a lost optimiser state shows
    for step in range(3, 6):
        reset(*batch(step))
    assert not same(weights(straight), weights(reset))


def test_first_weights_are_a_function_of_the_seed_alone() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = weights(adversary(seed=5))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert same(one, weights(adversary(seed=5)))
    assert not same(one, weights(adversary(seed=6)))


def test_half_precision_around_it_does_not_reach_it() -> None:
    pixels, logits, labels = batch(6)
    expected = float(adversary()(pixels, logits.bfloat16().float(), labels))
    with torch.autocast("cpu", torch.bfloat16):
        found = adversary()(pixels, logits.bfloat16(), labels)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(expected, rel=1e-6)
