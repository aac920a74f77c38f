"""What a finished GeoTIFF says of itself."""

from __future__ import annotations

from pathlib import Path

from geoseg.raster.datasets import open_dataset, raster_environment


def read_tags(path: Path) -> dict[str, str]:
    """The text items of a raster's default domain, those of its ``.aux.xml`` included.

    Raises:
        SceneReadError: if it cannot be opened.
    """
    with raster_environment():
        return {str(k): str(v) for k, v in open_dataset(path).tags().items()}
