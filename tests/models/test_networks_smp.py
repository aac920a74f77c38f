"""segmentation-models-pytorch's architectures: their true multiples, the sizes they refuse, what they see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from geoseg.contexts.candidates import SizeRule
from geoseg.errors import BundleError
from geoseg.models.networks import build, multiple_of, reach, receptive_field, size_rule
from geoseg.models.networks.smp import names

SHALLOW = {"encoder_name": "resnet18", "encoder_depth": 3}
SMALL_DPT = {"decoder_intermediate_channels": (8, 8, 8, 8), "decoder_fusion_channels": 8}
VIT = {"encoder_name": "tu-vit_tiny_patch16_224", **SMALL_DPT}

MULTIPLES: list[Any] = [
    ("Unet", {"encoder_name": "mobilenet_v2"}, 32),
    ("Unet", {**SHALLOW, "decoder_channels": (16, 8, 8)}, 8),
    ("Unet", {"encoder_name": "mit_b0"}, 32),
    ("UnetPlusPlus", {"encoder_name": "resnet18"}, 32),
    ("Linknet", {"encoder_name": "resnet18"}, 32),
    ("MAnet", {"encoder_name": "resnet18"}, 32),
    ("FPN", {"encoder_name": "resnet18"}, 32),
    ("FPN", {"encoder_name": "resnet18", "encoder_depth": 4}, 16),
    ("FPN", SHALLOW, 8),
    ("PSPNet", {"encoder_name": "resnet18"}, 8),
    ("PSPNet", {"encoder_name": "resnet18", "encoder_depth": 4}, 16),
    ("PSPNet", {"encoder_name": "resnet18", "encoder_depth": 5}, 32),
    ("DeepLabV3", {"encoder_name": "resnet18"}, 8),
    ("DeepLabV3", {"encoder_name": "resnet18", "encoder_output_stride": 16}, 16),
    ("DeepLabV3Plus", {"encoder_name": "resnet18"}, 16),
    ("DeepLabV3Plus", {"encoder_name": "resnet18", "encoder_output_stride": 8}, 8),
    ("PAN", {"encoder_name": "resnet18"}, 128),
    ("PAN", {"encoder_name": "resnet18", "encoder_output_stride": 32}, 256),
    ("PAN", SHALLOW, 64),
    ("UPerNet", {"encoder_name": "resnet18"}, 32),
    ("Segformer", {"encoder_name": "resnet18"}, 32),
    ("Segformer", {"encoder_name": "mit_b0"}, 32),
    ("Segformer", {"encoder_name": "mit_b0", "encoder_depth": 3}, 32),
    ("DPT", {**VIT, "dynamic_img_size": True}, 32),
    ("DPT", {**VIT, "dynamic_img_size": True, "encoder_depth": 3, "decoder_intermediate_channels": (8, 8, 8)}, 16),
    pytest.param(
        "DPT",
        {"encoder_name": "tu-vit_small_patch8_224", "dynamic_img_size": True, **SMALL_DPT},
        32,
        marks=pytest.mark.slow,
    ),
]


def test_all_twelve_architectures_are_there() -> None:
    tried = {getattr(case, "values", case)[0] for case in MULTIPLES}
    assert set(names()) == tried


def answers(network: nn.Module, height: int, width: int) -> bool:
    """Whether the network answers in the input's size; false if it refuses."""
    try:
        with torch.no_grad():
            return tuple(network(torch.zeros(1, 3, height, width)).shape[2:]) == (height, width)
    except RuntimeError:
        return False


@pytest.mark.parametrize(("name", "arguments", "multiple"), MULTIPLES)
def test_at_multiples_the_output_has_the_inputs_size(name: str, arguments: dict[str, Any], multiple: int) -> None:
    network = build(name, arguments, bands=3, classes=2).eval()
    assert size_rule(network) == SizeRule(multiple=multiple)
    assert answers(network, multiple, multiple)
    assert answers(network, multiple, 3 * multiple)
    if name not in ("Unet", "PAN") and "mit_b0" not in str(arguments):  # these answer what they are not equivariant to
        assert not answers(network, multiple, multiple + multiple // 2)


@pytest.mark.parametrize("bands", [1, 3, 4, 13])
@pytest.mark.parametrize("name", ["Unet", "DeepLabV3Plus", "Segformer"])
def test_any_number_of_bands(name: str, bands: int) -> None:
    network = build(name, {"encoder_name": "mobilenet_v2"}, bands=bands, classes=4).eval()
    with torch.no_grad():
        assert network(torch.randn(1, bands, 64, 96)).shape == (1, 4, 64, 96)


def without_neutral_statistics(network: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def worst_shift(network: nn.Module, *, step: int, halo: int) -> tuple[float, float]:
    """How far the answer moves in the interior if the patch is shifted, and how far it spreads at all."""
    multiple = multiple_of(network)
    length = 2 * halo + 4 * multiple
    pixels = torch.randn(1, 3, length + step, 2 * multiple, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        here, there = network(pixels[:, :, :length]), network(pixels[:, :, step:])
    inner = here[:, :, halo + step : length - halo]
    return float((inner - there[:, :, halo : length - halo - step]).abs().max()), float(inner.std())


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Unet", {**SHALLOW, "decoder_channels": (16, 8, 8)}),
        ("UnetPlusPlus", {**SHALLOW, "decoder_channels": (16, 8, 8)}),
        ("Linknet", SHALLOW),
        ("Segformer", SHALLOW),
        pytest.param(
            "Unet",
            {"encoder_name": "vgg11", "encoder_depth": 3, "decoder_channels": (16, 8, 8)},
            marks=pytest.mark.slow,
        ),
        ("Unet", {"encoder_name": "tu-regnetx_002", "encoder_depth": 3, "decoder_channels": (16, 8, 8)}),
    ],
)
def test_convolutional_ones_are_equivariant_to_their_multiple_and_to_no_less(
    name: str, arguments: dict[str, Any]
) -> None:
    network = without_neutral_statistics(build(name, arguments, bands=3, classes=2))
    multiple, far = multiple_of(network), reach(network, bands=3)
    assert far is not None
    halo = -(-far // multiple) * multiple
    same, spread = worst_shift(network, step=multiple, halo=halo)
    assert same < 1e-5 * spread
    if name == "Unet":  # the others refuse patches that are no multiple, so cannot be shifted by half of one alike
        assert worst_shift(network, step=multiple // 2, halo=halo)[0] > 1e-2 * spread


class Nothing(nn.Module):
    """In place of DeepLab's pooling branch."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return 0 * features[:, :8]


def test_deeplab_is_equivariant_but_for_its_global_pooling() -> None:
    """The last upsampling that smp itself uses aligns corners: what a pixel sees drifts across a patch."""
    arguments = {**SHALLOW, "decoder_channels": 8, "decoder_atrous_rates": (1, 2, 3)}
    network = without_neutral_statistics(build("DeepLabV3Plus", arguments, bands=3, classes=2))
    assert receptive_field(network, bands=3) is None
    network.decoder.aspp[0].convs[4] = Nothing()
    far = reach(network, bands=3)
    assert far is not None
    same, spread = worst_shift(network, step=8, halo=-(-far // 8) * 8)
    assert same < 1e-5 * spread
    for module in network.modules():
        if isinstance(module, nn.Upsample):
            module.align_corners = True
    assert worst_shift(network, step=8, halo=-(-far // 8) * 8)[0] > 1e-3 * spread


@pytest.mark.parametrize(
    ("name", "arguments", "side"),
    [
        # 435 of ResNet-18's last stage, and two cells more on each side by the 3 x 3 convolutions above it
        pytest.param("Unet", {"encoder_name": "resnet18"}, 563, marks=pytest.mark.slow),
        ("Linknet", {"encoder_name": "resnet18"}, 499),
        ("FPN", SHALLOW, None),  # group norm
        ("MAnet", {**SHALLOW, "decoder_channels": (16, 8, 8)}, None),
        ("PSPNet", SHALLOW, None),
        ("UPerNet", SHALLOW, None),
        ("PAN", SHALLOW, None),
        ("Segformer", {"encoder_name": "mit_b0", "encoder_depth": 3}, None),
        ("DPT", {**VIT, "dynamic_img_size": True}, None),
        ("DPT", VIT, None),
        ("Unet", {"encoder_name": "tu-skresnet18", "encoder_depth": 3, "decoder_channels": (8, 8, 8)}, None),
        ("Unet", {"encoder_name": "efficientnet-b0", "encoder_depth": 3, "decoder_channels": (8, 8, 8)}, None),
    ],
)
def test_receptive_fields_are_measured_and_global_ones_known(
    name: str, arguments: dict[str, Any], side: int | None
) -> None:
    network = build(name, arguments, bands=3, classes=2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert receptive_field(network, bands=3) == side
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


class Plain(nn.Module):
    """A stranger with every way PyTorch has to hide a dependency: maxima, saturation, zero weights, negative ones."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 7, stride=2, padding=3)
        self.second = nn.Conv2d(4, 2, 3, padding=1, groups=2)
        nn.init.zeros_(self.first.weight)
        nn.init.constant_(self.second.weight, -1e30)

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        features = torch.relu(nn.functional.max_pool2d(self.first(pixels), 3, 2, 1) - 10)
        features = torch.sigmoid(self.second(features).tanh_())
        return {"out": nn.functional.interpolate(features, scale_factor=4)}


def test_a_strangers_receptive_field_is_measured_too() -> None:
    network = Plain()
    network.multiple = 4  # type: ignore[assignment]
    # a cell of the last map sees 3 cells, 4 px apart, each a pool of 3, 2 px apart, of 7 px
    assert receptive_field(network, bands=4) == 7 + 2 * 2 + 4 * 2


class Blocks(nn.Module):
    """Means over blocks of 7 x 7 pixels: the same everywhere to shifts by 7 only, as windowed attention is."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        means = nn.functional.avg_pool2d(pixels, 7, ceil_mode=True)
        return nn.functional.interpolate(means, scale_factor=7)[..., : pixels.shape[2], : pixels.shape[3]]


@pytest.mark.parametrize(("multiple", "side"), [(7, 7), (14, 7), (4, None)])
def test_what_is_not_the_same_everywhere_has_no_receptive_field(multiple: int, side: int | None) -> None:
    network = Blocks()
    network.multiple = multiple  # type: ignore[assignment]
    assert receptive_field(network, bands=1) == side


class Shares(nn.Module):
    """Weighs two kernels by the mean of all pixels: where they answer alike, the real gradient of that is zero."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        everywhere = pixels.mean(dim=(2, 3), keepdim=True)
        shares = torch.stack([everywhere, everywhere]).softmax(dim=0)
        return shares[0] * pixels + shares[1] * nn.functional.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)


def test_a_choice_by_all_pixels_is_global() -> None:
    assert receptive_field(Shares(), bands=1) is None


@pytest.mark.parametrize(
    ("name", "arguments", "only"),
    [
        ("DPT", VIT, 224),
        ("DPT", {**VIT, "img_size": 96}, 96),
        pytest.param("Unet", {"encoder_name": "tu-swin_tiny_patch4_window7_224"}, 224, marks=pytest.mark.slow),
    ],
)
def test_fixed_transformers_name_the_one_size_they_take(name: str, arguments: dict[str, Any], only: int) -> None:
    network = build(name, arguments, bands=4, classes=2).eval()
    rule = size_rule(network)
    assert rule.only == (only,)
    assert rule.refusal(only) is None
    assert f"the network takes {only} px only" in str(rule.refusal(only + 32))
    with torch.no_grad():
        assert network(torch.zeros(1, 4, only, only)).shape == (1, 2, only, only)
    with pytest.raises((AssertionError, RuntimeError)):
        network(torch.zeros(1, 4, only + 32, only + 32))


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("DPT", {"encoder_name": "tu-vit_small_patch14_dinov2", **SMALL_DPT}, "patches of 14 px are no power of two"),
        ("DPT", {"encoder_name": "resnet18"}, "DPT cannot be built with"),
        ("UnetPlusPlus", {"encoder_name": "mit_b0"}, "UnetPlusPlus cannot be built with"),
        ("Unet", {"encoder_name": "nonesuch"}, "nonesuch"),
        ("Unet", {"encoder_name": "resnet18", "width": 8}, "Unet cannot be built with width: it takes .*encoder_name"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(name: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(BundleError, match=said):
        build(name, arguments, bands=3, classes=2)
