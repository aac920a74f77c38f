"""Take a raster's place on the ground out of its header: CRS, transform, GCPs and RPCs as a :class:`GeoBox`."""

from __future__ import annotations

from rasterio.crs import CRS
from rasterio.enums import WktVersion
from rasterio.errors import CRSError
from rasterio.io import DatasetReader

from geoseg.geometry.geobox import GeoBox, GroundControlPoint


def native_geobox(dataset: DatasetReader) -> GeoBox:
    """The grid of an open dataset; whatever of its place cannot be read or written as WKT is left out."""
    points, points_crs = dataset.gcps
    transform = dataset.transform
    rpcs = dataset.rpcs
    return GeoBox(
        shape=(dataset.height, dataset.width),
        transform=(transform.a, transform.b, transform.c, transform.d, transform.e, transform.f),
        crs=wkt_of(dataset.crs or points_crs),
        gcps=tuple(
            GroundControlPoint(row=float(p.row), col=float(p.col), x=float(p.x), y=float(p.y), z=float(p.z or 0.0))
            for p in points
        ),
        rpcs=tuple(sorted((str(k), str(v)) for k, v in rpcs.to_gdal().items())) if rpcs else (),
    )


def wkt_of(crs: CRS | None) -> str | None:
    """WKT of a CRS; of the newer kind (ISO 19162) only where the older cannot say it."""
    for version in (None, WktVersion.WKT2_2019):
        try:
            wkt = crs.to_wkt(version=version) if crs else None
        except CRSError:
            continue
        return str(wkt) if wkt else None
    return None
