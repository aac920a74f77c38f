"""From the stored numbers of a label raster to class ids: the part of ``labels.py`` that looks at pixels."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window as RasterioWindow

from geoseg.errors import LegendError
from geoseg.geometry.windows import Window
from geoseg.legend import IGNORE, Color, Legend

Ids = npt.NDArray[np.uint8]
Valid = npt.NDArray[np.bool_]
Encoding = Literal["index", "palette", "color"]


def stored_bands(dataset: Any) -> tuple[int, ...]:
    """Numbers of the bands that hold labels: one of indices, or red, green and blue; alpha is not among them."""
    kinds = list(dataset.colorinterp)
    rgb = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(kind in kinds for kind in rgb):
        return tuple(kinds.index(kind) + 1 for kind in rgb)
    return tuple(i for i, kind in enumerate(kinds, start=1) if kind != ColorInterp.alpha)


def read_stored(dataset: Any, window: Window) -> tuple[npt.NDArray[Any], Valid | None]:
    """The stored numbers (1 or 3, height, width) and where they are data (None: everywhere)."""
    bands = stored_bands(dataset)
    area = RasterioWindow(window.col_off, window.row_off, window.width, window.height)
    values = dataset.read(list(bands), window=area)
    parts: list[Valid] = []
    flags, nodata = dataset.mask_flag_enums[bands[0] - 1], dataset.nodata
    if nodata is not None and not (len(bands) == 1 and nodata == IGNORE):
        # not from GDAL's masks: where a file has nodata and alpha too, rasterio warns and gives one of them
        parts.append(((values != nodata) & (values == values)).any(axis=0))
    elif MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:
        parts.append(dataset.read_masks(list(bands), window=area).any(axis=0))
    if ColorInterp.alpha in dataset.colorinterp:
        alpha = list(dataset.colorinterp).index(ColorInterp.alpha) + 1
        parts.append(dataset.read(alpha, window=area) != 0)
    valid = None if not parts else parts[0] if len(parts) == 1 else parts[0] & parts[1]
    return values, valid


def ids_from_indices(values: npt.NDArray[Any], valid: Valid | None, *, legend: Legend, strict: bool, where: str) -> Ids:
    """Class ids of numbers that are ids.

    Args:
        values: (height, width), any integer or floating type; NaN counts as 255.
        valid: where the numbers are data; None is everywhere.
        legend: the ids that may be.
        strict: raise on other numbers, instead of taking them for 255.
        where: the place, for the message.

    Raises:
        LegendError: on a number that is neither an id nor 255, naming the numbers and their counts.
    """
    if values.dtype == np.uint8:
        small, known = values, _known_ids(legend)[values]
    else:
        if np.issubdtype(values.dtype, np.floating):
            values = np.where(np.isnan(values), IGNORE, values)
        fits = (values >= 0) & (values <= IGNORE)
        small = np.where(fits, values, IGNORE).astype(np.uint8)
        known = fits & (small == values) & _known_ids(legend)[small]
    stray = ~known if valid is None else ~known & valid
    if strict and stray.any():
        raise LegendError(
            f"{where} holds {_counted(values[stray])}, which the legend {list(legend.ids)} does not name;"
            f" give the legend of these labels, or store {IGNORE} where nothing is to be scored"
        )
    keep = known if valid is None else known & valid
    return small if keep.all() else np.where(keep, small, np.uint8(IGNORE))


def ids_from_palette(values: npt.NDArray[Any], valid: Valid | None, *, table: Ids) -> Ids:
    """Class ids of palette numbers (height, width) by a look-up table from ``palette_ids``."""
    ids = table[values]
    return ids if valid is None else np.where(valid, ids, np.uint8(IGNORE))


def palette_ids(dataset: Any, *, legend: Legend) -> Ids:
    """For every number the id of its palette colour, 255 where the legend lacks it, or it is transparent or missing."""
    band = stored_bands(dataset)[0]
    size = int(np.iinfo(dataset.dtypes[band - 1]).max) + 1
    table = np.full(size, IGNORE, np.uint8)
    try:
        colormap = dataset.colormap(band)
    except ValueError:  # rasterio's word for "none"
        return table
    id_of: dict[Color, int] = {c.color: c.id for c in legend}
    for number, (red, green, blue, *alpha) in colormap.items():
        if 0 <= number < size and (not alpha or alpha[0] > 0):
            table[number] = id_of.get((red, green, blue), IGNORE)
    table[IGNORE] = IGNORE  # colour tables often give it black, which may also be a class's colour
    return table


def ids_from_colors(values: npt.NDArray[np.uint8], valid: Valid | None, *, legend: Legend) -> Ids:
    """Class ids of red, green, blue (3, height, width); 255 where the colour is no legend colour."""
    red, green, blue = values.astype(np.uint32)
    packed = red << 16 | green << 8 | blue
    ids = np.full(packed.shape, IGNORE, np.uint8)
    for c in legend:
        ids[packed == (c.color[0] << 16 | c.color[1] << 8 | c.color[2])] = c.id
    return ids if valid is None else np.where(valid, ids, np.uint8(IGNORE))


@lru_cache(maxsize=16)
def _known_ids(legend: Legend) -> Valid:
    """For each of 0..255 whether a label raster may hold it."""
    known = np.zeros(256, np.bool_)
    known[[*legend.ids, IGNORE]] = True
    return known


def _counted(values: npt.NDArray[Any]) -> str:
    """``7 (12 pixels), 9 (1 pixel)``: the most frequent five of the values."""
    found, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    words = [f"{found[i]} ({counts[i]} pixel{'s' if counts[i] != 1 else ''})" for i in order[:5]]
    if len(found) > len(words):
        words.append(f"{len(found) - len(words)} more values")
    return ", ".join(words)


class DecodedCache:
    """A few whole rasters, decoded; for formats whose rows can only be had from the first one on (PNG).

    Without it every window read out of order decodes the file again from its top. Bounded in bytes, so that memory
    does not grow with the number or the size of the rasters.

    Args:
        max_bytes: most bytes held; the latest raster is held in any case.
    """

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[Hashable, Ids] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, decode: Callable[[], Ids]) -> Ids:
        """What ``decode`` gives, called once while the result is held; others wait for it."""
        with self._lock:
            if key not in self._held:
                ids = decode()
                ids.setflags(write=False)
                self._held[key] = ids
                while sum(held.nbytes for held in self._held.values()) > self._max_bytes and len(self._held) > 1:
                    self._held.popitem(last=False)
            self._held.move_to_end(key)
            return self._held[key]
