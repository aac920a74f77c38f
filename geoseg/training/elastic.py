"""Elastic deformation of a patch (Simard et al., ICDAR 2003; U-Net's augmentation), by torchvision.

torchvision draws its fields from torch's global generator, which the threads that prepare patches would race for; here
the field comes from the patch's own generator, made as torchvision makes it, and torchvision only applies it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from geoseg.legend import IGNORE
from geoseg.training.augment import Floats
from geoseg.training.scenes import Labels
from geoseg.training.scipy_extra import ndimage

Valid = npt.NDArray[np.bool_]


def random_field(size: int, *, alpha: float, sigma: float, rng: np.random.Generator) -> Floats:
    """Draws a displacement: uniform noise in [-1, 1] per pixel and axis, smoothed, times alpha / 2 pixels.

    Its standard deviation is about 0.08 alpha / sigma pixels, its slope 0.06 alpha / sigma²: far above 0.3 it folds.

    Args:
        size: side of the patch, pixels.
        alpha: strength, as torchvision counts it (its normalised coordinates span 2 over a side).
        sigma: standard deviation of the Gaussian, pixels.
        rng: where the noise comes from.

    Returns:
        (2, size, size): how far along columns and rows each pixel's source lies, pixels.
    """
    noise = rng.uniform(-1, 1, (2, size, size)).astype(np.float32)
    field: Floats = ndimage.gaussian_filter(noise, sigma, axes=(1, 2)) * np.float32(alpha / 2)
    return field


def deformed(pixels: Floats, valid: Valid, labels: Labels, *, field: Floats) -> tuple[Floats, Valid, Labels]:
    """A patch pulled along a field: pixels bilinear, validity and labels nearest by the same field.

    Args:
        pixels: (C, S, S).
        valid: (S, S).
        labels: (S, S) channel indices, 255 = ignored.
        field: (2, S, S), see :func:`random_field`.

    Returns:
        The three deformed; what comes from outside the patch is 0, not valid, 255.
    """
    displacement = torch.from_numpy(np.moveaxis(field * np.float32(2 / field.shape[-1]), 0, -1).copy())[None]
    near = InterpolationMode.NEAREST
    moved = functional.elastic(torch.from_numpy(pixels), displacement, InterpolationMode.BILINEAR)
    inside = functional.elastic(torch.from_numpy(valid.astype(np.uint8))[None], displacement, near, fill=[0.0])
    named = functional.elastic(torch.from_numpy(labels)[None], displacement, near, fill=[float(IGNORE)])
    return moved.numpy(), inside[0].numpy().astype(np.bool_), named[0].numpy()
