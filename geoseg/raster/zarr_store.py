"""The class map in Zarr: what a run writes tile by tile, what it resumes from, and what all other outputs come from.

Zarr 3: arrays at the root of a group, one shard per tile core, so that tiles may be written by any number of threads
and processes at once: writes that are not whole shards would lose data silently. Zarr 2 has no shards; its chunks are
the inner chunks.
"""

from __future__ import annotations

from typing import Any

import zarr

from geoseg.errors import GeosegError, MissingExtraError, OutputExistsError, SceneReadError
from geoseg.raster import zarr_layout
from geoseg.raster.local_folder import LocalFolder
from geoseg.raster.locations import CLAIM, OWN, claim
from geoseg.raster.places import absent, location_of, was_created
from geoseg.raster.result_store import Place, ResultStore
from geoseg.raster.zarr_spec import StoreSpec

__all__ = ["ResultStore", "StoreSpec", "create_store", "finish_store", "open_store", "was_created"]


def create_store(place: Place, spec: StoreSpec) -> ResultStore:
    """Make an empty store at ``place``; what is there is deleted. Pixels never written read as 255.

    Raises:
        OutputError: if it cannot be written there.
    """
    where = location_of(place)
    with where.errors():
        where.discard()
        where.write(CLAIM, claim("writing"))
        group = zarr.create_group(where.zarr_store(), zarr_format=spec.zarr_format)  # type: ignore[arg-type]
        attributes = zarr_layout.map_attributes(spec.geobox, zarr_format=spec.zarr_format)
        percent = {**attributes, "units": "percent"}
        cut: dict[str, Any] = {"shape": spec.geobox.shape, "chunk": spec.chunk, "shard": spec.shard}
        legend = zarr_layout.legend_attributes(spec.legend)
        zarr_layout.add_map(group, "classes", attributes={**attributes, **legend}, **cut)
        if spec.confidence:
            zarr_layout.add_map(group, "confidence", attributes=percent, **cut)
        if spec.probabilities:
            zarr_layout.add_map(group, "probabilities", attributes=percent, bands=spec.probabilities, **cut)
        if spec.contexts:
            flags = zarr_layout.context_attributes(spec.contexts)
            zarr_layout.add_map(group, "context", attributes={**attributes, **flags}, **cut)
        zarr_layout.add_coordinates(group, spec.geobox)
        group.update_attributes({**spec.attributes, "Conventions": "CF-1.11", OWN: spec.to_json()})
    return ResultStore(where, spec, group)


def open_store(place: Place) -> ResultStore:
    """Open a store that ``create_store`` made, whole or in work, by its path or URL.

    Raises:
        SceneReadError: if there is none.
    """
    where = location_of(place)
    try:
        group = zarr_layout.open_group(where)
        attributes: dict[str, Any] = dict(group.attrs.asdict())
        spec = StoreSpec.from_json(attributes.pop(OWN), attributes=attributes)
        with where.errors():
            return ResultStore(where, spec, group)
    except MissingExtraError:
        raise
    except (GeosegError, OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(where, LocalFolder) and not where.exists():
            raise SceneReadError(absent(where)) from error
        known = isinstance(where, LocalFolder) or isinstance(error.__cause__, FileNotFoundError)
        why = f" ({error})" if isinstance(error, GeosegError) and not known else ""
        raise SceneReadError(f"{where} is not a class map in Zarr that geoseg wrote{why}; write it anew") from error


def finish_store(part: Place, final: Place, *, overwrite: bool = False) -> None:
    """Give a whole store its name; an old one stays whole until that moment, where names can be changed.

    The markers of finished tiles go last: killed before, the run finds either them or the finished store.

    Raises:
        OutputExistsError: if ``final`` is there and ``overwrite`` is False.
        OutputError: if the file system refuses.
    """
    where, target = location_of(part), location_of(final)
    if not overwrite and not where.finishing() and target.exists():
        raise OutputExistsError(f"{target} is there already; --overwrite replaces it")
    open_store(where).consolidate()
    where.publish(target)
