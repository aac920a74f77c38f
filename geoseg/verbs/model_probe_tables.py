"""What ``geoseg model probe`` prints: a probe's result as tables for people."""

from __future__ import annotations

from geoseg.models.probing.result import ProbeResult
from geoseg.verbs.model_probe import Probed


def probe_rows(probed: Probed) -> list[tuple[str, str]]:
    """What was probed, as a table of two columns."""
    result = probed.result
    reach = f"more than {result.reach_tried} px" if result.reach is None else f"{result.reach} px"
    exact = f", exact with a halo of {result.exact_halo} px" if result.exact_halo is not None else ""
    kept = "not kept: the cache folder cannot be written" if probed.path is None else str(probed.path)
    return [
        ("model", f"{result.model} ({result.model_digest[:12]})"),
        ("measured on", f"{result.machine}; {result.runtime} on {result.device}"),
        ("free share", f"{result.share:.0%} of the machine while speeds were measured"),
        ("scenes", ", ".join(result.scenes)),
        ("theoretical reach", f"{reach}{exact}"),
        ("kept", kept if probed.measured else f"{kept} (measured earlier; --force measures again)"),
    ]


def field_rows(result: ProbeResult) -> list[tuple[str, ...]]:
    """The effective receptive field, header first."""
    if not result.fields:
        return []
    distances = sorted({d for field in result.fields for d, _, _ in field.replaced})
    shares = list(result.fields[0].gradient)
    header = ("patch px", *(f"{float(s):.0%} of gradient" for s in shares), *(f"changed > {d} px" for d in distances))
    table: list[tuple[str, ...]] = [header]
    for field in result.fields:
        changed = {d: f"{share:.2%}" for d, share, _ in field.replaced}
        within = (f"{field.gradient[s]:.0f} px" for s in shares)
        table.append((str(field.size), *within, *(changed.get(d, "-") for d in distances)))
    return table


def seam_rows(probed: Probed) -> list[tuple[str, ...]]:
    """Disagreement with full-frame inference by halo and patch, header first; and the halo within the tolerance."""
    result = probed.result
    if not result.seams:
        return []
    step = -(-32 // result.multiple) * result.multiple
    halos = [n * step for n in (0, 1, 2, 3, 4, 6)]
    header = ("patch px", *(f"halo {h}" for h in halos), f"halo for {result.tolerance:.2%}")
    table: list[tuple[str, ...]] = [header]
    for size, chosen in probed.halos().items():
        figures = [
            "-" if 2 * h >= size or (d := result.disagreement((size, size), h)) is None else f"{d:.2%}" for h in halos
        ]
        table.append((str(size), *figures, "none" if chosen is None else str(chosen)))
    return table


def speed_rows(result: ProbeResult) -> list[tuple[str, ...]]:
    """Throughput and memory by patch size and batch, header first."""
    table: list[tuple[str, ...]] = [("patch px", "batch", "Mpx/s", "ms", "bytes / px")]
    for speed in result.speeds:
        figures = (f"{1e-6 / speed.seconds_per_pixel:.3f}", f"{1e3 * speed.seconds:.0f}")
        took = "-" if speed.bytes is None else f"{speed.bytes / speed.pixels:.0f}"
        table.append((str(speed.size), str(speed.batch), *figures, took))
    return table
