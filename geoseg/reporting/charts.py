"""Charts as inline SVG, in the page's own colours, readable on a phone and in print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from geoseg.legend import Color

_WIDTH = 420
"""Units across; a phone shows about three quarters of them, a screen a little more than one pixel each."""

_ROW = 26
_NAME = 122
_VALUE = 52


def css(color: Color) -> str:
    """A colour for CSS and SVG."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def bars(title: str, rows: Sequence[tuple[str, float | None, Color]]) -> str:
    """Horizontal bars of values 0..1, a row each; None has no bar.

    Args:
        title: what is shown, for those who do not see it.
        rows: name, value, colour.
    """
    room = _WIDTH - _NAME - _VALUE
    parts = []
    for number, (name, value, color) in enumerate(rows):
        top = number * _ROW
        middle = top + _ROW / 2
        length = 0.0 if value is None else max(0.0, min(1.0, value)) * room
        shown = "–" if value is None else f"{value:.3f}"
        parts.append(
            f'<text x="{_NAME - 8}" y="{middle}" class="label end">{_short(name)}</text>'
            f'<rect x="{_NAME}" y="{top + 5}" width="{room}" height="{_ROW - 10}" class="track"/>'
            f'<rect x="{_NAME}" y="{top + 5}" width="{length:.1f}" height="{_ROW - 10}" fill="{css(color)}"'
            f' class="bar"><title>{escape(name)}: {shown}</title></rect>'
            f'<text x="{_WIDTH - _VALUE + 8}" y="{middle}" class="label">{shown}</text>'
        )
    said = ", ".join(f"{name} {'no value' if value is None else f'{value:.3f}'}" for name, value, _ in rows)
    return _svg(f"{title}: {said}", _ROW * len(rows), parts)


def histogram(title: str, counts: Sequence[int], *, colors: Sequence[Color]) -> str:
    """Columns of counts over 0 to 100 percent.

    Args:
        title: what is shown, for those who do not see it.
        counts: of equal parts of 0..100, ascending.
        colors: one for each.
    """
    height, floor = 130.0, 148
    most, step = max(1, *counts), _WIDTH / max(1, len(counts))
    parts = []
    for number, (count, color) in enumerate(zip(counts, colors, strict=True)):
        tall = count / most * height
        low, high = (round(100 * n / len(counts)) for n in (number, number + 1))
        parts.append(
            f'<rect x="{number * step + 0.5:.1f}" y="{floor - tall:.1f}" width="{step - 1:.1f}" height="{tall:.1f}"'
            f' fill="{css(color)}" class="bar"><title>{low} to {high} %: {count:,} pixels</title></rect>'
        )
    parts.append(f'<line x1="0" x2="{_WIDTH}" y1="{floor}" y2="{floor}" class="axis"/>')
    for percent in (0, 25, 50, 75, 100):
        side = {0: "start", 100: "end"}.get(percent, "middle")
        parts.append(
            f'<text x="{percent / 100 * _WIDTH:.0f}" y="{floor + 14}" class="label" text-anchor="{side}">{percent} %'
            "</text>"
        )
    return _svg(title, floor + 24, parts)


def reliability(title: str, bins: Sequence[Mapping[str, float]], *, color: Color) -> str:
    """Accuracy (columns) over confidence; on the dashed line the two are the same.

    Args:
        title: what is shown, for those who do not see it.
        bins: ``above`` and ``to`` (confidence), ``confidence`` and ``accuracy`` (means), all 0..1, and ``pixels``.
        color: of the columns.
    """
    left, side = 54.0, 300.0  # as wide as it is high, so that the dashed line has 45 degrees
    parts = [f'<rect x="{left}" y="8" width="{side}" height="{side}" class="track"/>']
    for b in bins:
        x, wide, tall = left + b["above"] * side, (b["to"] - b["above"]) * side, b["accuracy"] * side
        said = f"given {100 * b['above']:.0f} to {100 * b['to']:.0f} %: {b['pixels']:,} pixels"
        said += f", {100 * b['confidence']:.1f} % on the mean, {100 * b['accuracy']:.1f} % right"
        parts.append(
            f'<rect x="{x + 0.5:.1f}" y="{8 + side - tall:.1f}" width="{wide - 1:.1f}" height="{tall:.1f}"'
            f' fill="{css(color)}" class="bar"><title>{escape(said)}</title></rect>'
        )
    parts.append(f'<line x1="{left}" x2="{left + side}" y1="{8 + side}" y2="8" class="honest"/>')
    for percent in (0, 50, 100):
        at = percent / 100 * side
        parts.append(f'<text x="{left - 6}" y="{8 + side - at:.0f}" class="label end">{percent} %</text>')
        parts.append(f'<text x="{left + at:.0f}" y="{side + 22}" class="label" text-anchor="middle">{percent} %</text>')
    return _svg(title, side + 32, parts)


def _svg(label: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" role="img" aria-label="{escape(label)}" viewBox="0 0 {_WIDTH} {height:.0f}"'
        f' xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _short(name: str, most: int = 17) -> str:
    return escape(name if len(name) <= most else f"{name[: most - 1]}…")
