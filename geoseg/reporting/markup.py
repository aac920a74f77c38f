"""Small pieces of HTML. Whatever is handed in as text is escaped here, and only here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from geoseg.legend import Color
from geoseg.reporting.charts import css


def section(heading: str, *parts: str, kind: str = "") -> str:
    """A section of the page; ``parts`` are HTML."""
    found = "\n".join(part for part in parts if part)
    return f'<section class="{kind}"><h2>{escape(heading)}</h2>\n{found}</section>' if found else ""


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values side by side; nothing for no rows."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows)
    return f'<dl class="pairs">{items}</dl>' if items else ""


def tiles(rows: Iterable[tuple[str, str]]) -> str:
    """Figures that are to be seen first."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows)
    return f'<dl class="tiles">{items}</dl>' if items else ""


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, swatches: Sequence[Color] = ()) -> str:
    """A table whose first column names the row; figures stand right. Every cell is text.

    Args:
        caption: what it shows.
        head: headings.
        rows: cells.
        swatches: colours before the first cells.
    """
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = []
    for number, (first, *rest) in enumerate(rows):
        mark = swatch(swatches[number]) if number < len(swatches) else ""
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        lines.append(f'<tr><th scope="row">{mark}{escape(first)}</th>{cells}</tr>')
    return (
        f'<div class="wide"><table><caption><span>{escape(caption)}</span></caption><thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def swatch(color: Color) -> str:
    """A square of a colour."""
    return f'<i class="swatch" style="background:{css(color)}"></i>'


def legend(rows: Iterable[tuple[str, Color]], *, view: str) -> str:
    """Colours and what they mean."""
    items = "".join(f"<li>{swatch(color)}{escape(name)}</li>" for name, color in rows)
    return f'<ul class="legend" data-legend="{escape(view)}">{items}</ul>'


def paragraph(text: str, *, kind: str = "") -> str:
    """A paragraph of text."""
    return f'<p class="{kind}">{escape(text)}</p>' if text else ""


def code(text: str) -> str:
    """Text as it is typed."""
    return f'<pre tabindex="0"><code>{escape(text)}</code></pre>'
