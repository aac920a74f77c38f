"""The ISPRS Potsdam benchmark (or Vaihingen), from its folder to scores and class maps, in one command.

    python pipelines/potsdam.py Potsdam/ --out runs/potsdam
    python pipelines/potsdam.py Vaihingen/ --out runs/vaihingen --dataset vaihingen

Steps: check the folder, convert the labels, train with dynamic contexts, calibrate the contexts on held-out training
scenes, predict the official test scenes, export the maps in the benchmark's colours, and score those against the full
and the eroded references. The test scenes are used for nothing else. The same command again, also after a kill, does
what is missing; what changed is done anew, but another training is refused without --restart. Progress goes to stderr,
the table of scores to stdout and, with everything else, to OUT/summary.json.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from geoseg.cli.params import ContextCount, Sizes
from geoseg.cli.report import print_rows, say
from geoseg.contexts.distributions import DISTRIBUTIONS
from geoseg.errors import GeosegError, StoppedError
from isprs.benchmarks import BENCHMARKS
from isprs.colors import TOLERANCE
from isprs.config import Settings
from isprs.steps import STEPS, Pipeline


def _words(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (value or "").split(",") if word.strip())


def _arguments(_: click.Context, param: click.Parameter, value: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    import json

    found = []
    for item in value:
        key, equals, text = item.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"{item!r} is not of the form NAME=VALUE", param=param)
        try:
            found.append((key, json.loads(text)))
        except ValueError:
            found.append((key, text))
    return tuple(found)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", "-o", required=True, type=click.Path(file_okay=False, path_type=Path), help="Working folder.")
@click.option("--dataset", type=click.Choice(sorted(BENCHMARKS)), default="potsdam", show_default=True)
@click.option("--held-out", metavar="IDS", callback=_words, help="Training scenes to validate and calibrate on.")
@click.option(
    "--tolerance", default=TOLERANCE, show_default=True, type=click.IntRange(0, 127), help="Of label colours."
)
@click.option("--network", default="Unet", show_default=True, help="Architecture.")
@click.option("--encoder", help="Encoder of the architecture, e.g. resnet34.")
@click.option(
    "--argument", "arguments", metavar="NAME=VALUE", multiple=True, callback=_arguments, help="Of the network."
)
@click.option("--start", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Weights to start from.")
@click.option("--steps", default=20_000, show_default=True, type=click.IntRange(1), help="Training steps at most.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Training time at most.")
@click.option("--learning-rate", default=1e-3, show_default=True, type=click.FloatRange(0, min_open=True))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--sizes", default="256,384,512,640,768", show_default=True, type=Sizes(auto=False), help="Patch sizes.")
@click.option("--distribution", type=click.Choice(DISTRIBUTIONS), default="multinomial", show_default=True)
@click.option("--pixel-budget", type=click.IntRange(1), help="Pixels per training step; by the device if not given.")
@click.option("--halo", default=32, show_default=True, type=click.IntRange(0), help="Rim of patches not trusted.")
@click.option("--gsd", type=click.FloatRange(0, min_open=True), help="Work at this many metres per pixel.")
@click.option("--contexts", type=ContextCount(), default="1", show_default=True, help="Patch sizes to fuse.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--until", type=click.Choice(STEPS), default=STEPS[-1], show_default=True, help="Stop after this step.")
@click.option("--restart", is_flag=True, help="Forget what is done in OUT, the training too.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
def command(*, folder: Path, out: Path, quiet: bool, **options: Any) -> None:
    """Train on, predict and score an ISPRS benchmark in FOLDER; everything is written to OUT.

    \b
    python pipelines/potsdam.py Potsdam/ --out runs/potsdam
    python pipelines/potsdam.py Vaihingen/ --out runs/vaihingen --dataset vaihingen
    """  # noqa: D301 - click wants the backspace itself
    settings = Settings(
        folder=folder.absolute(),
        out=out.absolute(),
        benchmark=BENCHMARKS[options.pop("dataset")],
        sizes=tuple(sorted(set(options.pop("sizes")))),
        **options,
    )
    rows = Pipeline(settings, quiet=quiet).run()
    print_rows(rows, header=True, result=True)
    say(f"wrote  {out / 'summary.json'}", quiet=quiet)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and gives its exit code: 0, 1 failed, 2 wrong usage, 130 or 143 stopped."""
    try:
        command(arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (StoppedError, KeyboardInterrupt, click.Abort) as error:
        signum = error.signum if isinstance(error, StoppedError) else signal.SIGINT
        say(f"stopped by {signal.Signals(signum).name}; give the same command again to continue")
        return 128 + signum
    except (GeosegError, OSError, RuntimeError) as error:  # RuntimeError: a device's memory is too small
        if os.environ.get("GEOSEG_DEBUG"):
            raise
        say(f"Error: {' '.join(str(error).split())}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
