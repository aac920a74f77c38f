"""The ``geoseg`` command: its subcommands, each loaded when it is called, and what errors look like."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
from typing import Any

import click

import geoseg
from geoseg.cli.options import examples
from geoseg.cli.signals import leave_on_signals
from geoseg.errors import GeosegError, StoppedError

_TELLTALES = ("botocore", "aiobotocore", "urllib3", "aiohttp", "google", "azure")
"""Loggers that write signed URLs and session tokens into their debug lines."""

_COMMANDS = {
    "assess": "geoseg.cli.assess",
    "batch": "geoseg.cli.batch",
    "calibrate": "geoseg.cli.calibrate",
    "completion": "geoseg.cli.completion",
    "evaluate": "geoseg.cli.evaluate",
    "export": "geoseg.cli.export",
    "model": "geoseg.cli.model",
    "plan": "geoseg.cli.predict",
    "predict": "geoseg.cli.predict",
    "report": "geoseg.cli.page",
    "synth": "geoseg.cli.synth",
    "train": "geoseg.cli.train",
}


class _LazyGroup(click.Group):
    """Loads the module of a command when it is called or asked for help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        found = getattr(importlib.import_module(_COMMANDS[cmd_name]), cmd_name)
        assert isinstance(found, click.Command)
        return found


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=examples(
        "geoseg predict scene.tif -o map.tif -o map.zarr     # classes with the default model; -m takes another",
        "geoseg export map.zarr map.gpkg                     # their polygons, whole across tiles",
        "geoseg report map.zarr                              # one page to look at",
    ),
)
@click.version_option(geoseg.__version__, prog_name="geoseg")
def cli() -> None:
    """Gigapixel aerial rasters to georeferenced class maps. `geoseg COMMAND --help` ends in examples of each."""


def main() -> None:
    """Entry point of the ``geoseg`` command."""
    debug = "--debug" in sys.argv or bool(os.environ.get("GEOSEG_DEBUG"))
    if debug:
        log_in_detail()
        sys.argv = [a for a in sys.argv if a != "--debug"]
    leave_on_signals()
    try:
        code = cli(standalone_mode=False)  # click returns the code of its own Exit
    except click.ClickException as error:
        error.show()
        _leave(error.exit_code)
    except (StoppedError, KeyboardInterrupt, click.Abort) as error:
        if debug:
            raise
        signum = error.signum if isinstance(error, StoppedError) else signal.SIGINT
        _say(f"stopped by {signal.Signals(signum).name}; give the same command again to continue")
        _leave(128 + signum)
    except BrokenPipeError:
        _leave(1)
    except Exception as error:
        if debug:
            raise
        _say(f"Error: {_one_line(error)}")
        _leave(1)
    _leave(code if isinstance(code, int) else 0)


def log_in_detail() -> None:
    """Everything that is logged to stderr, but for secrets."""
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    for name in _TELLTALES:
        logging.getLogger(name).setLevel(logging.INFO)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, GeosegError):
        return text
    if isinstance(error, MemoryError):
        return f"out of memory ({text or 'no more to be had'}): use a smaller --patch-size or --tile"
    from geoseg.raster.urls import without_credentials  # a library's message may hold a signed URL

    text = without_credentials(text)
    return f"this should not happen, please report it ({type(error).__name__}: {text}); --debug shows where"


def _say(line: str) -> None:
    click.echo(line, err=True)


def _leave(code: int) -> Any:
    """Ends the process at once: libraries' threads and exit handlers have nothing left to save, only noise to make."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 1
    os._exit(code)
