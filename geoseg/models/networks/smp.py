"""The segmentation-models-pytorch family: Unet, UnetPlusPlus, DeepLabV3Plus, FPN, Segformer … with any encoder.

Source: https://github.com/qubvel-org/segmentation_models.pytorch. Weights always come from the bundle or from
training: nothing is downloaded (``encoder_weights`` is None whatever a card says).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from geoseg.errors import BundleError

if TYPE_CHECKING:
    from torch import nn


def build(architecture: str, arguments: Mapping[str, Any], *, bands: int, classes: int) -> nn.Module:
    """An untrained network of this family; see :func:`geoseg.models.networks.build`."""
    import segmentation_models_pytorch as smp

    known = {name.lower(): name for name in dir(smp) if isinstance(getattr(smp, name), type)}
    known = {key: name for key, name in known.items() if issubclass(getattr(smp, name), smp.base.SegmentationModel)}
    name = known.get(architecture.lower())
    if name is None:
        raise BundleError(f"unknown architecture {architecture!r}; there are {', '.join(sorted(known.values()))}")
    family = getattr(smp, name)
    taken = set(inspect.signature(family).parameters)
    unknown = sorted(set(arguments) - taken)
    if unknown and not str(arguments.get("encoder_name", "")).startswith("tu-"):
        # smp hands what it does not know to timm's encoders only, and drops it in silence for all others
        raise BundleError(f"{name} cannot be built with {', '.join(unknown)}: it takes {', '.join(sorted(taken))}")
    options = {**arguments, "encoder_weights": None, "in_channels": bands, "classes": classes}
    try:
        network: nn.Module = family(**options)
    except (TypeError, KeyError, ValueError) as error:
        raise BundleError(f"{name} cannot be built with {dict(arguments)}: {error}") from error
    return network
