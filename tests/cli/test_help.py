"""Every command's help ends in examples, and the examples are commands that geoseg takes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from geoseg.cli.main import cli
from tests.commands import check_command


def _all(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """(name, help) of a command and of all below it."""
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from _all(found, below, context)


HELPS = dict(_all(cli, "geoseg"))


def test_all_commands_are_here() -> None:
    assert {"geoseg", "geoseg predict", "geoseg assess design", "geoseg model probe", "geoseg completion"} <= set(HELPS)


@pytest.mark.parametrize("path", HELPS)
def test_help_ends_in_examples_that_parse(path: str) -> None:
    _, found, end = HELPS[path].rpartition("\n  Examples:\n")
    assert found, "no examples at the end"
    lines = end.splitlines()
    assert 1 <= len(lines) <= 3
    for line in lines:
        assert re.match(r"    \S", line), "more than examples, or a wrapped one"
        command = re.sub(r"^source <\((.*?)\)", r"\1", line.strip()).partition(" | ")[0]
        assert command.startswith(path if path != "geoseg" else "geoseg ")
        check_command(command)


@pytest.mark.parametrize(
    "wrong", ["geoseg predict a.tif --nosuch", "geoseg export", "geoseg paint", "geoseg synth a.tif --gsd x"]
)
def test_a_wrong_command_is_found(wrong: str) -> None:
    with pytest.raises(click.UsageError):
        check_command(wrong)
