"""``geoseg model``."""

from __future__ import annotations

import click

from geoseg.cli.report import print_json, print_rows


@click.group(short_help="Look at model bundles.")
def model() -> None:
    """Look at model bundles."""


@model.command(short_help="A bundle's card.")
@click.argument("bundle", required=False)
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
