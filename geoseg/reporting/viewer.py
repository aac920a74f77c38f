"""The map to look at: the scene under the result, a slider between them, and a choice of what the result shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from geoseg.legend import IGNORE, Color
from geoseg.reporting import markup
from geoseg.reporting.content import Content
from geoseg.reporting.pictures import (
    CONFIDENCE_STOPS,
    ERROR_STOPS,
    class_colors,
    context_colors,
    map_uri,
    photo_uri,
    ramp,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _View:
    """One thing that can be shown of the result."""

    key: str
    name: str
    alt: str
    uri: str
    legend: list[tuple[str, Color]]


def viewer_section(content: Content) -> str:
    """The pictures with their controls."""
    views = _views(content)
    height, width = content.classes.shape
    scene = "" if content.scene is None else photo_uri(content.scene)
    base = f'<div class="pan"><img src="{scene}" alt="The scene"></div>' if scene else '<div class="pan blank"></div>'
    images = "".join(
        f'<img src="{view.uri}" alt="{escape(view.alt)}" data-view="{view.key}"{"" if view is views[0] else " hidden"}>'
        for view in views
    )
    line = f'<div id="line" aria-hidden="true"{"" if scene else " hidden"}></div>'
    stage = (
        f'<div id="stage" tabindex="0" role="group" aria-label="Map: arrow keys move, plus and minus zoom"'
        f' style="--w:{width};--h:{height}">'
        f'<div class="layer">{base}</div><div class="layer" id="over"{"" if scene else " data-alone"}>'
        f'<div class="pan">{images}</div></div>{line}</div>'
    )
    legends = "".join(markup.legend(view.legend, view=view.key) for view in views)
    note = f"One pixel of these pictures is {content.factor} × {content.factor} pixels of the map."
    return markup.section(
        "Map",
        stage,
        _controls(views, slider=bool(scene)),
        legends,
        markup.paragraph(note if content.factor > 1 else "", kind="small"),
        kind="map",
    )


def _controls(views: list[_View], *, slider: bool) -> str:
    swipe = (
        '<label class="swipe"><span>Scene</span><input id="swipe" type="range" min="0" max="100" value="50" step="1"'
        ' aria-label="How much of the scene is shown, percent"><span>Result</span></label>'
    )
    radios = "".join(
        f'<label><input type="radio" name="view" value="{view.key}"{" checked" if view is views[0] else ""}>'
        f"{escape(view.name)}</label>"
        for view in views
    )
    choice = f'<fieldset class="views"><legend>Show</legend>{radios}</fieldset>' if len(views) > 1 else ""
    zoom = (
        '<div class="zoom" role="group" aria-label="Zoom"><button type="button" id="in" aria-label="Zoom in">+</button>'
        '<button type="button" id="out" aria-label="Zoom out">−</button>'
        '<button type="button" id="fit">Whole map</button></div>'
    )
    return f'<div class="controls">{swipe if slider else ""}{choice}{zoom}</div>'


def _views(content: Content) -> list[_View]:
    found = content.survey
    names: list[tuple[str, Color]] = [(c.name, c.color) for c in content.legend]
    views = [_view("classes", "Classes", "The class map", content.classes, class_colors(content.legend), names)]
    if found.small_errors is not None:
        colors = ramp(ERROR_STOPS)
        rows = [("right", colors[0]), ("half wrong", colors[50]), ("wrong", colors[100])]
        views.append(_view("errors", "Errors", "Where map and reference differ", found.small_errors, colors, rows))
    if found.small_confidence is not None:
        colors = ramp(CONFIDENCE_STOPS)
        rows = [(f"{percent} %", colors[percent]) for percent in (0, 25, 50, 75, 100)]
        alt = "Confidence of the class map"
        views.append(_view("confidence", "Confidence", alt, found.small_confidence, colors, rows))
    if found.small_context is not None and content.contexts:
        flags = [int(v) for v in np.unique(found.small_context) if v != IGNORE]
        colors = context_colors(flags)
        rows = [(_contexts(value, content.contexts), colors[value]) for value in flags]
        alt = "Which patch sizes decided"
        views.append(_view("context", "Contexts", alt, found.small_context, colors, rows))
    return views


def _view(
    key: str,
    name: str,
    alt: str,
    values: npt.NDArray[np.uint8],
    colors: Mapping[int, Color],
    legend: list[tuple[str, Color]],
) -> _View:
    return _View(key=key, name=name, alt=alt, uri=map_uri(values, colors), legend=legend)


def _contexts(flags: int, contexts: tuple[int, ...]) -> str:
    sizes = [f"{size} px" for bit, size in enumerate(contexts) if flags >> bit & 1]
    return " and ".join(sizes) or "none"
