"""Which pixels of a scene hold data: one rule for nodata, NaN, alpha, internal and external masks.

The semantics are those of rasterio's ``dataset_mask``, restricted to the bands that are read: a mask of the whole
dataset counts before anything else; a pixel is nodata only where every band says so. Beyond it, an alpha band is
honoured beside a nodata value, and a pixel with a NaN or infinity in any band that is read is invalid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from geoseg.raster.datasets import READ_FAILURES

Pixels = npt.NDArray[Any]
"""Of any real dtype: what the file stores."""
Valid = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidityRule:
    """Where a scene's validity comes from, for one choice of bands."""

    nodata: tuple[float | None, ...]
    """Per band that is read: the value that means "no data", or None."""
    alpha: int | None
    """Band (from 1) that is 0 where the scene is transparent."""
    dataset_mask: bool
    """True if the dataset carries one mask for all bands, inside or beside the file."""
    band_masks: bool
    """True if bands carry masks of their own; a pixel is valid where any of them says so."""

    @property
    def source(self) -> str:
        """``mask``, ``nodata``, ``alpha`` or ``all``: what decides (first) that a pixel is invalid."""
        if self.dataset_mask or self.band_masks:
            return "mask"
        if any(value is not None for value in self.nodata):
            return "nodata"
        return "all" if self.alpha is None else "alpha"


def colours(dataset: DatasetReader) -> tuple[ColorInterp, ...] | None:
    """What each band is for; None where the header is too damaged to say."""
    # Twice, because the getter also raises what an earlier call left behind as GDAL's last error (some damaged files
    # do that), and clears it by raising: only a second failure is its own.
    for _ in range(2):
        try:
            return tuple(dataset.colorinterp)
        except (ValueError, *READ_FAILURES):
            continue
    return None


def validity_rule(dataset: DatasetReader, *, bidx: tuple[int, ...], override: float | None) -> ValidityRule:
    """The rule for the bands ``bidx`` of a dataset; ``override`` stands in for the file's nodata value."""
    flags = dataset.mask_flag_enums[bidx[0] - 1]
    interp = colours(dataset) or ()
    alpha = next((band for band, use in enumerate(interp, start=1) if use == ColorInterp.alpha), None)
    if alpha is None and MaskFlags.alpha in flags:
        alpha = dataset.count  # GDAL's flag means the last of two or four bands
    if alpha in bidx:
        alpha = None  # asked for as data: GDAL calls the fourth band of any plain four-band file alpha
    dataset_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
    if override is not None:
        nodata: tuple[float | None, ...] = (override,) * len(bidx)
    elif dataset_mask:
        nodata = (None,) * len(bidx)  # the mask is there because the value alone does not tell (JPEG, say)
    else:
        nodata = tuple(dataset.nodatavals[b - 1] for b in bidx)
    return ValidityRule(
        nodata=nodata,
        alpha=alpha,
        dataset_mask=dataset_mask,
        band_masks=not flags,
    )


def differs_from(values: Pixels, nodata: float) -> Valid:
    """True where ``values`` are not ``nodata``; floats are compared to four units of rounding, as GDAL does."""
    if np.issubdtype(values.dtype, np.integer):
        bounds = np.iinfo(values.dtype)
        if not float(nodata).is_integer() or not bounds.min <= nodata <= bounds.max:
            return np.ones(values.shape, dtype=np.bool_)
        return np.asarray(values != values.dtype.type(int(nodata)))
    if np.isnan(nodata):
        return np.asarray(~np.isnan(values))
    with np.errstate(over="ignore"):
        stored = values.dtype.type(nodata)
    if not np.isfinite(stored):
        return np.asarray(values != stored)
    tolerance = 4 * np.finfo(values.dtype).eps * abs(float(stored))
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(~(np.abs(values - stored) <= tolerance))


def valid_pixels(pixels: Pixels, *, nodata: tuple[float | None, ...]) -> Valid:
    """(h, w) True where (C, h, w) ``pixels`` hold data, as far as their own values tell."""
    valid = np.ones(pixels.shape[1:], dtype=np.bool_)
    if all(value is not None for value in nodata):
        valid[:] = False
        for band, value in zip(pixels, nodata, strict=True):
            if value is not None:
                valid |= differs_from(band, value)
    if np.issubdtype(pixels.dtype, np.floating):
        valid &= np.isfinite(pixels).all(axis=0)
    return valid
