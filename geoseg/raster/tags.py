"""What a finished GeoTIFF, or a quick look, says of itself."""

from __future__ import annotations

from pathlib import Path

from geoseg.raster.datasets import open_dataset, raster_environment

PLAN_DIGEST_TAG = "GEOSEG_PLAN_DIGEST"
"""Digest of the plan that made the file."""

LEGEND_TAG = "GEOSEG_LEGEND"
"""The legend as JSON."""

QUICKLOOK_TAG = "GEOSEG_QUICKLOOK"
"""Of a PNG: that it is a quick look."""

METRICS_TAG = "GEOSEG_METRICS"
"""Scores against a reference as JSON."""


def read_tags(path: Path) -> dict[str, str]:
    """The text items of a raster's default domain, those of its ``.aux.xml`` included.

    Raises:
        SceneReadError: if it cannot be opened.
    """
    with raster_environment():
        return {str(k): str(v) for k, v in open_dataset(path).tags().items()}
