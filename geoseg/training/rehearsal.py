"""A first try of what a step may be handed, before any step is made: a batch of one patch.

Global pooling leaves a batch of one patch a single value per channel, of which batch normalisation has no variance
(DeepLabV3+, PAN, UPerNet); torch refuses it, at the first step that draws such a context.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from geoseg.contexts.distributions import Distribution
from geoseg.errors import ConfigError


def refuse_lone_patches(network: nn.Module, *, contexts: Distribution, bands: int, budget: int) -> None:
    """Refuses a training in which some context leaves one patch a step, if the network cannot learn from one.

    Tried on a copy, without gradients, at the smallest such context, whose maps are the smallest too. The network and
    torch's random numbers stay as they were.

    Args:
        network: (N, C, H, W) to logits.
        contexts: what steps draw.
        bands: input channels C.
        budget: input pixels of a step.

    Raises:
        ConfigError: naming the context and the budget or the sizes that would do.
    """
    lone = [size for size in contexts.sizes if 2 * size * size > budget]
    if not lone or _learns_from(network, shape=(1, bands, lone[0], lone[0])):
        return
    most, few = contexts.sizes[-1], math.isqrt(budget // 2)
    way = f"leave out sizes above {few} px" if len(contexts.sizes) > len(lone) else f"take patches of at most {few} px"
    raise ConfigError(
        f"a step of {budget:,} pixels holds one patch of {lone[0]} px, and batch normalisation behind this network's"
        f" pooling needs two to learn from: raise training.pixel_budget to {2 * most * most:,} or {way}"
    )


def _learns_from(network: nn.Module, *, shape: tuple[int, int, int, int]) -> bool:
    """Whether a batch of this shape passes in training mode."""
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        try:
            copy.deepcopy(network).train()(torch.zeros(shape, device=device))
        except ValueError as error:  # what nn.functional.batch_norm raises; others are for the first step to tell
            if "more than 1 value per channel" not in str(error):
                raise
            return False
    return True
