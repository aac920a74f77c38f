"""``geoseg train``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from geoseg.cli.options import examples
from geoseg.cli.params import FILE
from geoseg.cli.report import print_json, say
from geoseg.cli.signals import default_signals

if TYPE_CHECKING:
    from geoseg.training.books import TrainProgress


@click.command(
    short_help="Train a network and write its bundle.",
    epilog=examples("geoseg train my_model.toml", "geoseg train my_model.toml --restart"),
)
@click.argument("config", type=FILE, metavar="CONFIG.toml")
@click.option("--restart", is_flag=True, help="Start over instead of continuing from the last checkpoint.")
@click.option("--quiet", "-q", is_flag=True, help="No tables, notes or progress.")
@click.option("--debug", is_flag=True, help="Log in detail, and show tracebacks.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def train(config: str, *, restart: bool, quiet: bool, debug: bool, as_json: bool) -> None:  # noqa: ARG001 - main()
    """Train as CONFIG.toml says and write a bundle. The same command again continues a stopped training."""
    default_signals()  # training saves a checkpoint before it stops
    from geoseg.verbs.train import train as run

    def show(progress: TrainProgress) -> None:
        say(_line(progress), quiet=quiet)

    def begin(done: int, steps: int) -> None:
        say(f"continuing after step {done} of {steps}" if done else f"training, {steps} steps", quiet=quiet)

    def remark(note: str) -> None:
        say(f"note  {note}", quiet=quiet)

    made = run(config, restart=restart, progress=show, on_start=begin, on_note=remark)
    say(f"wrote  {made.bundle.path}", quiet=quiet)
    if as_json:
        print_json(
            {
                "bundle": str(made.bundle.path),
                "steps": made.steps,
                "seconds": made.seconds,
                "metrics": made.bundle.card.metrics,
            }
        )


def _line(progress: TrainProgress) -> str:
    """How far a training is, and its scores where it was just validated."""
    line = (
        f"step {progress.step}/{progress.steps} ({progress.share:.0%} after {progress.seconds / 60:.0f} min)"
        f"  loss {progress.loss:.4f}  learning rate {progress.learning_rate:.1e}"
    )
    scores = [f"{name} mIoU {score.miou:.4f}" for name, score in (progress.scores or {}).items()]
    return "  ".join([line, *scores])
