"""The segmentation-models-pytorch family: its twelve architectures with any encoder it or timm has.

Source: https://github.com/qubvel-org/segmentation_models.pytorch. Weights always come from the bundle or from
training: nothing is downloaded (``encoder_weights`` is None whatever a card says).

| architecture | paper | multiple (default encoder depth) | receptive field |
| --- | --- | --- | --- |
| Unet | Ronneberger et al., MICCAI 2015 | 32 | of the encoder |
| UnetPlusPlus | Zhou et al., DLMIA 2018 | 32 | of the encoder |
| Linknet | Chaurasia & Culurciello, VCIP 2017 | 32 | of the encoder |
| MAnet | Fan et al., IEEE Access 2020 | 32 | global: attention |
| FPN | Kirillov et al., CVPR 2019 | 32 | global: group norm |
| PSPNet | Zhao et al., CVPR 2017 | 8 | global: pooling |
| DeepLabV3 | Chen et al., arXiv 1706.05587 | 8, its output stride | global: pooling |
| DeepLabV3Plus | Chen et al., ECCV 2018 | 16, its output stride | global: pooling |
| PAN | Li et al., BMVC 2018 | 128: output stride 16, then three poolings | global: pooling |
| UPerNet | Xiao et al., ECCV 2018 | 32 | global: pooling |
| Segformer | Xie et al., NeurIPS 2021 | 32 | of the encoder; global with mit |
| DPT | Ranftl et al., ICCV 2021 | 32 at patches of 16; one size unless dynamic | global: attention |

Two things are changed so that a patch answers as the same place in another patch would. smp's last upsampling puts the
corners of small and large map on each other, so that what a pixel sees drifts by up to half a stride across a patch: it
is replaced by one that aligns pixel centres. And where smp's default upsampling does not fit the depth of the encoder
(PSPNet, FPN), the one that does is used, so that the output has the input's size.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from geoseg.errors import BundleError

if TYPE_CHECKING:
    from torch import nn


@cache
def names() -> tuple[str, ...]:
    """The architectures, sorted."""
    import segmentation_models_pytorch as smp

    classes = {name: getattr(smp, name) for name in dir(smp) if isinstance(getattr(smp, name), type)}
    return tuple(sorted(name for name, kind in classes.items() if issubclass(kind, smp.base.SegmentationModel)))


def build(architecture: str, arguments: Mapping[str, Any], *, bands: int, classes: int) -> nn.Module:
    """An untrained network of this family; see :func:`geoseg.models.networks.build`."""
    import segmentation_models_pytorch as smp

    name = {known.lower(): known for known in names()}[architecture.lower()]
    family = getattr(smp, name)
    taken = set(inspect.signature(family).parameters) - {"in_channels", "classes", "encoder_weights", "kwargs"}
    unknown = sorted(set(arguments) - taken - {"encoder_weights"})
    encoder = str(arguments.get("encoder_name", inspect.signature(family).parameters["encoder_name"].default))
    if unknown and not encoder.startswith("tu-"):
        # smp hands what it does not know to timm's encoders only, and drops it in silence for all others
        raise BundleError(f"{name} cannot be built with {', '.join(unknown)}: it takes {', '.join(sorted(taken))}")
    fixed = {"encoder_weights": None, "in_channels": bands, "classes": classes}
    try:
        network: nn.Module = family(**{**_fitting(name, arguments), **arguments, **fixed})
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        reason = error.args[0] if isinstance(error, KeyError) else error  # a KeyError's text is quoted
        raise BundleError(f"{name} cannot be built with {dict(arguments)}: {reason}") from error
    _refuse_odd_patches(name, network, encoder=encoder)
    return _aligned(network)


def _fitting(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The upsampling that makes up for an encoder of another depth, where smp's own default does not."""
    depth = arguments.get("encoder_depth")
    if isinstance(depth, int) and name == "PSPNet":
        return {"upsampling": 2**depth}
    if isinstance(depth, int) and name == "FPN":
        return {"upsampling": 2 ** (depth - 3)}
    return {}


def _refuse_odd_patches(name: str, network: nn.Module, *, encoder: str) -> None:
    """Refuses transformers whose patches DPT's decoder cannot double up to the input's size."""
    stride = getattr(network.encoder, "output_stride", 1)
    if name == "DPT" and stride & (stride - 1):
        raise BundleError(
            f"DPT cannot be built with {encoder}: its patches of {stride} px are no power of two, so its maps do not"
            " fit each other; take an encoder with patches of 8, 16 or 32 px"
        )


def _aligned(network: nn.Module) -> nn.Module:
    """Upsamplings that align corners made to align pixel centres; they have no weights, so bundles fit as before."""
    from torch import nn

    for module in network.modules():
        if isinstance(module, nn.Upsample) and module.align_corners:
            module.align_corners = False
    return network
