"""Command lines as text: does geoseg take them?"""

from __future__ import annotations

import contextlib
import shlex

import click

from geoseg.cli.main import cli


def check_command(line: str) -> None:
    """Lets click parse a ``geoseg`` command, without running it.

    Raises:
        click.UsageError: for a command, an option or a value that does not exist.
    """
    name, *words = shlex.split(line, comments=True)
    assert name == "geoseg", line
    command: click.Command = cli
    context = click.Context(cli, info_name=name)
    while isinstance(command, click.Group):
        if not words:
            raise click.MissingParameter(f"{line}: which one?", param_type="command")
        if words[0].startswith("-"):
            break
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    with contextlib.suppress(click.exceptions.Exit):  # --help and --version
        command.make_context(name, [*words], parent=context.parent)
