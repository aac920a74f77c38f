"""What the command line prints: progress and tables on stderr, JSON on stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from geoseg.inference.pipeline import Progress

_LINE_EVERY = 10.0  # seconds between plain progress lines


class TileProgress(Protocol):
    """Takes the progress of a run."""

    def __call__(self, progress: Progress) -> None:
        """Shows it."""


def print_json(data: Any) -> None:
    """One object on stdout."""
    click.echo(json.dumps(data, indent=2, default=str))


def say(text: str, *, quiet: bool = False) -> None:
    """A line on stderr."""
    if not quiet:
        click.echo(text, err=True)


def print_rows(
    rows: Sequence[Sequence[str]], *, header: bool = False, quiet: bool = False, result: bool = False
) -> None:
    """Rows as an aligned table; under a header, figures to the right. On stderr, unless it is the ``result``."""
    if quiet or not rows:
        return
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(len(row) for row in rows))]
    for number, row in enumerate(rows):
        cells = [
            cell.rjust(width) if header and i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        click.echo("  ".join(cells).rstrip(), err=not result)
        if header and number == 0:
            click.echo("  ".join("-" * width for width in widths), err=not result)


@contextmanager
def tile_progress(*, quiet: bool) -> Iterator[TileProgress]:
    """A bar with tiles, Mpx/s and time left on a terminal, plain lines otherwise, nothing if quiet."""
    if quiet:
        yield _nothing
    elif sys.stderr.isatty():
        with _bar() as shown:
            yield shown
    else:
        yield _Lines()


def _nothing(progress: Progress) -> None:
    """Shows nothing."""


class _Lines:
    """A plain line now and then, for logs."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._last = float("-inf")
        self._first_pixels = 0
        self._run: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress is not self._run:  # another scene
            self._run, self._started, self._last = progress, now, float("-inf")
            self._first_pixels = progress.pixels_done
            if progress.resumed_tiles:
                say(f"continuing: {progress.resumed_tiles} of {progress.tiles} tiles are done already")
        if progress.stage != "predicting":
            if now - self._started > _LINE_EVERY:  # nobody waits for the stages of a small scene
                say(progress.stage)
            return
        if now - self._last < _LINE_EVERY and progress.tiles_done < progress.tiles:
            return
        self._last = now
        done = progress.pixels_done - self._first_pixels
        rate = done / max(now - self._started, 1e-9)
        left = f", {(progress.pixels - progress.pixels_done) / rate:.0f} s left" if rate > 0 else ""
        say(f"{progress.tiles_done}/{progress.tiles} tiles, {rate / 1e6:.2f} Mpx/s{left}")


@contextmanager
def _bar() -> Iterator[TileProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[tiles]} tiles"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        run: Progress | None = None
        task, started, first = bar.add_task("starting", total=None, tiles="0", rate=""), 0.0, 0

        def show(progress: Progress) -> None:
            nonlocal run, task, started, first
            if progress is not run:  # another scene
                bar.remove_task(task)
                task = bar.add_task("predicting", total=None, tiles="0", rate="")
                run, started, first = progress, time.monotonic(), progress.pixels_done
            rate = (progress.pixels_done - first) / max(time.monotonic() - started, 1e-9) / 1e6
            bar.update(
                task,
                description=progress.stage,
                total=progress.pixels,
                completed=progress.pixels_done,
                tiles=f"{progress.tiles_done}/{progress.tiles}",
                rate=f"{rate:.2f} Mpx/s",
            )

        yield show
