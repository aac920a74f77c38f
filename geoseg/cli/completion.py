"""``geoseg completion``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from geoseg.cli.options import examples

if TYPE_CHECKING:
    from click.shell_completion import ShellComplete

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    short_help="What makes a shell complete geoseg's commands.",
    epilog=examples(
        "source <(geoseg completion bash)       # in ~/.bashrc, for every shell",
        "source <(geoseg completion zsh)        # in ~/.zshrc, after compinit",
        "geoseg completion fish | source        # in ~/.config/fish/config.fish",
    ),
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script by which SHELL completes commands, options, file names, and values where there is a choice.

    The shell asks geoseg itself, so the script need not be made anew when geoseg changes.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(_script(kind))


def _script(kind: type[ShellComplete]) -> str:
    from geoseg.cli.main import cli

    return kind(cli, {}, "geoseg", "_GEOSEG_COMPLETE").source()
