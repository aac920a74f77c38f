"""The effective receptive field: how far away what a pixel's class depends on lies, on real patches.

The theoretical field says what can matter, this what does (Luo et al., "Understanding the Effective Receptive Field in
Deep Convolutional Neural Networks", NeurIPS 2016). By gradient: |d margin / d input|, the margin being the winning
logit less the next; by perturbation: what changes when all that is farther away is other content. Distances are along
the farther axis (Chebyshev), because halos are square.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from geoseg.models.probing.result import ProbedField
from geoseg.models.probing.seams import Frame

SHARES = (0.5, 0.9, 0.99)
"""Shares of the gradient whose distances are told."""

MIDDLE = 16
"""Side of the square in a patch's middle whose classes are watched, pixels."""

Logits = npt.NDArray[np.float32]


def gradient_distances(network: nn.Module, patches: Sequence[torch.Tensor]) -> dict[str, float]:
    """Distance within which lies each of ``SHARES`` of the gradient of the middle pixel's margin, mean of patches.

    Args:
        network: (N, C, H, W) to logits, in evaluation mode.
        patches: (1, C, s, s) as the network takes them, of one size, on its device.
    """
    side = patches[0].shape[-1]
    axis = np.abs(np.arange(side) - side // 2)
    distance = np.maximum(axis[:, None], axis[None]).ravel()
    mass = np.zeros(side // 2 + 1)
    for patch in patches:
        gradient = _margin_gradient(network, patch).ravel()
        total = gradient.sum()
        if total > 0:  # a pixel in a tie of two constant classes depends on nothing
            mass += np.bincount(distance, weights=gradient / total, minlength=len(mass))
    if not mass.any():
        return {str(share): 0.0 for share in SHARES}
    within = np.cumsum(mass) / mass.sum()
    return {str(share): float(np.searchsorted(within, share)) for share in SHARES}


def _margin_gradient(network: nn.Module, patch: torch.Tensor) -> npt.NDArray[np.float64]:
    """(s, s): |d margin / d input| of the middle pixel, summed over bands."""
    side = patch.shape[-1]
    with torch.inference_mode(mode=False), torch.enable_grad():
        pixels = patch.clone().requires_grad_()
        logits = network(pixels)
        logits = logits["out"] if isinstance(logits, dict) else logits
        best = logits[0, :, side // 2, side // 2].topk(min(2, logits.shape[1])).values
        margin = best[0] - best[1] if len(best) > 1 else best[0]
        (gradient,) = torch.autograd.grad(margin, pixels)
    found: npt.NDArray[np.float64] = gradient[0].abs().sum(0).double().cpu().numpy()
    return found


def replaced(
    patches: Sequence[Frame],
    *,
    logits_of: Callable[[Sequence[Frame]], Logits],
    distances: Sequence[int],
) -> tuple[tuple[int, float, float], ...]:
    """What changes in the middle of patches when all beyond a distance is another patch's content.

    Args:
        patches: two or more of one size; each is filled up from the next.
        logits_of: (N, K, s, s) of some patches.
        distances: from the middle square's edge, pixels, rising.

    Returns:
        Per distance: itself, the share of the middle's classes that change, the mean absolute change of a logit.
    """
    side = patches[0].side
    low = (side - MIDDLE) // 2
    middle = slice(low, low + MIDDLE)
    changed, moved = np.zeros(len(distances)), np.zeros(len(distances))
    for patch, other in zip(patches, [*patches[1:], patches[0]], strict=True):
        tried = [_mixed(patch, other, keep=slice(max(0, low - d), low + MIDDLE + d)) for d in distances]
        logits = logits_of([patch, *tried])[:, :, middle, middle]
        changed += (logits[1:].argmax(1) != logits[:1].argmax(1)).mean(axis=(1, 2))
        moved += np.abs(logits[1:] - logits[:1]).mean(axis=(1, 2, 3))
    count = len(patches)
    return tuple(
        (d, round(float(c) / count, 6), round(float(m) / count, 6))
        for d, c, m in zip(distances, changed, moved, strict=True)
    )


def _mixed(patch: Frame, other: Frame, *, keep: slice) -> Frame:
    """The other patch with a square of this one's middle."""
    pixels, valid = other.pixels.copy(), other.valid.copy()
    pixels[:, keep, keep], valid[keep, keep] = patch.pixels[:, keep, keep], patch.valid[keep, keep]
    return Frame(pixels=pixels, valid=valid)


def field_of(
    size: int,
    patches: Sequence[Frame],
    *,
    network: nn.Module,
    prepare: Callable[[Frame], torch.Tensor],
    logits_of: Callable[[Sequence[Frame]], Logits],
    step: int,
) -> ProbedField:
    """The field at one patch size, by both ways.

    Args:
        size: side of the patches, pixels.
        patches: two or more.
        network: in evaluation mode, for gradients.
        prepare: a patch (1, C, s, s) as the network takes it.
        logits_of: logits of stored patches in the runtime that is probed.
        step: distances are 1, 2, 3, 4, 6 and 8 times this, as far as the patch goes.
    """
    room = (size - MIDDLE) // 2
    distances = [d for n in (1, 2, 3, 4, 6, 8) if (d := n * step) < room]
    return ProbedField(
        size=size,
        gradient=gradient_distances(network, [prepare(patch) for patch in patches]),
        replaced=replaced(patches, logits_of=logits_of, distances=distances) if distances else (),
    )
