"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from geoseg.choices import COMPRESSIONS, FUSES, PRECISIONS, RESOLUTIONS, RUNTIMES, STITCHES
from geoseg.cli.params import FILE, AutoInt, Bands, ContextCount, Device, SchedulerName, chain_bands

F = TypeVar("F", bound=Callable[..., Any])

ASSET = click.option("--asset", metavar="NAME", help="Asset of STAC items; default: the one with role data, or visual.")

READING = (
    click.option("--bidx", "-b", type=Bands(), multiple=True, callback=chain_bands, help="Bands, e.g. 4,3,2 or 1..3."),
    click.option("--nodata", type=float, metavar="NUMBER|nan", help="Nodata value in place of the scene's own."),
    click.option(
        "--resolution",
        type=click.Choice(RESOLUTIONS),
        default="auto",
        show_default=True,
        help="auto reads at the model's GSD if the scene's differs by more than 25 %.",
    ),
    click.option("--max-block-mb", type=int, default=1024, show_default=True, help="Largest block worth decoding."),
    click.option("--max-pixels", type=int, help="Refuse larger scenes."),
)
"""How a scene is read."""

PLACING = (
    click.option("--dst-crs", metavar="EPSG:CODE|WKT", help="Read on a north-up grid of this CRS."),
    click.option("--aoi", type=FILE, metavar="POLYGONS", help="Vector file; what lies outside its polygons is nodata."),
    click.option("--aoi-layer", metavar="NAME", help="Layer of --aoi; default: the polygons of all layers."),
)
"""On which grid, and where."""

RUNNING = (
    click.option("--stitch", type=click.Choice(STITCHES), default="crop", show_default=True, help="How patches join."),
    click.option("--overlap", type=AutoInt(), default="auto", help="Overlap, pixels; auto: a probe's, or the card's."),
    click.option("--tile", type=AutoInt(), default="auto", help="Side of a unit of work, pixels; whole cells."),
    click.option("--batch-size", type=AutoInt(), default="auto", help="Patches per forward pass."),
    click.option("--device", type=Device(), default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option(
        "--runtime",
        type=click.Choice(RUNTIMES),
        default="auto",
        show_default=True,
        help="What runs the network; auto by the size of the job.",
    ),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="auto",
        show_default=True,
        help="Of the network's products; auto is fp32 on a CPU.",
    ),
    click.option("--threads", type=AutoInt(), default="auto", help="Threads of the network's arithmetic."),
)
"""How patches are run."""

_PEM = click.Path(exists=True, dir_okay=False)

CLUSTER = (
    click.option(
        "--scheduler",
        type=SchedulerName(),
        metavar=SchedulerName.name,
        default="threads",
        show_default=True,
        help="A Dask cluster's address; threads is this process, sync one tile at a time.",
    ),
    click.option("--scheduler-file", type=FILE, metavar="JSON", help="What dask scheduler --scheduler-file wrote."),
    click.option(
        "--workers",
        type=click.IntRange(1),
        metavar="N",
        help="Run on N processes of this machine; with cuda one per GPU.",
    ),
    click.option("--tls-ca-file", type=_PEM, metavar="PEM", help="Certificates that sign a tls:// cluster's."),
    click.option("--tls-cert", type=_PEM, metavar="PEM", help="Certificate of this client."),
    click.option("--tls-key", type=_PEM, metavar="PEM", help="Key of this client."),
    click.option("--dashboard", is_flag=True, help="Open Dask's dashboard of a cluster of our own, on loopback."),
    click.option(
        "--retries",
        type=click.IntRange(0),
        default=3,
        show_default=True,
        help="How often a tile may be lost with its worker, or fail for a passing reason.",
    ),
    click.option(
        "--patience",
        type=click.FloatRange(0, min_open=True),
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for workers, or for a scheduler that does not answer.",
    ),
)
"""Where tiles run."""

PRINTING = (
    click.option("--quiet", "-q", is_flag=True, help="No tables, notes or progress."),
    click.option("--debug", is_flag=True, help="Log in detail, and show tracebacks."),
    click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout."),
)
"""What is printed."""


RUN = (
    click.option(
        "--model", "-m", type=FILE, metavar="BUNDLE", help="Model bundle (.safetensors). Default: the one in geoseg."
    ),
    *READING,
    *PLACING,
    click.option(
        "--patch-size",
        type=AutoInt(),
        default="auto",
        help="Patch side, pixels, fitted to the scene; auto takes the best of the model's card.",
    ),
    click.option("--exact", is_flag=True, help="Take --patch-size as it is, unfitted."),
    click.option(
        "--contexts",
        type=ContextCount(),
        default=1,
        show_default=True,
        help="Fuse the K best patch sizes of the card; adaptive runs doubtful patches again at another.",
    ),
    click.option("--fuse", type=click.Choice(FUSES), default="score", show_default=True, help="Weights of contexts."),
    click.option(
        "--budget", type=float, default=1.5, show_default=True, help="Most an adaptive run may cost, in passes."
    ),
    *RUNNING,
    click.option("--confidence", is_flag=True, help="Write the winner's probability, percent, to the Zarr."),
    click.option("--probabilities", is_flag=True, help="Write every class's probability, percent, to the Zarr."),
    click.option("--zarr-format", type=click.Choice(["3", "2"]), default="3", help="2 opens in GDAL and QGIS."),
    *CLUSTER,
    *PRINTING,
)
"""All that ``plan``, ``predict`` and ``batch`` have in common."""

WRITING = (
    click.option(
        "--compress", type=click.Choice(COMPRESSIONS), default="deflate", show_default=True, help="Of the COG."
    ),
    click.option("--overwrite", is_flag=True, help="Replace existing outputs."),
    click.option(
        "--resume/--restart",
        default=True,
        show_default=True,
        help="Continue an unfinished run, or drop it and start over.",
    ),
)
"""How outputs are written."""


def asked_of(options: dict[str, Any]) -> dict[str, Any]:
    """What the verbs take of ``RUN`` and, where a command has it, ``WRITING``; printing is not their business."""
    asked = {k: v for k, v in options.items() if k not in ("debug", "resume")}
    if "resume" in options:
        asked["restart"] = not options["resume"]
    return asked | {"zarr_format": int(options["zarr_format"])}


def examples(*lines: str) -> str:
    """The end of a command's help: what one might type, laid out as it is here."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def with_options(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Adds options to a command, in the order given."""

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add
