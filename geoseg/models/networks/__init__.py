"""Networks by name. One file per family; each gives a ``torch.nn.Module`` from (N, C, H, W) to logits (N, K, H, W)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def build(architecture: str, arguments: Mapping[str, Any], *, bands: int, classes: int) -> nn.Module:
    """An untrained network.

    Args:
        architecture: a segmentation-models-pytorch class name such as ``Unet`` (any case).
        arguments: keyword arguments of the architecture, without bands and classes.
        bands: input channels C.
        classes: output channels K.

    Raises:
        BundleError: if the architecture or an argument is unknown; the message names the known ones.
    """
    from geoseg.models.networks import smp

    return smp.build(architecture, arguments, bands=bands, classes=classes)


def multiple_of(network: nn.Module) -> int:
    """What the sides of a network's patches must be multiples of: an smp model's output stride, 1 for a plain module.

    Shifted by anything else, a pooled network answers differently, so the lattice uses no other shift.
    """
    stride = getattr(getattr(network, "encoder", None), "output_stride", 1)
    return stride if isinstance(stride, int) and stride >= 1 else 1
