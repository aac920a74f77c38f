"""``geoseg model info``: a bundle's card."""

from __future__ import annotations

import os
from typing import Any

from geoseg.models.bundle import open_bundle


def model_info(bundle: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """The card of a bundle with its path, size in bytes and digest; of the default model for None.

    Raises:
        BundleError: if it is no bundle.
    """
    found = open_bundle(bundle)
    return {
        "path": str(found.path),
        "bytes": found.path.stat().st_size,
        "digest": found.digest,
        **found.card.to_json(),
    }


def info_rows(info: dict[str, Any]) -> list[tuple[str, str]]:
    """The card as a table of two columns."""
    arguments = ", ".join(f"{k}={v}" for k, v in info["arguments"].items())
    sizes = ", ".join(str(size) for size in info["patch_sizes"])
    patches = f"trained at {sizes} px, context {info['context']}, halo {info['halo']}, multiple {info['multiple']}"
    rows = [
        ("model", info["name"]),
        ("what for", info["description"]),
        ("file", f"{info['path']} ({info['bytes'] / 1e6:.1f} MB, {info['digest'][:12]})"),
        ("network", f"{info['architecture']}({arguments})"),
        ("bands", f"{', '.join(info['bands'])} ({info['dtype']})"),
        ("GSD", "any" if info["gsd"] is None else f"{info['gsd']} m"),
        ("classes", ", ".join(f"{c['id']} {c['name']}" for c in info["legend"])),
        ("patches", patches),
        ("licence", info["licence"]),
    ]
    rows += [(f"score: {name}", str(value)) for name, value in info["metrics"].items()]
    rows += [(f"training: {name}", str(value)) for name, value in info["training"].items()]
    return rows
