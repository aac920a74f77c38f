"""``geoseg.predict_array``: an array in memory to classes or logits, by the lattice and stitch of the main job."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from geoseg.choices import Stitch
from geoseg.contexts.candidates import SizeRule
from geoseg.inference.array import predict_pixels
from geoseg.inference.context_choice import choose_contexts
from geoseg.inference.passes import fit_lattice
from geoseg.models.bundle import Bundle, open_bundle
from geoseg.models.modes import modes_of, restore_modes
from geoseg.models.networks import size_rule
from geoseg.models.runtimes import make_predictor
from geoseg.models.runtimes.eager import EagerPredictor
from geoseg.models.source import PLAIN_CONTEXT, PLAIN_HALO, from_bundle

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import nn


def predict_array(
    pixels: npt.ArrayLike,
    model: nn.Module | Bundle | str | os.PathLike[str] | None = None,
    *,
    patch_size: int | None = None,
    overlap: int | None = None,
    stitch: Stitch = "crop",
    batch_size: int = 1,
    multiple: int | None = None,
    exact: bool = False,
    return_logits: bool = False,
) -> npt.NDArray[Any]:
    """Classes or logits of an array.

    Args:
        pixels: (C, H, W) of any real dtype, H and W >= 1; cast to float32. All of them count as data.
        model: a ``torch.nn.Module`` that gives logits (N, K, h, w); it gets the pixels unnormalised, in eager
            float32, on the device its weights are on. Or a bundle or its path (None: the one that ships with
            geoseg), with the bundle's own normalisation.
        patch_size: context, pixels: patches are fitted to the array, within an eighth of it. None: the best of the
            bundle's, 512 for a module.
        overlap: of neighbouring patches, pixels; rounded up to twice the multiple. None: the bundle's, 64 for a
            module.
        stitch: ``crop``, ``hann``, ``gaussian`` or ``average``.
        batch_size: patches per forward pass.
        multiple: what patch sides and origins must be multiples of. None: the bundle's; an smp model's output
            stride; else 1.
        exact: take ``patch_size`` as it is.
        return_logits: give the stitched logits instead of classes.

    Returns:
        Classes (H, W) uint8, or logits (K, H, W) float32.

    Raises:
        PlanError: if the sizes cannot be met together, or the array or the network's answer has another shape.
        BundleError: if the bundle cannot be used.
    """
    if model is None or isinstance(model, Bundle | str | os.PathLike):
        bundle = model if isinstance(model, Bundle) else open_bundle(model)
        card = bundle.card
        rule, overlap = card.rule, 2 * card.halo if overlap is None else overlap
        context = _best_context(bundle, np.shape(pixels), overlap=overlap) if patch_size is None else patch_size
        predictor, ids, modes = make_predictor(bundle), card.legend.ids, {}
    else:
        parameter = next(model.parameters(), None)
        device = "cpu" if parameter is None else parameter.device
        ids, modes = None, modes_of(model)
        rule = size_rule(model) if multiple is None else SizeRule(multiple=multiple)
        overlap = 2 * PLAIN_HALO if overlap is None else overlap
        context = rule.near(PLAIN_CONTEXT)[-1] if patch_size is None else patch_size
        predictor = EagerPredictor(model, device=device, multiple=rule.multiple)
    try:
        return predict_pixels(
            pixels,
            predictor,
            patch_size=context,
            overlap=overlap,
            stitch=stitch,
            batch_size=batch_size,
            exact=exact,
            return_logits=return_logits,
            ids=ids,
            rule=rule,
        )
    finally:
        restore_modes(modes)


def _best_context(bundle: Bundle, shape: tuple[int, ...], *, overlap: int) -> int:
    """The best context of a bundle's card for an array (C, H, W)."""
    if len(shape) != 3 or 0 in shape:
        return bundle.card.context  # the array will be refused by name
    choice = choose_contexts(
        from_bundle(bundle),
        contexts=1,
        fuse="score",
        lattice_of=lambda size: fit_lattice(
            (shape[1], shape[2]), context=size, halo=-(-overlap // 2), rule=bundle.card.rule
        ),
        fits=lambda _: True,
    )
    return choice.sizes[0]
