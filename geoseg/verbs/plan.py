"""``geoseg plan``: what a run would do and cost, before it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geoseg.geometry.windows import sized
from geoseg.inference.executors import open_session
from geoseg.inference.plan import Plan
from geoseg.legend import Legend
from geoseg.verbs.options import RunOptions
from geoseg.verbs.prepare import prepare
from geoseg.verbs.sources import SceneLike

if TYPE_CHECKING:
    from geoseg.verbs.prepare import ModelLike


def plan(
    scene: SceneLike,
    *,
    model: ModelLike = None,
    multiple: int | None = None,
    legend: Legend | None = None,
    **options: Any,
) -> Plan:
    """The plan of a scene; nothing is computed or written.

    Args:
        scene: path or URL, or a list of them that is one scene.
        model: a bundle or its path, None for the one that ships with geoseg, or a ``torch.nn.Module``.
        multiple: of a module: what its patches' sides must be multiples of; None: an smp model's output stride, else 1.
        legend: of a module: what its channels mean; None numbers them.
        **options: fields of :class:`geoseg.verbs.options.RunOptions`.

    Raises:
        GeosegError: if scene, model or options do not go together.
    """
    asked = RunOptions(**options)
    with open_session(asked.cluster, device=asked.device) as session:
        ready = prepare(scene, model=model, multiple=multiple, legend=legend, options=asked, session=session)
    ready.model.release()
    return ready.plan


def plan_rows(plan: Plan) -> list[tuple[str, str]]:
    """The plan as a table of two columns."""
    data = plan.to_json()
    size = sized(plan.geobox.shape)
    rows = [
        ("scene", f"{size} px, {plan.recipe.bands} bands {plan.dtype}, valid from {plan.valid_from}"),
        *_area_rows(plan, data["area_pixels"]),
        ("model", f"{plan.model} ({plan.model_digest[:12]}), {len(plan.legend)} classes"),
        *_context_rows(plan),
        ("overlap", _overlap(plan, data)),
        ("tiles", f"{data['tiles']:,} of {sized(data['tile'])} px, {plan.slots} in work at once"),
        ("patches", f"{data['patches']:,} in batches of {_batches(plan)}"),
        ("computed / scene", f"{'at most ' if plan.adaptive else ''}{data['computed_ratio']:.3f}"),
        ("runs on", f"{plan.device}, {plan.runtime} in {plan.precision}, {plan.threads} threads"),
        ("runtime", plan.runtime_chosen),
        ("memory", f"about {plan.cost.memory_bytes / 1e9:.1f} GB"),
        ("disk", f"at most {plan.cost.disk_bytes / 1e9:.2f} GB before compression"),
        ("time", "unknown" if plan.cost.seconds is None else f"about {plan.cost.seconds:.0f} s, {plan.timing}"),
        *_alternative_rows(plan),
        ("digest", plan.digest[:16]),
    ]
    return rows + [("note", note) for note in plan.notes]


def _area_rows(plan: Plan, pixels: int) -> list[tuple[str, str]]:
    """How much of the scene counts."""
    if plan.aoi is None:
        return []
    height, width = plan.geobox.shape
    share = f"{pixels / (height * width):.1%} of the scene"
    return [("area", f"{pixels:,} px, {share}, in {plan.tile_count:,} of {plan.grid.count:,} tiles")]


def _context_rows(plan: Plan) -> list[tuple[str, str]]:
    """What was chosen, and why."""
    fitted = [f"{c.size} px, fitted to patches of {sized(c.patch_size)} px" for c in plan.contexts]
    if len(fitted) > 1 and plan.adaptive is None:
        fitted = [f"{text}, weight {c.weight:.3f}" for text, c in zip(fitted, plan.contexts, strict=True)]
    rows = [("context", fitted[0])]
    if plan.adaptive is not None:
        doubt = f"where the confidence is below {plan.adaptive.confident:.0%}"
        rows += [("and again", f"{text}, {doubt}") for text in fitted[1:]]
        rows.append(("budget", f"at most {plan.adaptive.budget:g} x the cost of one pass"))
    else:
        rows += [("fused with", text) for text in fitted[1:]]
    return [*rows, ("chosen", plan.chosen)]


def _alternative_rows(plan: Plan) -> list[tuple[str, str]]:
    """The best ways of running it, the chosen one first."""
    rows = []
    for k, way in enumerate(plan.alternatives):
        took = "" if way.seconds is None else f"{way.seconds:.0f} s: "
        shape = f"patches {sized(way.patch_size)}, halo {way.halo}, batch {way.batch_size}, tile {sized(way.tile)} px"
        rows.append(("best" if k == 0 else f"{k + 1}. best", f"{took}{shape}; {way.why}"))
    return rows


def _overlap(plan: Plan, data: dict[str, Any]) -> str:
    if plan.lattice.count == 1:
        return "none: the whole scene is one patch"
    return f"{sized(data['overlap'])} px, stride {sized(data['stride'])} px, stitch {plan.stitch}"


def _batches(plan: Plan) -> str:
    return ", ".join(str(c.batch_size) for c in plan.contexts)
