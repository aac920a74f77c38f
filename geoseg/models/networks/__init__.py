"""Networks by name. One file per family; each gives a ``torch.nn.Module`` from (N, C, H, W) to logits (N, K, H, W)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from geoseg.errors import BundleError

if TYPE_CHECKING:
    from torch import nn

    from geoseg.contexts.candidates import SizeRule

OWN = {
    "DeconvNet": "deconvnet",
    "DenseDilated6": "dilated",
    "Dilated6": "dilated",
    "Dilated6Pooling": "dilated",
    "Dilated8Pooling": "dilated",
    "FCN16s": "fcn",
    "FCN32s": "fcn",
    "FCN8s": "fcn",
    "SegNet": "segnet",
    "UNetPublished": "unet",
}
"""geoseg's own networks and the files that hold them; all other names are segmentation-models-pytorch's."""


def architectures() -> tuple[str, ...]:
    """The names that :func:`build` knows."""
    from geoseg.models.networks import smp

    return tuple(sorted({*OWN, *smp.names()}, key=str.lower))


def build(architecture: str, arguments: Mapping[str, Any], *, bands: int, classes: int) -> nn.Module:
    """An untrained network.

    Args:
        architecture: one of :func:`architectures`, any case, such as ``Dilated6Pooling`` or ``Unet``.
        arguments: keyword arguments of the architecture, without bands and classes.
        bands: input channels C.
        classes: output channels K.

    Raises:
        BundleError: if the architecture or an argument is unknown; the message names the known ones.
    """
    name = {own.lower(): own for own in OWN}.get(architecture.lower())
    if name is None:
        from geoseg.models.networks import smp

        if architecture.lower() not in {known.lower() for known in smp.names()}:
            raise BundleError(f"unknown architecture {architecture!r}; there are {', '.join(architectures())}")
        return smp.build(architecture, arguments, bands=bands, classes=classes)
    family = getattr(import_module(f"{__name__}.{OWN[name]}"), name)
    taken = set(inspect.signature(family).parameters) - {"bands", "classes"}
    unknown = sorted(set(arguments) - taken)
    if unknown:
        raise BundleError(f"{name} cannot be built with {', '.join(unknown)}: it takes {', '.join(sorted(taken))}")
    network: nn.Module = family(bands=bands, classes=classes, **arguments)
    return network


def multiple_of(network: nn.Module) -> int:
    """What the sides of a network's patches must be multiples of.

    Its own ``multiple`` if it names one, what an smp model's strides come to, 1 for a plain module. Shifted by anything
    else, a pooled network answers differently, so the lattice uses no other shift.
    """
    from geoseg.models.networks import sizes

    return sizes.multiple_of(network)


def size_rule(network: nn.Module) -> SizeRule:
    """Which patch sides a network takes: its own ``size_rule`` if it names one, else multiples of :func:`multiple_of`.

    A network whose timm encoder was built for one size is tried at others (shapes only, nothing is computed); if it
    takes none, ``only`` names the size.
    """
    from geoseg.models.networks import sizes

    return sizes.size_rule(network)


def receptive_field(network: nn.Module, *, bands: int) -> int | None:
    """Side of the largest window of input that one output pixel depends on, pixels; None if it is the whole input.

    By arithmetic where the network knows it (geoseg's own), else measured on a copy, see
    :mod:`geoseg.models.networks.receptive`; what depends on 4096 pixels and more counts as global.

    Args:
        network: (N, C, H, W) to logits; not changed.
        bands: input channels C.
    """
    own = getattr(network, "receptive_field", None)
    if isinstance(own, int):
        return own
    from geoseg.models.networks import receptive

    found = receptive.measure(network, bands=bands, rule=size_rule(network))
    return None if found is None else found[0]


def reach(network: nn.Module, *, bands: int, longest: int | None = None) -> int | None:
    """Distance to the farthest input pixel that an output pixel depends on, pixels; None if it is the whole input.

    With a halo of that many pixels, rounded up to the network's multiple, tiled prediction is exact.

    Args:
        network: (N, C, H, W) to logits; not changed.
        bands: input channels C.
        longest: a field that fills a strip of this length, pixels, is not looked for; None: 4096. Less is quicker.
    """
    own = getattr(network, "reach", None)
    if isinstance(own, int):
        return own
    from geoseg.models.networks import receptive

    found = receptive.measure(network, bands=bands, rule=size_rule(network), longest=longest or receptive.LONGEST)
    return None if found is None else found[1]
