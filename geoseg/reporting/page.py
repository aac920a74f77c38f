"""The page: one file of HTML with its style, script and pictures inside, and nothing that it would fetch.

A policy in its head allows the page's own script, by its hash, and data URIs; whatever else might slip into it, a name
that is a script for example, is text first (all that comes from a store is escaped) and would not run second.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from string import Template

from geoseg.reporting.accuracy import accuracy_section
from geoseg.reporting.calibration import calibration_section
from geoseg.reporting.content import Content
from geoseg.reporting.sections import (
    area_section,
    card_section,
    confidence_section,
    notes_section,
    repeat_section,
    run_section,
)
from geoseg.reporting.viewer import viewer_section


def page_of(content: Content) -> str:
    """The report as HTML."""
    script, style = _asset("report.js"), _asset("report.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    sections = (
        area_section(content),
        accuracy_section(content),
        confidence_section(content),
        calibration_section(content),
        run_section(content),
        card_section(content),
        repeat_section(content),
        notes_section(content),
    )
    return Template(_asset("report.html")).substitute(
        title=escape(content.name),
        about=escape(_about(content)),
        style=style,
        script=script,
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        map=viewer_section(content),
        body="\n".join(section for section in sections if section),
        version=escape(str(content.origin.get("geoseg_version", ""))),
    )


def _about(content: Content) -> str:
    height, width = content.shape
    parts = [f"{width:,} × {height:,} pixels", content.crs]
    if content.gsd is not None:
        across, down = (f"{v:,.0f}" if v >= 999.5 else f"{v:.3g}" for v in content.gsd)
        parts.append(f"{across} m per pixel" if across == down else f"{across} × {down} m per pixel")
    model = content.origin.get("geoseg_model")
    if model:
        parts.append(f"model {model}")
    ended = str(content.timing.get("ended", ""))[:10]
    return " · ".join([*parts, *([ended] if ended else [])])


def _asset(name: str) -> str:
    return files("geoseg.data").joinpath(name).read_text(encoding="utf-8")
