"""The border part of U-Net's weight map: pixels in a narrow gap between two objects weigh more.

w0 exp(-(d1(x) + d2(x))² / 2σ²), where d1 and d2 are the distances from pixel x to the border of the nearest and of the
second nearest object (Ronneberger, Fischer and Brox, "U-Net", MICCAI 2015, eq. 2; there cells on a background, w0 = 10,
σ = 5 px). An object is a 4-connected component of one class within the patch, and its border are those of its pixels
that have a 4-neighbour in the patch which is not the object's; where the patch ends is no border.

Which classes are objects decides what the map is. With a background, classes that are no objects, it is the paper's:
a background pixel gets much in a narrow gap between two objects and little beside a lone one. Without one every pixel
of a full class map belongs to an object, the road between two houses too: d1 and d2 then lead to the two sides of the
same edge, all edges between classes get nearly w0 alike, and a gap no more than any other edge.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import numpy as np
import numpy.typing as npt

from geoseg.legend import IGNORE, Legend
from geoseg.training.scipy_extra import ndimage
from geoseg.training.settings import LossConfig

Labels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def border_map(config: LossConfig, *, legend: Legend) -> Callable[[Labels], Floats] | None:
    """From a patch's labels to the border part of the map, as the configuration wants it; None: not at all."""
    if not config.border_w0:
        return None
    background = tuple(legend.names.index(name) for name in config.border_background)
    return partial(border_weights, w0=config.border_w0, sigma=config.border_sigma, background=background)


def border_weights(labels: Labels, *, w0: float, sigma: float, background: Collection[int] = ()) -> Floats:
    """The border part of the map of one patch, exact.

    Args:
        labels: (H, W) channel indices, 255 = ignored.
        w0: the weight on a border.
        sigma: how far it reaches, pixels.
        background: channel indices of the classes that are no objects.

    Returns:
        (H, W) float32; 0 at ignored pixels and where there is no second object.
    """
    first, second = border_distances(labels, background=background)
    weights: Floats = (w0 * np.exp(-np.square(first + second) / (2 * sigma**2))).astype(np.float32)
    return weights


def border_distances(
    labels: Labels, *, background: Collection[int] = ()
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Distances from every labelled pixel to the borders of the nearest and the second nearest object.

    From inside an object nothing is nearer than its own border, and another object's nearest pixel is on its border.
    So d1 is the distance to any border, and d2 the distance to the nearest pixel of an object other than the one that
    the pixel is in or, in the background, nearest to: the least over the bits of the objects' numbers of the distance
    to a pixel whose number differs in that bit, since two numbers differ in one at least. That is two distance
    transforms per bit, however many objects there are.

    Args:
        labels: (H, W) channel indices, 255 = ignored.
        background: channel indices of the classes that are no objects; their pixels have distances all the same.

    Returns:
        d1 and d2 (H, W) in pixels, between pixel centres; infinite where there is none, and at ignored pixels.
    """
    known = labels != IGNORE
    objects = np.where(np.isin(labels, list(background)), np.uint8(IGNORE), labels) if background else labels
    inside = objects != IGNORE
    first = np.where(known, _distance_to(_borders(objects)), np.inf)
    # Where all is objects the nearest other one touches this one, so it is of another class: classes will do.
    numbers = objects if inside.all() else _objects(objects)
    own = numbers[_nearest(inside)] if background and inside.any() else numbers
    second = np.full(labels.shape, np.inf)
    for bit in range(int(numbers.max(where=inside, initial=0)).bit_length()):
        one = (numbers >> bit & 1).astype(np.bool_)
        other = np.where(own >> bit & 1, _distance_to(inside & ~one), _distance_to(inside & one))
        second = np.minimum(second, other, out=second, where=known)
    return first, second


def _borders(labels: Labels) -> npt.NDArray[np.bool_]:
    """Labelled pixels with a 4-neighbour of another class or of none; equal neighbours are of one object."""
    differs = np.zeros(labels.shape, np.bool_)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    differs[1:] |= down
    differs[:-1] |= down
    differs[:, 1:] |= right
    differs[:, :-1] |= right
    differs &= labels != IGNORE
    return differs


def _objects(labels: Labels) -> npt.NDArray[np.int32]:
    """Numbers the 4-connected components of all classes from 0; ignored pixels hold anything."""
    numbers = np.zeros(labels.shape, np.int32)
    count = 0
    for value in np.unique(labels[labels != IGNORE]):
        found, more = ndimage.label(labels == value)
        numbers += np.where(found > 0, found + (count - 1), 0).astype(np.int32)
        count += more
    return numbers


def _distance_to(target: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Distance of every pixel to the nearest one of ``target``; infinite without any, where SciPy invents one."""
    if not target.any():
        return np.full(target.shape, np.inf)
    distances: npt.NDArray[np.float64] = ndimage.distance_transform_edt(~target)
    return distances


def _nearest(target: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], ...]:
    """Rows and columns of every pixel's nearest one of ``target``, which has one."""
    return tuple(ndimage.distance_transform_edt(~target, return_distances=False, return_indices=True))
