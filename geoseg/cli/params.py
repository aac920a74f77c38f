"""Option values of the command line, with rasterio's names and spellings (see ``rasterio.rio.options``)."""

from __future__ import annotations

import re
from typing import Any

import click


class AutoInt(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A whole number, or ``auto`` (None)."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """None for ``auto``, else the number."""
        if value is None or isinstance(value, int):
            return value
        if str(value).lower() == "auto":
            return None
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a whole number nor 'auto'", param, ctx)


class Sizes(click.ParamType):  # type: ignore[type-arg]
    """Sides of patches, pixels, with commas: ``128,256,512``."""

    name = "N,N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The sides in the order given."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isdigit() and int(part) for part in parts):
            self.fail(f"{value!r} is not a list of sizes such as 128,256,512", param, ctx)
        return tuple(int(part) for part in parts)


class Bands(click.ParamType):  # type: ignore[type-arg]
    """Band numbers as rasterio takes them: ``3``, ``4,3,2`` or ``1..3``."""

    name = "BANDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers, counted from 1."""
        if isinstance(value, tuple):
            return value
        found: list[int] = []
        for part in str(value).split(","):
            match = re.fullmatch(r"\s*(\d+)\s*(?:\.\.\s*(\d+)\s*)?", part)
            if match is None:
                self.fail(f"{value!r} is not a list of bands such as 4,3,2 or 1..3", param, ctx)
            first, last = int(match[1]), int(match[2] or match[1])
            found.extend(range(first, last + 1) if first <= last else range(first, last - 1, -1))
        return tuple(found)


def chain_bands(
    ctx: click.Context,  # noqa: ARG001 - click's signature
    param: click.Parameter,  # noqa: ARG001
    value: tuple[tuple[int, ...], ...],
) -> tuple[int, ...] | None:
    """One list of bands out of a repeated option; None if it was not given."""
    return tuple(band for bands in value for band in bands) or None
