"""A quick look: class colours over the scene, with the legend beside, as a small PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from geoseg.legend import IGNORE, Legend
from geoseg.raster.atomic import output_errors, part_path, put_in_place, remove
from geoseg.raster.tags import QUICKLOOK_TAG

_SWATCH = 18
"""Side of a legend's colour square in pixels; text is as high."""

_INK, _PAPER, _GREY = (30, 30, 30), (255, 255, 255), 214


def write_preview(
    target: Path,
    *,
    classes: npt.NDArray[np.uint8],
    pixels: npt.NDArray[np.uint8] | None,
    legend: Legend,
    opacity: float = 0.5,
) -> None:
    """Write class colours over a scene and a legend of the classes with their shares; it is whole or not there.

    Where there is no class (255) the scene shows alone. A PNG that is there is replaced.

    Args:
        target: the ``.png``.
        classes: uint8 (height, width), already of a size to look at.
        pixels: uint8 (3, height, width) as ``display_rgb`` makes them; None leaves the colours alone on grey.
        legend: names and colours of the classes.
        opacity: of the colours, 0..1; not used without ``pixels``.

    Raises:
        OutputError: if the file cannot be written.
        ValueError: if the shapes do not match, or the opacity is out of range.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must be within 0..1, not {opacity}")
    if pixels is not None and pixels.shape != (3, *classes.shape):
        raise ValueError(f"pixels {pixels.shape} do not fit classes {classes.shape}")
    picture = Image.fromarray(_blend(classes, pixels=pixels, legend=legend, opacity=opacity))
    strip = _legend_strip(classes, legend=legend)
    sheet = Image.new("RGB", (picture.width + strip.width, max(picture.height, strip.height)), _PAPER)
    sheet.paste(picture, (0, 0))
    sheet.paste(strip, (picture.width, 0))
    items = PngInfo()
    items.add_text(QUICKLOOK_TAG, "classes over the scene")
    part = part_path(target)
    with output_errors(target):
        try:
            sheet.save(part, format="PNG", pnginfo=items)
            put_in_place(part, target)
        finally:
            remove(part)


def display_rgb(
    pixels: npt.NDArray[Any], *, valid: npt.NDArray[np.bool_] | None = None, percentiles: tuple[float, float] = (2, 98)
) -> npt.NDArray[np.uint8]:
    """Pixels of any dtype as something to look at: each band stretched between two percentiles of its valid pixels.

    Args:
        pixels: (C, height, width); the first three bands are red, green and blue, one or two bands become grey.
        valid: bool (height, width), True = data; None takes all finite pixels.
        percentiles: what becomes black and what becomes white, 0..100.

    Returns:
        uint8 (3, height, width); pixels that are not valid are black.
    """
    bands = pixels[:3] if pixels.shape[0] >= 3 else pixels[:1]
    shown = np.zeros((3, *pixels.shape[1:]), np.uint8)
    for index, band in enumerate(bands):
        there = np.isfinite(band) if valid is None else valid & np.isfinite(band)
        if there.any():
            low, high = np.percentile(band[there], percentiles)
            stretched = (band[there].astype(np.float64) - low) / max(high - low, np.finfo(np.float32).tiny)
            shown[index][there] = np.rint(255 * np.clip(stretched, 0, 1)).astype(np.uint8)
    if len(bands) == 1:
        shown[1:] = shown[0]
    return shown


def _blend(
    classes: npt.NDArray[np.uint8], *, pixels: npt.NDArray[np.uint8] | None, legend: Legend, opacity: float
) -> npt.NDArray[np.uint8]:
    """uint8 (height, width, 3)."""
    colors = np.full((256, 3), _GREY, np.uint8)
    colors[list(legend.ids)] = legend.colors
    painted = colors[classes]
    if pixels is None:
        return painted
    scene = np.moveaxis(pixels, 0, -1)
    mixed = np.rint(scene * (1 - opacity) + painted * opacity).astype(np.uint8)
    return np.where((classes == IGNORE)[..., None], scene, mixed)


def _legend_strip(classes: npt.NDArray[np.uint8], *, legend: Legend) -> Image.Image:
    """A column of colour squares, names and shares of the pixels that have a class."""
    counts = np.bincount(classes.ravel(), minlength=256)
    total = max(1, int(counts[:IGNORE].sum()))
    lines = [f"{c.name}  {counts[c.id] / total:.1%}" for c in legend]
    font = ImageFont.load_default(size=_SWATCH * 0.8)
    step, margin = _SWATCH * 3 // 2, _SWATCH // 2
    width = int(max(font.getlength(line) for line in lines)) + _SWATCH + 3 * margin
    strip = Image.new("RGB", (width, margin + step * len(lines)), _PAPER)
    draw = ImageDraw.Draw(strip)
    for index, (entry, line) in enumerate(zip(legend, lines, strict=True)):
        top = margin + index * step
        draw.rectangle((margin, top, margin + _SWATCH, top + _SWATCH), fill=entry.color, outline=_INK)
        draw.text((2 * margin + _SWATCH, top + _SWATCH / 2), line, fill=_INK, font=font, anchor="lm")
    return strip
