"""Six upsamplings: where values go, how the learned ones start, and which of them make checkerboards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from geoseg.errors import BundleError
from geoseg.models.networks.spans import Span
from geoseg.models.networks.upsampling import UPSAMPLINGS, make_upsampling


def places_of(features: torch.Tensor, factor: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A map that pools to maxima, and the indices of them: (pooled, indices)."""
    pixels = torch.randn(*features.shape[:2], *(side * factor for side in features.shape[2:]))
    return F.max_pool2d(pixels, factor, return_indices=True)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(UPSAMPLINGS),
    factor=st.integers(2, 5),
    channels=st.integers(1, 4),
    outputs=st.integers(1, 4),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
)
def test_each_makes_a_map_larger_by_its_factor(
    name: str, factor: int, channels: int, outputs: int, height: int, width: int
) -> None:
    up = make_upsampling(name, channels=channels, outputs=outputs, factor=factor)
    features = torch.randn(2, channels, height, width)
    _, indices = places_of(torch.empty(2, outputs, height, width), factor)
    assert up(features, indices).shape == (2, outputs, height * factor, width * factor)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(set(UPSAMPLINGS) - {"max-unpooling", "bed-of-nails"})),
    factor=st.integers(2, 5),
    more=st.integers(0, 6),
    place=st.integers(0, 9),
)
def test_the_support_is_where_the_gradient_is(name: str, factor: int, more: int, place: int) -> None:
    up = make_upsampling(name, channels=1, factor=factor, kernel=factor + more)
    for parameter in up.parameters():
        torch.nn.init.ones_(parameter)
    features = torch.ones(1, 1, 21, 21, requires_grad=True)
    middle = 10 * factor + place % factor
    up(features)[0, 0, middle].sum().backward()
    touched = features.grad.sum(dim=(0, 1, 3)).nonzero()
    assert Span(int(touched[0]), int(touched[-1])) == up.support(Span(middle, middle))


def test_max_unpooling_puts_values_where_they_came_from() -> None:
    pixels = torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    pooled, indices = F.max_pool2d(pixels, 2, return_indices=True)
    back = make_upsampling("max-unpooling", channels=3)(pooled, indices)
    here = back != 0
    assert here.sum() == pooled.numel()
    torch.testing.assert_close(back[here], pixels[here], rtol=0, atol=0)
    torch.testing.assert_close(F.max_pool2d(back.where(here, -torch.inf), 2), pooled, rtol=0, atol=0)


def test_a_bed_of_nails_has_a_nail_per_block() -> None:
    features = torch.arange(1.0, 7.0).reshape(1, 1, 2, 3)
    nails = make_upsampling("bed-of-nails", channels=1, factor=3)(features)
    torch.testing.assert_close(nails[..., ::3, ::3], features)
    assert nails.count_nonzero() == 6


@pytest.mark.parametrize("factor", [2, 3, 4, 8, 32])
def test_a_transposed_convolution_starts_as_bilinear_interpolation(factor: int) -> None:
    features = torch.randn(2, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    kernel = 2 * factor - factor % 2  # Long et al.'s
    found = make_upsampling("transposed", channels=3, factor=factor, kernel=kernel)(features)
    judge = F.interpolate(features, scale_factor=factor, mode="bilinear", align_corners=False)
    inner = (..., slice(factor, -factor), slice(factor, -factor))  # beyond the rim it reads zeros
    torch.testing.assert_close(found[inner], judge[inner], rtol=0, atol=1e-5)


def phases(map_: torch.Tensor, factor: int) -> torch.Tensor:
    """The mean of each of the factor x factor phases away from the rim: a checkerboard makes them differ."""
    inner = map_[..., 2 * factor : -2 * factor, 2 * factor : -2 * factor]
    return inner.unfold(-2, factor, factor).unfold(-2, factor, factor).mean(dim=(0, 1, 2, 3))


@pytest.mark.parametrize("seed", range(5))
def test_untrained_transposed_convolutions_make_checkerboards_and_resize_convolution_does_not(seed: int) -> None:
    torch.manual_seed(seed)
    constant = torch.ones(1, 8, 12, 12)
    uneven = make_upsampling("transposed", channels=8, outputs=4, factor=2, kernel=3)(constant)
    even = make_upsampling("resize-convolution", channels=8, outputs=4, factor=2)(constant)
    for channel in range(4):
        assert phases(uneven[:, channel : channel + 1], 2).std() > 0.05
        assert phases(even[:, channel : channel + 1], 2).std() < 1e-6
    # how often a pixel is written is what differs, whatever is learned: 1, 2 or 4 taps of a kernel of 3 at stride 2
    plain = make_upsampling("transposed", channels=1, factor=2, kernel=3)
    torch.nn.init.ones_(plain.layer.weight)  # type: ignore[union-attr, arg-type]
    assert sorted(phases(plain(torch.ones(1, 1, 12, 12)), 2).flatten().tolist()) == [1.0, 2.0, 2.0, 4.0]


@pytest.mark.parametrize(("upsampling", "checkered"), [("transposed", True), ("resize-convolution", False)])
def test_a_whole_untrained_decoder_shows_it_too(upsampling: str, checkered: bool) -> None:
    from geoseg.models.networks import build

    torch.manual_seed(0)
    network = build("UNetPublished", {"width": 8, "depth": 2, "upsampling": upsampling}, bands=3, classes=2).eval()
    with torch.no_grad():
        answer = network(torch.full((1, 3, 32, 32), 0.5))
    spread = phases(answer, 4).std() / answer.abs().mean()
    assert (spread > 0.02) if checkered else (spread < 1e-5)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("magic", {}, "it takes nearest, bed-of-nails"),
        ("transposed", {"factor": 4, "kernel": 3}, "leaves holes"),
        ("nearest", {"factor": 1}, "by a factor of 1"),
    ],
)
def test_what_cannot_be_is_refused(name: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(BundleError, match=said):
        make_upsampling(name, channels=2, **arguments)
