"""Legends: which class ids there are, what they are called and how they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geoseg.errors import LegendError

IGNORE = 255
"""The id of pixels that have no class: nodata in a prediction, not scored in a truth."""

Color = tuple[int, int, int]

_PALETTE: tuple[Color, ...] = (
    (228, 26, 28), (55, 126, 184), (77, 175, 74), (152, 78, 163), (255, 127, 0), (255, 255, 51),
    (166, 86, 40), (247, 129, 191), (102, 194, 165), (141, 160, 203), (231, 138, 195), (166, 216, 84),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LegendClass:
    """One class of a legend."""

    id: int
    """Value in class maps and label rasters, 0..254."""
    name: str
    """Display name, unique in its legend."""
    color: Color
    """Red, green, blue, each 0..255."""


@dataclass(frozen=True, slots=True)
class Legend:
    """The classes of a model or a map, ascending by id; the network's channel i stands for ``classes[i]``.

    Raises:
        LegendError: if an id or a name stands twice, or a number is out of range.
    """

    classes: tuple[LegendClass, ...]

    def __post_init__(self) -> None:
        ids = [c.id for c in self.classes]
        names = [c.name for c in self.classes]
        if not ids or len(ids) > IGNORE:
            raise LegendError(f"a legend holds 1 to {IGNORE} classes, this one {len(ids)}")
        if sorted(set(ids)) != ids or ids[0] < 0 or ids[-1] >= IGNORE:
            raise LegendError(f"class ids must ascend without repeats within 0..{IGNORE - 1}: {ids}")
        if len(set(names)) != len(names):
            raise LegendError(f"class names must differ: {names}")
        for c in self.classes:
            if len(c.color) != 3 or not all(0 <= v <= 255 for v in c.color):
                raise LegendError(f"the colour of {c.name!r} must be three numbers 0..255, not {c.color}")

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[LegendClass]:
        return iter(self.classes)

    @property
    def ids(self) -> tuple[int, ...]:
        """Class ids, ascending; ``ids[i]`` is what the network's channel i means."""
        return tuple(c.id for c in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in the order of ``ids``."""
        return tuple(c.name for c in self.classes)

    @property
    def colors(self) -> tuple[Color, ...]:
        """Class colours in the order of ``ids``."""
        return tuple(c.color for c in self.classes)

    def to_json(self) -> list[dict[str, Any]]:
        """The legend as plain lists and dictionaries; ``from_json`` is the inverse."""
        return [{"id": c.id, "name": c.name, "color": list(c.color)} for c in self.classes]

    @classmethod
    def from_json(cls, data: Sequence[Mapping[str, Any]]) -> Legend:
        """A legend from ``[{"id": 0, "name": "building", "color": [60, 16, 152]}, ...]``; colour may be missing.

        Raises:
            LegendError: if an entry is not of that form.
        """
        try:
            found = [
                LegendClass(
                    id=int(d["id"]),
                    name=str(d["name"]),
                    color=tuple(int(v) for v in d.get("color", _PALETTE[i % len(_PALETTE)])),  # type: ignore[arg-type]
                )
                for i, d in enumerate(data)
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LegendError(f"a legend is a list of {{id, name, color}}, not {data!r:.120}") from error
        return cls(tuple(sorted(found, key=lambda c: c.id)))

    @classmethod
    def numbered(cls, count: int) -> Legend:
        """A legend of ``count`` classes that nobody has named: ``class 0`` … in a fixed palette."""
        return cls.from_json([{"id": i, "name": f"class {i}"} for i in range(count)])
