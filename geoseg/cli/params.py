"""Option values of the command line, with rasterio's names and spellings (see ``rasterio.rio.options``)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from geoseg.choices import SCHEDULERS

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

FILE = click.Path(readable=False)
"""A path or URL, which the command itself looks at; as a type of its own so that shells complete file names."""


class Offering(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """Values among which some are words that shells can offer."""

    offers: tuple[str, ...] = ()

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """The words that begin so."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(word) for word in self.offers if word.startswith(incomplete)]


class Device(Offering):
    """A device's name; whether there is one, the verbs find out."""

    name = "TEXT"
    offers = ("auto", "cpu", "cuda")

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,  # noqa: ARG002 - click's signature
        ctx: click.Context | None,  # noqa: ARG002
    ) -> str:
        """The name as it is."""
        return str(value)


class AutoInt(Offering):
    """A whole number, or ``auto`` (None)."""

    name = "N|auto"
    offers = ("auto",)

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
    """Patch sizes such as ``256,512``, or ``auto`` (None).

    Args:
        auto: take ``auto`` too.
    """

    def __init__(self, *, auto: bool = True) -> None:
        self.name = "N,N,...|auto" if auto else "N,N,..."
        self._auto = auto

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...] | None:
        """None for ``auto``, else the numbers."""
        if value is None or isinstance(value, tuple):
            return value
        if self._auto and str(value).lower() == "auto":
            return None
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isdecimal() and int(part) for part in parts):
            wanted = "neither a list of sizes such as 256,512 nor 'auto'"
            self.fail(f"{value!r} is {wanted if self._auto else 'not a list of sizes such as 256,512'}", param, ctx)
        return tuple(int(part) for part in parts)


class Words(click.ParamType):  # type: ignore[type-arg]
    """Words such as ``cog,zarr``."""

    name = "WORD,WORD,..."

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,  # noqa: ARG002 - click's signature
        ctx: click.Context | None,  # noqa: ARG002
    ) -> tuple[str, ...]:
        """The words."""
        return value if isinstance(value, tuple) else tuple(w.strip() for w in str(value).split(",") if w.strip())


class ClassShares(click.ParamType):  # type: ignore[type-arg]
    """Numbers 0..1 of classes by name, and one for all others: ``road=0.7,0.9``."""

    name = "SHARE|NAME=SHARE,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float | None, dict[str, float]]:
        """The number for all others, None if there is none; and those by name."""
        if isinstance(value, tuple):
            return value
        others, named = None, {}
        for part in str(value).split(","):
            name, _, text = part.rpartition("=")
            try:
                share = float(text)
            except ValueError:
                share = -1.0
            if not 0 <= share <= 1:
                self.fail(f"{part!r} is neither a share such as 0.8 nor NAME=0.8", param, ctx)
            if name:
                named[name.strip()] = share
            else:
                others = share
        return others, named


class ContextCount(Offering):
    """A number of contexts, from 1, or ``adaptive``."""

    offers = ("1", "2", "3", "adaptive")
    name = "K|adaptive"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """``"adaptive"``, or the number."""
        if str(value).lower() == "adaptive":
            return "adaptive"
        try:
            count = int(value)
        except ValueError:
            count = 0
        if count < 1:
            self.fail(f"{value!r} is neither a number of contexts from 1 nor 'adaptive'", param, ctx)
        return count


class SchedulerName(Offering):
    """``threads``, ``sync`` or a scheduler's address."""

    offers = tuple(SCHEDULERS)
    name = "threads|sync|tcp://HOST:PORT|tls://HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is."""
        if not re.fullmatch(rf"{'|'.join(SCHEDULERS)}|(tcp|tls)://.+", str(value)):
            self.fail(f"{value!r}: there are {', '.join(SCHEDULERS)}, tcp://HOST:PORT and tls://HOST:PORT", param, ctx)
        return str(value)


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
