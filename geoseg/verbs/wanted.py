"""What a call of ``predict`` asks for, and the plan that it comes to where an earlier run was stopped."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from geoseg.errors import OutputError
from geoseg.inference.plan import Plan
from geoseg.inference.resume import continued_plan, find_unfinished, finished_plan
from geoseg.verbs.guarding import is_begun, is_finished, left_record, refuse_busy, refuse_outputs
from geoseg.verbs.options import RunOptions
from geoseg.verbs.outputs import Outputs, choose_outputs
from geoseg.verbs.sources import SceneLike, Sources, locate, sources_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a call asks for."""

    scene: str | list[str]
    """As it was named."""
    sources: Sources
    files: Outputs
    reference: str | None
    options: RunOptions
    begun: bool
    """True if an earlier run of these outputs was stopped."""

    def settle(self, fresh: Plan, *, begun: bool, here: bool) -> Plan:
        """The plan to go by: that of an unfinished run where there is one; refuses what may not be replaced.

        Args:
            fresh: what would be planned now.
            begun: an earlier run of these outputs was stopped.
            here: tiles run in this process.

        Raises:
            PlanError: see ``continued_plan``.
            OutputError: see ``refuse_outputs``.
        """
        options, files = self.options, self.files
        left = None if options.restart else find_unfinished(files.part)
        if left is not None:
            plan = continued_plan(fresh, options, left, here=here)
        else:
            plan = (self._finished(fresh) if begun and not options.restart else None) or fresh
        digest = plan.digest if begun else None
        refuse_outputs(files, scene=self.sources.stem, overwrite=options.overwrite, plan_digest=digest)
        return plan

    def is_finished(self, plan: Plan) -> bool:
        """True if an earlier run of this plan was stopped when all its outputs were in place."""
        return self.begun and not self.options.restart and is_finished(self.files, plan_digest=plan.digest)

    def _finished(self, fresh: Plan) -> Plan | None:
        """The plan of a run that was stopped when all its outputs were in place; None if that is not so."""
        record = left_record(self.files)
        plan = None if record is None else finished_plan(fresh, self.options, record)
        return plan if plan is not None and is_finished(self.files, plan_digest=plan.digest) else None


def wanted_of(
    scene: SceneLike,
    *,
    outputs: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    reference: str | os.PathLike[str] | None,
    beside: Mapping[str, str | os.PathLike[str] | None],
    options: RunOptions,
) -> Wanted:
    """Refuses what can be refused by its name, before any file is opened and any worker asked."""
    targets = [outputs] if isinstance(outputs, str | os.PathLike) else list(outputs)
    sources = sources_of(scene, asset=options.asset)
    files = choose_outputs(sources.stem, sources.folder_of(targets), **beside)
    files = replace(files, zarr_format=options.zarr_format)
    sources.refuse_as_outputs(files.paths)
    truth = None if reference is None else locate(reference, what="the reference")
    if files.zarr is None and (options.confidence or options.probabilities):
        raise OutputError("confidence and probabilities are layers of the Zarr store: add an output that ends in .zarr")
    refuse_busy(files)
    begun = is_begun(files)
    if not begun:
        refuse_outputs(files, scene=sources.stem, overwrite=options.overwrite)
    named = os.fspath(scene) if isinstance(scene, str | os.PathLike) else [os.fspath(part) for part in scene]
    return Wanted(scene=named, sources=sources, files=files, reference=truth, options=options, begun=begun)
