"""Pictures as data URIs: small maps as palette PNGs, which stay sharp and small, scenes as WebP."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from geoseg.legend import IGNORE, Color, Legend

CONFIDENCE_STOPS: tuple[Color, ...] = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""Viridis: even steps of lightness, told apart by colour-blind eyes and in grey print."""

ERROR_STOPS: tuple[Color, ...] = ((222, 226, 230), (244, 165, 130), (214, 96, 77), (140, 12, 37))
"""From nothing wrong to all wrong."""

_QUALITY = 82
"""Of a scene's WebP; differences cannot be seen beside a class map."""

_MIXED: tuple[Color, ...] = ((55, 126, 184), (255, 127, 0), (77, 175, 74), (152, 78, 163), (228, 26, 28), (166, 86, 40))


def class_colors(legend: Legend) -> dict[int, Color]:
    """Class id -> colour."""
    return {c.id: c.color for c in legend}


def ramp(stops: Sequence[Color]) -> dict[int, Color]:
    """Percent (0..100) -> colour, on straight lines between the stops."""
    ends = np.linspace(0, 100, len(stops))
    bands = [np.interp(np.arange(101), ends, [stop[band] for stop in stops]) for band in range(3)]
    return {i: (round(r), round(g), round(b)) for i, (r, g, b) in enumerate(zip(*bands, strict=True))}


def context_colors(flags: Sequence[int]) -> dict[int, Color]:
    """Sets of contexts (bits) -> colour, for those that occur."""
    return {value: _MIXED[i % len(_MIXED)] for i, value in enumerate(sorted(flags))}


def map_uri(values: npt.NDArray[np.uint8], colors: Mapping[int, Color]) -> str:
    """A PNG of ``values`` (height, width); 255, and what has no colour, is transparent."""
    height, width = values.shape
    picture = Image.frombytes("P", (width, height), np.ascontiguousarray(values).tobytes())
    palette = bytearray(768)
    opacity = bytearray(256)
    for value, color in colors.items():
        if value != IGNORE:
            palette[3 * value : 3 * value + 3] = bytes(color)
            opacity[value] = 255
    picture.putpalette(bytes(palette))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True, transparency=bytes(opacity))
    return _uri("image/png", buffer)


def photo_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """A WebP of a scene (3, height, width), uint8."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels, 0, -1))).save(buffer, format="WEBP", quality=_QUALITY)
    return _uri("image/webp", buffer)


def _uri(media_type: str, buffer: io.BytesIO) -> str:
    return f"data:{media_type};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
