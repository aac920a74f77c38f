"""geoseg's own networks: the sizes they take, what they see, and what their papers say of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.errors import BundleError, PlanError
from geoseg.models.measure import macs_per_pixel
from geoseg.models.networks import (
    OWN,
    architectures,
    build,
    multiple_of,
    reach,
    receptive,
    receptive_field,
    size_rule,
    spans,
)
from geoseg.models.networks.base import Network, vgg_support
from geoseg.models.networks.spans import Span
from geoseg.models.networks.unet import mirrored

DILATED = ("Dilated6", "DenseDilated6", "Dilated6Pooling", "Dilated8Pooling")


def small(name: str, *, bands: int = 3, classes: int = 2, **arguments: Any) -> Network:
    """A narrow network in evaluation mode with normalisation statistics and scores that are not the neutral ones."""
    torch.manual_seed(1)
    network = build(name, {"width": 2, **arguments}, bands=bands, classes=classes).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    assert isinstance(network, Network)
    return network


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(set(OWN) - {"DeconvNet"})),
    bands=st.sampled_from((1, 3, 4, 13)),
    classes=st.integers(1, 5),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
)
def test_the_output_has_the_inputs_size(name: str, bands: int, classes: int, height: int, width: int) -> None:
    network = small(name, bands=bands, classes=classes)
    rows, columns = ((n * (7 if network.multiple == 1 else network.multiple)) for n in (height, width))
    with torch.no_grad():
        logits = network(torch.randn(2, bands, rows, columns))
    assert logits.shape == (2, classes, rows, columns)
    assert logits.isfinite().all()


@pytest.mark.parametrize("bands", [1, 3, 4, 13])
def test_deconvnet_takes_multiples_of_32_from_224(bands: int) -> None:
    network = small("DeconvNet", bands=bands)
    with torch.no_grad():
        assert network(torch.randn(1, bands, 224, 256)).shape == (1, 2, 224, 256)
    assert size_rule(network).least == 224
    with pytest.raises(PlanError, match="192 px: the network takes multiples of 32 from 224 px"):
        network(torch.randn(1, bands, 224, 192))


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(sorted(OWN)), side=st.integers(1, 300))
def test_a_side_is_taken_as_the_rule_says(name: str, side: int) -> None:
    network = small(name)
    pixels = torch.zeros(1, 3, side, side)
    if size_rule(network).refusal(side) is None:
        network.refuse(pixels)
    else:
        with pytest.raises(PlanError, match=f"{name}: {side} px"):
            network(pixels)


@pytest.mark.parametrize("name", [n for n in OWN if n not in DILATED])
def test_pooled_networks_refuse_a_single_odd_axis(name: str) -> None:
    network = small(name)
    with pytest.raises(PlanError, match="multiples of"):
        network(torch.zeros(1, 3, 224, 225))


@pytest.mark.parametrize("name", OWN)
def test_shifted_by_its_multiple_a_network_answers_the_same_shifted(name: str) -> None:
    network = small(name)
    step, halo = network.multiple, -(-network.reach // network.multiple) * network.multiple
    side = size_rule(network).near(1)[0] if name == "DeconvNet" else 4 * step
    length = 2 * halo + 3 * step
    pixels = torch.randn(1, 3, length + step, side, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        here, there = network(pixels[:, :, :length]), network(pixels[:, :, step:])
    inner = here[:, :, halo + step : length - halo]
    assert inner.shape[2] == 2 * step
    assert inner.std() > 1e-4
    torch.testing.assert_close(inner, there[:, :, halo : length - halo - step], rtol=0, atol=1e-5 * float(inner.std()))


FIELDS = {
    "Dilated6": 56,  # 1 + 1*4 + 2*4 + 3*3 + 4*3 + 5*2 + 6*2
    "DenseDilated6": 56,
    "Dilated6Pooling": 68,  # and 2 for each pooling
    "Dilated8Pooling": 102,  # 56 + 7*2 + 8*2 + 8*2
    "FCN32s": 436,  # 404 of the scores, two of which meet in a bilinear pixel
    "FCN16s": 468,
    "FCN8s": 468,
    "SegNet": 404,
    "DeconvNet": 788,
    "UNetPublished": 204,
}


@pytest.mark.parametrize("name", OWN)
def test_the_receptive_field_by_arithmetic_is_the_one_measured(name: str) -> None:
    network = small(name)
    measured = receptive.measure(network, bands=3, rule=size_rule(network))
    assert measured == (receptive_field(network, bands=3), reach(network, bands=3))
    assert measured[0] == FIELDS[name]


@pytest.mark.parametrize(
    ("name", "upsampling"),
    [
        ("FCN8s", "nearest"),
        ("FCN16s", "bilinear"),
        ("FCN8s", "resize-convolution"),
        ("SegNet", "bed-of-nails"),
        ("SegNet", "transposed"),
        ("UNetPublished", "bilinear"),
        ("UNetPublished", "resize-convolution"),
        ("UNetPublished", "bed-of-nails"),
        ("UNetPublished", "nearest"),
    ],
)
def test_families_that_allow_it_upsample_otherwise(name: str, upsampling: str) -> None:
    network = small(name, upsampling=upsampling)
    side = 2 * network.multiple
    with torch.no_grad():
        assert network(torch.randn(1, 3, side, side)).shape == (1, 2, side, side)
    assert receptive.measure(network, bands=3, rule=size_rule(network)) == (network.receptive_field, network.reach)


@pytest.mark.parametrize(
    ("name", "upsampling", "said"),
    [
        ("FCN8s", "max-unpooling", "FCN8s cannot upsample by 'max-unpooling': it takes transposed, bilinear"),
        ("FCN8s", "bed-of-nails", "it takes transposed"),
        ("UNetPublished", "max-unpooling", "it takes transposed"),
        ("SegNet", "magic", "SegNet cannot upsample by 'magic': it takes nearest, bed-of-nails"),
        ("DeconvNet", "nearest", "DeconvNet cannot be built with upsampling: it takes hidden, kernel, width"),
        ("Dilated6", "nearest", "Dilated6 cannot be built with upsampling: it takes width"),
    ],
)
def test_upsamplings_that_make_no_sense_are_refused_by_name(name: str, upsampling: str, said: str) -> None:
    with pytest.raises(BundleError, match=said):
        build(name, {"upsampling": upsampling}, bands=3, classes=2)


def test_names_are_known_in_any_case_and_unknown_ones_told_all() -> None:
    assert type(build("dILATED6pooling", {"width": 2}, bands=1, classes=1)).__name__ == "Dilated6Pooling"
    assert set(OWN) | {"Unet", "DPT", "Segformer", "UPerNet"} <= set(architectures())
    with pytest.raises(BundleError, match=r"unknown architecture 'Nonesuch'; there are .*Dilated6Pooling.*Unet"):
        build("Nonesuch", {}, bands=3, classes=2)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Dilated6", {"width": 0}),
        ("SegNet", {"width": 1.5}),
        ("FCN8s", {"dropout": 1.0}),
        ("UNetPublished", {"depth": -1}),
        ("DeconvNet", {"kernel": 0}),
        ("FCN8s", {"colour": "red"}),
    ],
)
def test_impossible_arguments_are_refused_by_name(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=rf"{name} cannot be built with {next(iter(arguments))}"):
        build(name, arguments, bands=3, classes=2)


@pytest.mark.parametrize(
    ("name", "bands", "classes", "millions"),
    [
        ("UNetPublished", 1, 2, 31.03),  # the published model
        ("SegNet", 3, 11, 29.4),  # 29.45 M in the paper's table of sizes
        ("DeconvNet", 3, 21, 251.8),  # the paper: "approximately 252M parameters"
        ("FCN32s", 3, 21, 136.0),  # 134 M without the upsampling, which counts 21 x 21 x 64 x 64
        ("FCN8s", 3, 21, 134.5),
        ("Dilated6Pooling", 3, 6, 1.388),
        ("DenseDilated6", 3, 6, 0.818),
        ("Dilated8Pooling", 3, 6, 2.090),
    ],
)
def test_parameters_are_as_many_as_the_papers_say(name: str, bands: int, classes: int, millions: float) -> None:
    with torch.device("meta"):
        network = build(name, {}, bands=bands, classes=classes)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, rel=2e-3)


def test_dilated6pooling_costs_what_the_issue_says_per_pixel() -> None:
    network = build("Dilated6Pooling", {}, bands=3, classes=6)
    assert macs_per_pixel(network, bands=3, side=16) == pytest.approx(1_385_152 + 6 * 256)


@pytest.mark.parametrize(("kernel", "rate"), [(4, 3), (4, 4), (5, 2), (3, 6)])
def test_dilated_convolutions_pad_as_same_does(kernel: int, rate: int) -> None:
    from geoseg.models.networks.dilated import _Layer

    layer = _Layer(2, 3, kernel=kernel, rate=rate, pooling=False).eval()
    pixels = torch.randn(1, 2, 20, 23)
    with warnings.catch_warnings(action="ignore"):  # "same" of an even kernel makes a padded copy, and says so
        judge = torch.nn.functional.conv2d(pixels, layer.convolution.weight, padding="same", dilation=rate)
    with torch.no_grad():
        torch.testing.assert_close(
            layer(pixels), torch.nn.functional.leaky_relu(layer.norm(judge), 0.1), rtol=1e-4, atol=1e-5
        )


def test_the_scores_of_an_fcn_see_what_the_papers_table_says() -> None:
    scores = spans.of_convolution(Span(0, 0), kernel=7, before=3)
    assert len(vgg_support(scores, stages=5)) == 404  # Long et al. 2015, table 1: rf size 404 of FCN-VGG16


@pytest.mark.parametrize(
    ("name", "stage", "score", "steps"), [("FCN16s", 4, 0, [-1]), ("FCN8s", 4, 0, [1, 2]), ("FCN8s", 3, 1, [2])]
)
def test_the_skips_of_an_fcn_bring_the_scores_of_their_stage(
    name: str, stage: int, score: int, steps: list[int]
) -> None:
    network = small(name)
    for parameter in [*network.head[-1].parameters(), *network.scores.parameters()]:
        torch.nn.init.zeros_(parameter)
    torch.nn.init.normal_(network.scores[score].weight)
    pixels = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        features = pixels
        for layers in network.stages[:stage]:
            features = torch.nn.functional.max_pool2d(layers(features), 2)
        expected = network.scores[score](features)
        for step in steps:
            expected = network.upsamplings[step](expected)
        torch.testing.assert_close(network(pixels), expected)
        assert expected.std() > 1e-4


def test_an_untrained_fcn_answers_what_its_coarse_scores_say() -> None:
    torch.manual_seed(0)
    coarse, fine = (build(name, {"width": 2, "hidden": 8}, bands=3, classes=2).eval() for name in ("FCN32s", "FCN8s"))
    coarse.stages.load_state_dict(fine.stages.state_dict())
    coarse.head.load_state_dict(fine.head.state_dict())
    pixels = torch.randn(1, 3, 192, 192)
    with torch.no_grad():  # skip scores start at zero, upsamplings as bilinear: two small steps come near one large
        a, b = coarse(pixels), fine(pixels)
    inner = (slice(None), slice(None), slice(64, 128), slice(64, 128))
    assert torch.corrcoef(torch.stack([a[inner].flatten(), b[inner].flatten()]))[0, 1] > 0.97
    assert [up.layer.weight.requires_grad for up in fine.upsamplings] == [True, True, False]


@settings(max_examples=50, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), before=st.integers(0, 40), after=st.integers(0, 40))
def test_mirroring_is_numpys(height: int, width: int, before: int, after: int) -> None:
    pixels = np.arange(height * width, dtype=np.float32).reshape(1, 1, height, width)
    rim = ((0, 0), (0, 0), (before, after), (before, after))
    np.testing.assert_array_equal(
        mirrored(torch.from_numpy(pixels), before=before, after=after).numpy(), np.pad(pixels, rim, mode="reflect")
    )


@pytest.mark.parametrize("upsampling", ["transposed", "resize-convolution", "bilinear"])
def test_a_unet_answers_at_the_rim_as_if_the_scene_went_on_mirrored(upsampling: str) -> None:
    network = small("UNetPublished", upsampling=upsampling)
    pixels = torch.randn(1, 3, 48, 32, generator=torch.Generator().manual_seed(4))
    rim = 8 * network.multiple
    with torch.no_grad():
        whole = network(mirrored(pixels, before=rim, after=rim))
        torch.testing.assert_close(network(pixels), whole[..., rim:-rim, rim:-rim], rtol=0, atol=1e-6)


def test_a_unet_of_published_depth_eats_what_the_paper_says() -> None:
    network = small("UNetPublished")
    assert network._before == (572 - 388) // 2
    assert network._offsets == [(568 - 392) // 2, (280 - 200) // 2, (136 - 104) // 2, (64 - 56) // 2]
    inner = network.support(Span(0, 387))
    assert (inner.first, inner.last) == (-92, -92 + 572 - 1)
    assert multiple_of(small("UNetPublished", depth=2)) == 4


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_spans_of_random_stacks_are_the_support_of_their_gradient(data: st.DataObject) -> None:
    """Layers at random: what the intervals say is where the gradient of one pixel is not zero."""
    layers: list[torch.nn.Module] = []
    steps: list[Any] = []
    for _ in range(data.draw(st.integers(1, 4))):
        kernel, stride = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3))
        before = data.draw(st.integers(0, kernel // 2))
        if data.draw(st.booleans()):
            dilation = data.draw(st.integers(1, 3))
            layers.append(torch.nn.Conv1d(1, 1, kernel, stride, before, dilation, bias=False))
            arguments = {"kernel": kernel, "stride": stride, "dilation": dilation, "before": before}
            steps.append(lambda s, a=arguments: spans.of_convolution(s, **a))
        else:
            kernel = max(kernel, stride)
            layers.append(torch.nn.ConvTranspose1d(1, 1, kernel, stride, before, bias=False))
            arguments = {"kernel": kernel, "stride": stride, "before": before}
            steps.append(lambda s, a=arguments: spans.of_transposed(s, **a))
    for layer in layers:
        torch.nn.init.ones_(layer.weight)  # type: ignore[arg-type]
    pixels = torch.ones(1, 1, 600, requires_grad=True)
    output = torch.nn.Sequential(*layers)(pixels)
    place = output.shape[-1] // 2 + data.draw(st.integers(0, 8))
    if place >= output.shape[-1]:
        return
    output[0, 0, place].backward()
    touched = pixels.grad[0, 0].nonzero()
    span = Span(place, place)
    for step in reversed(steps):
        span = step(span)
    if span.first > 0 and span.last < 599:
        # a stride wider than the next kernel leaves gaps, but the ends are touched
        assert (int(touched[0]), int(touched[-1])) == (span.first, span.last)


def test_a_network_in_hand_is_asked_at_a_size_it_takes() -> None:
    from geoseg.models.source import from_module

    source = from_module(small("DeconvNet", classes=5))
    assert (len(source.legend), source.rule.multiple, source.bands) == (5, 32, 3)
    source.release()
