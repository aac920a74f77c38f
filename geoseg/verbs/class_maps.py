"""Opening class maps of any origin: geoseg's own, and rasters of ids that carry no legend."""

from __future__ import annotations

import json
import os
from pathlib import Path

from geoseg.errors import LegendError
from geoseg.legend import Legend
from geoseg.models.bundle import open_bundle
from geoseg.raster.label_legend import stored_legend

PathLike = str | os.PathLike[str]


def find_legend(uri: str, given: Legend | PathLike | None) -> Legend | None:
    """The legend that was given, or the one that the map carries; None if there is neither.

    Raises:
        LegendError: if it cannot be read.
    """
    if given is None:
        return stored_legend(uri)
    return given if isinstance(given, Legend) else read_legend(given)


def read_legend(path: PathLike) -> Legend:
    """A legend from a file: JSON (a list of ``{id, name, color}``) or a model bundle's card.

    Raises:
        LegendError: if the file is missing or of neither kind.
        BundleError: if a ``.safetensors`` file is no bundle.
    """
    file = Path(path)
    if file.suffix == ".safetensors":
        return open_bundle(file).card.legend
    try:
        return Legend.from_json(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise LegendError(f"cannot read the legend {file}: {error.strerror or error}") from error
    except json.JSONDecodeError as error:
        raise LegendError(f"{file} is not JSON ({error}); a legend is a list of {{id, name, color}}") from error
