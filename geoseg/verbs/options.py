"""What a user may ask of a run. ``predict`` and ``plan`` take the same, so that a plan is the run's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from geoseg.choices import COMPRESSIONS, FUSES, PRECISIONS, RESOLUTIONS, RUNTIMES, STITCHES, Compression, Resolution
from geoseg.errors import PlanError
from geoseg.inference.executors.options import PATIENCE, RETRIES, ClusterOptions
from geoseg.inference.options import PlanOptions
from geoseg.raster.urls import refuse_credentials

FREE = frozenset(
    {"overwrite", "restart", "max_block_mb", "max_pixels", "to_come", *(f.name for f in fields(ClusterOptions))}
)
"""Options that say where and whether a scene runs, not what its outputs hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(PlanOptions):
    """Options of one run: those of its plan, of reading the scene and of writing; None means ``auto``.

    Raises:
        PlanError: if a word is not among the choices, or the area's name holds credentials.
    """

    bidx: Sequence[int] | None = None
    """Bands of the scene, counted from 1, in the model's order."""
    nodata: float | None = None
    """Value in place of the scene's own nodata value."""
    resolution: Resolution = "auto"
    """``native`` never resamples to the model's GSD."""
    max_block_mb: int = 1024
    """Refuse scenes of which one block decodes to more."""
    max_pixels: int | None = None
    """Refuse scenes of more pixels."""
    dst_crs: str | None = None
    """CRS of the grid that is read, e.g. ``EPSG:32633`` or WKT; None: the scene's own."""
    aoi: str | None = None
    """Vector file of the area of interest, any CRS; outside is nodata."""
    aoi_layer: str | None = None
    """Its layer; None: the polygons of all."""
    asset: str | None = None
    """Of a STAC document's items, the asset to read."""
    compress: Compression = "deflate"
    scheduler: str = "threads"
    """``threads`` or ``sync`` in this process, or the address of a cluster; see ``ClusterOptions``."""
    scheduler_file: str | None = None
    workers: int | None = None
    tls_ca_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    dashboard: bool = False
    retries: int = RETRIES
    patience: float = PATIENCE
    overwrite: bool = False
    """Replace existing outputs, each whole until its successor is."""
    restart: bool = False
    """Drop an unfinished run instead of continuing it."""

    def __post_init__(self) -> None:
        for name, choices in (
            ("stitch", STITCHES),
            ("fuse", FUSES),
            ("resolution", RESOLUTIONS),
            ("runtime", RUNTIMES),
            ("precision", PRECISIONS),
            ("compress", COMPRESSIONS),
            ("zarr_format", (2, 3)),
        ):
            if getattr(self, name) not in choices:
                raise PlanError(f"{name} {getattr(self, name)!r}: there are {', '.join(str(c) for c in choices)}")
        if self.aoi is not None:  # before a batch writes it to its table
            refuse_credentials(self.aoi, what="the area", error=PlanError)
        if self.aoi_layer is not None and self.aoi is None:
            raise PlanError(f"aoi layer {self.aoi_layer!r}: of which file? give it with --aoi")
        if self.contexts != "adaptive" and not isinstance(self.contexts, int):
            raise PlanError(f"contexts {self.contexts!r}: a number of contexts, or 'adaptive'")
        _ = self.cluster

    @property
    def cluster(self) -> ClusterOptions:
        """Where tiles run."""
        return ClusterOptions(**{f.name: getattr(self, f.name) for f in fields(ClusterOptions)})
