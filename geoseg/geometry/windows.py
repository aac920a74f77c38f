"""Integer pixel rectangles.

The vocabulary is rasterio's (``col_off``, ``row_off``, ``width``, ``height``); floats and negative sizes, which
rasterio allows, are refused. Offsets may be negative: a window may reach past the scene.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A half-open rectangle of pixels: rows ``[row_off, row_stop)``, columns ``[col_off, col_stop)``.

    Raises:
        ValueError: if a number is not an integer, or a size is negative.
    """

    row_off: int
    """First row, pixels from the top."""
    col_off: int
    """First column, pixels from the left."""
    height: int
    """Rows, >= 0."""
    width: int
    """Columns, >= 0."""

    def __post_init__(self) -> None:
        for name in ("row_off", "col_off", "height", "width"):
            value = getattr(self, name)
            if not isinstance(value, int):
                raise ValueError(f"{name} must be an integer, not {value!r}")  # noqa: TRY004
        if self.height < 0 or self.width < 0:
            raise ValueError(f"a window cannot be {sized(self.shape)}")

    @classmethod
    def from_stops(cls, *, row_off: int, col_off: int, row_stop: int, col_stop: int) -> Window:
        """The window between offsets and (exclusive) stops."""
        return cls(row_off=row_off, col_off=col_off, height=row_stop - row_off, width=col_stop - col_off)

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> Window:
        """The window of a whole raster of ``shape`` (height, width)."""
        return cls(row_off=0, col_off=0, height=shape[0], width=shape[1])

    @property
    def row_stop(self) -> int:
        """One past the last row."""
        return self.row_off + self.height

    @property
    def col_stop(self) -> int:
        """One past the last column."""
        return self.col_off + self.width

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    def within(self, outer: Window) -> tuple[slice, slice]:
        """(rows, columns) slices of this window in an array that holds ``outer``; it must lie inside.

        Raises:
            ValueError: if it does not.
        """
        row, col = self.row_off - outer.row_off, self.col_off - outer.col_off
        if row < 0 or col < 0 or row + self.height > outer.height or col + self.width > outer.width:
            raise ValueError(f"{self} does not lie inside {outer}")
        return slice(row, row + self.height), slice(col, col + self.width)

    def intersect(self, other: Window) -> Window:
        """The common rectangle; of height or width 0 where there is none."""
        row_off, col_off = max(self.row_off, other.row_off), max(self.col_off, other.col_off)
        return Window.from_stops(
            row_off=row_off,
            col_off=col_off,
            row_stop=max(row_off, min(self.row_stop, other.row_stop)),
            col_stop=max(col_off, min(self.col_stop, other.col_stop)),
        )

    def union(self, other: Window) -> Window:
        """The smallest rectangle that holds both."""
        return Window.from_stops(
            row_off=min(self.row_off, other.row_off),
            col_off=min(self.col_off, other.col_off),
            row_stop=max(self.row_stop, other.row_stop),
            col_stop=max(self.col_stop, other.col_stop),
        )

    def grown(self, rim: int) -> Window:
        """This rectangle and ``rim`` pixels around it."""
        return Window(
            row_off=self.row_off - rim,
            col_off=self.col_off - rim,
            height=self.height + 2 * rim,
            width=self.width + 2 * rim,
        )

    def describe(self) -> str:
        """Words for messages: ``rows 0-512, columns 512-1024``."""
        return f"rows {self.row_off}-{self.row_stop}, columns {self.col_off}-{self.col_stop}"


def sized(shape: tuple[int, int]) -> str:
    """A (height, width) as people say it, the width first: ``W x H``."""
    return f"{shape[1]} x {shape[0]}"


def split(shape: tuple[int, int], *, size: tuple[int, int]) -> Iterator[Window]:
    """Windows of at most ``size`` (height, width) that cover ``shape`` once, row by row."""
    for row in range(0, shape[0], size[0]):
        for col in range(0, shape[1], size[1]):
            yield Window(
                row_off=row, col_off=col, height=min(size[0], shape[0] - row), width=min(size[1], shape[1] - col)
            )


class SharedWindows:
    """Windows that several threads take from, each once, in order.

    Args:
        windows: what there is to take.
    """

    def __init__(self, windows: Iterator[Window]) -> None:
        self._windows = windows
        self._lock = threading.Lock()
        self._stopped = False

    def __iter__(self) -> Iterator[Window]:
        while True:
            with self._lock:
                window = None if self._stopped else next(self._windows, None)
            if window is None:
                return
            yield window

    def stop(self) -> None:
        """No more windows, for anybody."""
        with self._lock:
            self._stopped = True
