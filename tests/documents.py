"""Reads the project's documents: links, and blocks of code in the order in which a reader meets them.

Two HTML comments, which no reader sees, speak of blocks:

- ``<!-- not run: REASON -->`` directly above a block: it is only parsed, because it needs what a test has not.
- ``<!-- set-up`` or ``<!-- set-up: python``, then lines, then ``-->``: run in their place like a block.

(Own code: libraries that run blocks of Markdown know Python, or skip a block without a look at it.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])

_BLOCK = re.compile(
    r"^<!-- set-up(?:: (?P<hidden_kind>\w+))?\n(?P<hidden>.*?)^-->$"
    r"|(?:^<!-- not run: (?P<reason>[^\n]+) -->\n+)?^(?P<indent> *)```(?P<kind>[^\n]*)\n(?P<text>.*?)^ *```$",
    re.M | re.S,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A piece of code in a document."""

    kind: str
    """The language after the fence: console, bash, python, toml, json, text."""
    text: str
    line: int
    """Where it begins in the document, from 1."""
    reason: str | None
    """Why it is not run; None if it is."""


def blocks_of(page: str) -> list[Block]:
    """All blocks of a document's text, set-ups among them, in order."""
    found = []
    for match in _BLOCK.finditer(page):
        kind = match["kind"] if match["hidden"] is None else match["hidden_kind"] or "console"
        text = match["text"] if match["hidden"] is None else match["hidden"]
        line = page.count("\n", 0, match.start()) + 1
        found.append(Block(kind=kind, text=text, line=line, reason=match["reason"]))
    return found


def command_lines(text: str) -> list[str]:
    """The commands of a console block: continued lines joined, comments and empty lines left out."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def inline_commands(page: str) -> list[str]:
    """What is quoted in running text as a whole ``geoseg`` command."""
    prose = _BLOCK.sub("", page)
    spans = [" ".join(span.split()) for span in re.findall(r"(?<!`)`(geoseg [^`]+)`(?!`)", prose)]
    return [span for span in spans if "…" not in span and "..." not in span and " COMMAND " not in span]
