"""The steps of ``potsdam.py``, each done once and recorded; see there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import geoseg
from geoseg.cli.report import tile_progress
from isprs.benchmarks import CLUTTER, LEGEND, Found, Scene
from isprs.colors import write_class_map
from isprs.learning import Labels, Learning
from isprs.ledger import Step, write_json
from isprs.scores import ERODED_BY, REFERENCES, Metrics, scores, table, total

STEPS = ("check", "labels", "train", "calibrate", "predict", "export", "evaluate")


class Pipeline(Learning):
    """One run of the pipeline: every step in order, what is done skipped."""

    def run(self) -> list[list[str]]:
        """Does what is missing up to the wanted step, writes the summary, and gives the table of scores."""
        found = self._check()
        if self._s.restart:
            self._ledger.clear()
        rows = self._go(found, last=STEPS.index(self._s.until))
        write_json(self._s.out / "summary.json", {**self._summary, "notes": self._notes})
        return rows

    def _go(self, found: Found, *, last: int) -> list[list[str]]:
        if last < STEPS.index("labels"):
            return []
        labels = self._labels(found)
        if last < STEPS.index("train"):
            return []
        self._train(found, labels)
        if last < STEPS.index("calibrate"):
            return []
        self._calibrate(found, labels)
        if last < STEPS.index("predict"):
            return []
        maps = {scene.id: self._predict(scene, f"{i}/{len(found.test)}") for i, scene in enumerate(found.test, start=1)}
        if last < STEPS.index("export"):
            return []
        self._summary["predictions"] = {scene: step.result for scene, step in maps.items()}
        exports = {scene.id: self._export(scene, maps[scene.id]) for scene in found.test}
        return [] if last < STEPS.index("evaluate") else self._evaluate(found, labels, exports)

    def _predict(self, scene: Scene, count: str) -> Step:
        """The classes of a test scene as a COG and a Zarr store."""
        s = self._s
        options: dict[str, Any] = {"bidx": self._bands, "contexts": s.contexts}

        def work(other: bool) -> dict[str, Any]:
            with tile_progress(quiet=self._quiet) as show:
                made = geoseg.predict(
                    scene.image,
                    outputs=s.map_paths(scene),
                    model=s.calibrated,
                    device=s.device,
                    overwrite=True,
                    restart=other or s.restart,
                    on_progress=show,
                    **options,
                )
            plan = made.plan.to_json()
            return {"contexts": plan["contexts"], "seconds": made.seconds, "notes": list(made.notes)}

        return self._ledger.do(
            f"predict-{scene.id}",
            inputs={
                "model": geoseg.open_bundle(s.calibrated).digest,
                "image": self._infos[scene.id].stamp,
                "options": options,
            },
            products=s.map_paths(scene),
            work=work,
            title=f"predict  {scene.id} ({count})",
        )

    def _export(self, scene: Scene, predicted: Step) -> Step:
        """A class map in the benchmark's colours on the scene's own grid."""
        target = self._s.submission_path(scene)

        def work(_: bool) -> None:
            write_class_map(self._s.map_paths(scene)[0], target, grid=self._infos[scene.id].native)

        return self._ledger.do(
            f"export-{scene.id}",
            inputs={"map": predicted.key},
            products=[target],
            work=work,
            title=f"export  {target.name}",
        )

    def _evaluate(self, found: Found, labels: Labels, exports: Mapping[str, Step]) -> list[list[str]]:
        """Scores of what would be submitted, scene by scene and together."""
        scored: dict[str, dict[str, Metrics]] = {name: {} for name in REFERENCES}
        for reference in REFERENCES:
            absent = [scene.id for scene in found.test if self._source(scene, reference, labels) is None]
            if absent:
                self._note(f"not scored against the {reference} reference, which is not here: {', '.join(absent)}")
            for scene in found.test:
                source = self._source(scene, reference, labels)
                if source is not None:
                    step = self._score(scene, reference, exports[scene.id], labels, source=source)
                    scored[reference][scene.id] = scores(step.result, without=CLUTTER)
        own = [s.id for s in found.test if self._source(s, "eroded", labels) == "full"]
        if own:
            self._note(
                f"no eroded reference here of {', '.join(own)}: pixels within {ERODED_BY} of a boundary of the full one"
                " are not scored"
            )
        totals = {
            name: total(list(parts.values()), legend=LEGEND, without=CLUTTER) for name, parts in scored.items() if parts
        }
        self._summary["class_maps"] = {scene.id: str(self._s.submission_path(scene)) for scene in found.test}
        self._summary["scores"] = {name: {"all": totals[name], "scenes": scored[name]} for name in totals}
        return table(scored, totals, legend=LEGEND) if totals else []

    @staticmethod
    def _source(scene: Scene, reference: str, labels: Labels) -> str | None:
        """What a scene is scored with: that reference, or the full one where the eroded one is not here."""
        return next((name for name in (reference, "full") if (scene.id, name) in labels), None)

    def _score(self, scene: Scene, reference: str, exported: Step, labels: Labels, *, source: str) -> Step:
        erode = ERODED_BY if source != reference else 0

        def work(_: bool) -> Metrics:
            mapped, truth = self._s.submission_path(scene), self._s.label_path(scene, source)
            return geoseg.evaluate(mapped, truth, legend=LEGEND, erode_boundary=erode, write=False).metrics

        return self._ledger.do(
            f"evaluate-{scene.id}-{reference}",
            inputs={"map": exported.key, "label": labels[scene.id, source].key, **({"erode": erode} if erode else {})},
            work=work,
            title=f"evaluate  {scene.id}, {reference}",
        )
