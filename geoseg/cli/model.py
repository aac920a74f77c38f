"""``geoseg model``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from geoseg.choices import RUNTIMES, Runtime
from geoseg.cli.options import examples
from geoseg.cli.params import FILE, Device, Sizes
from geoseg.cli.report import print_json, print_rows, say

if TYPE_CHECKING:
    from geoseg.verbs.model_benchmark import BenchmarkRow


@click.group(
    short_help="Look at model bundles, measure networks.",
    epilog=examples("geoseg model info my.safetensors", "geoseg model probe my.safetensors --scene scene.tif"),
)
def model() -> None:
    """Look at model bundles, measure networks."""


@model.command(
    short_help="A bundle's card.", epilog=examples("geoseg model info", "geoseg model info my.safetensors --json")
)
@click.argument("bundle", type=FILE, required=False)
@click.option("--debug", is_flag=True, help="Log in detail, and show tracebacks.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def info(bundle: str | None, *, debug: bool, as_json: bool) -> None:  # noqa: ARG001 - main() looks for --debug
    """Print the card of BUNDLE; of the default model if none is named."""
    from geoseg.verbs.model_info import context_rows, info_rows, model_info

    found = model_info(bundle)
    if as_json:
        print_json(found)
    else:
        print_rows(info_rows(found), result=True)
        print_rows(context_rows(found), header=True, result=True)


@model.command(
    short_help="What networks cost.",
    epilog=examples(
        "geoseg model benchmark",
        "geoseg model benchmark --network Dilated6Pooling --network Unet:resnet34 --sizes 128,256,512",
        "geoseg model benchmark --network my.safetensors --device cuda --json",
    ),
)
@click.option("--network", "networks", multiple=True, help="Architecture, Architecture:encoder or bundle; repeatable.")
@click.option("--sizes", type=Sizes(), help="Sides of the patches, pixels [default: 256,512].")
@click.option("--bands", default=3, show_default=True, help="Input bands; a bundle's own count.")
@click.option("--classes", default=6, show_default=True, help="Classes; a bundle's own count.")
@click.option("--batch", default=1, show_default=True, help="Patches per pass.")
@click.option("--device", type=Device(), default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--repeats", default=3, show_default=True, help="Timed passes; their median is told.")
@click.option("--threads", type=int, help="CPU threads [default: PyTorch's choice].")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.option("--debug", is_flag=True, help="Log in detail, and show tracebacks.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def benchmark(
    networks: tuple[str, ...],
    *,
    sizes: tuple[int, ...] | None,
    bands: int,
    classes: int,
    batch: int,
    device: str,
    repeats: int,
    threads: int | None,
    quiet: bool,
    debug: bool,  # noqa: ARG001 - main() looks for --debug
    as_json: bool,
) -> None:
    """Measure networks: time and memory of a forward and a backward pass, their weights, what a pixel of them sees.

    Memory is the peak of live tensors, weights apart; "field px" the side of the theoretical receptive field.
    """
    from geoseg.verbs.model_benchmark import NETWORKS, SIZES, benchmark_table, model_benchmark

    def show(row: BenchmarkRow) -> None:
        say(f"{row.network}: {row.refused or f'{row.size} px measured'}", quiet=quiet)

    rows = model_benchmark(
        networks or NETWORKS,
        sizes=sizes or SIZES,
        bands=bands,
        classes=classes,
        batch=batch,
        device=device,
        repeats=repeats,
        threads=threads,
        progress=show,
    )
    if as_json:
        print_json({"rows": [row.to_json() for row in rows]})
    else:
        print_rows(benchmark_table(rows), header=True, result=True)


@model.command(
    short_help="How far a model sees, and how fast it runs here.",
    epilog=examples(
        "geoseg model probe",
        "geoseg model probe my.safetensors --scene scene.tif --tolerance 0.005",
        "geoseg model probe --sizes 512,1088 --force --json",
    ),
)
@click.argument("bundle", type=FILE, required=False)
@click.option(
    "--scene",
    "scenes",
    type=FILE,
    multiple=True,
    metavar="SCENE",
    help="Scene to cut patches from; repeatable [default: synthetic].",
)
@click.option(
    "--tolerance", type=float, help="Share of pixels whose class may differ from full-frame's [default: 0.01]."
)
@click.option("--sizes", type=Sizes(), help="Sides of the patches, pixels [default: 256,512,1024,1536].")
@click.option(
    "--runtime",
    type=click.Choice(RUNTIMES),
    default="auto",
    show_default=True,
    help="What runs the network; auto is openvino on a CPU where it is installed, else eager.",
)
@click.option("--device", type=Device(), default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--force", is_flag=True, help="Measure again although a result is kept.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.option("--debug", is_flag=True, help="Log in detail, and show tracebacks.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def probe(
    bundle: str | None,
    *,
    scenes: tuple[str, ...],
    tolerance: float | None,
    sizes: tuple[int, ...] | None,
    runtime: Runtime,
    device: str,
    force: bool,
    quiet: bool,
    debug: bool,  # noqa: ARG001 - main() looks for --debug
    as_json: bool,
) -> None:
    """Measure BUNDLE (the default model if none is named) on this machine, and keep what was found.

    Measured are how far away what a class depends on lies, how often classes near a patch's edge differ from those of
    full-frame inference, and speed and memory by patch size. Plans take the halo and the speed from it from then on.
    """
    from geoseg.verbs import model_probe_tables as tables
    from geoseg.verbs.model_probe import model_probe

    found = model_probe(
        bundle,
        scenes=scenes,
        sizes=sizes,
        runtime=runtime,
        device=device,
        tolerance=tolerance,
        force=force,
        progress=lambda text: say(text, quiet=quiet),
    )
    if as_json:
        print_json(found.to_json())
        return
    print_rows(tables.probe_rows(found), result=True)
    for table in (tables.field_rows(found.result), tables.seam_rows(found), tables.speed_rows(found.result)):
        if table:
            click.echo()
            print_rows(table, header=True, result=True)
