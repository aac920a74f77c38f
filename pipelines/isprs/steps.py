"""The steps of ``potsdam.py``, each done once and recorded; see there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geoseg
from geoseg.cli.report import say, tile_progress
from geoseg.errors import ConfigError, SceneError
from geoseg.models.device import pick_device
from geoseg.raster.scene import SceneInfo, inspect_scene
from isprs.benchmarks import CLUTTER, LEGEND, Found, Scene, find_scenes
from isprs.colors import Tally, convert_label, write_class_map
from isprs.config import Settings, decisive, to_toml, training_config
from isprs.ledger import Ledger, Step, stamp, write_json, write_text
from isprs.scores import REFERENCES, Metrics, scores, table, total

if TYPE_CHECKING:
    from geoseg.contexts.calibration import CalibratedContext
    from geoseg.training.books import TrainProgress

STEPS = ("check", "labels", "train", "calibrate", "predict", "export", "evaluate")

Labels = Mapping[tuple[str, str], Step]
"""The converted labels by scene id and reference."""


class Pipeline:
    """One run of the pipeline: every step in order, what is done skipped."""

    def __init__(self, settings: Settings, *, quiet: bool) -> None:
        self._s = settings
        self._quiet = quiet
        self._ledger = Ledger(settings.out / "records", log=self._say)
        self._infos: dict[str, SceneInfo] = {}
        self._summary: dict[str, Any] = {"benchmark": settings.benchmark.name, "folder": str(settings.folder)}
        self._notes: list[str] = []
        self._bands = tuple(range(1, len(settings.benchmark.bands) + 1))

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

    def _say(self, line: str) -> None:
        say(line, quiet=self._quiet)

    def _note(self, line: str) -> None:
        self._notes.append(line)
        self._say(f"note  {line}")

    def _check(self) -> Found:
        """What is in the folder; what cannot be used is found here, before anything is written."""
        s, b = self._s, self._s.benchmark
        pick_device(s.device)
        found = find_scenes(s.folder, b, held_out=s.held_out, skip=s.out)
        for scene in (*found.train, *found.held_out, *found.test):
            info = inspect_scene(scene.image, bands=len(b.bands), gsd=s.gsd or b.gsd)
            if s.gsd is not None and info.gsd is None:
                raise SceneError(f"{scene.image} has no CRS, so --gsd {s.gsd:g} means nothing there: leave it out")
            self._infos[scene.id] = info
        groups = {"train": found.train, "held_out": found.held_out, "test": found.test}
        counts = ", ".join(f"{len(group)} {name.replace('_', ' ')}" for name, group in groups.items())
        self._say(f"found  {counts} scenes of {b.name} in {s.folder}")
        if found.absent:
            self._say(f"absent  {len(found.absent)} of {len(b.train) + len(b.test)} scenes: {', '.join(found.absent)}")
        if found.missing:
            more = f" and {len(found.missing) - 6} more (see summary.json)" if len(found.missing) > 6 else ""
            self._say(f"missing  {', '.join(found.missing[:6])}{more}")
        if not found.test:
            self._note("no image of a test scene is here: a model is trained and calibrated, nothing is predicted")
        self._summary["scenes"] = {name: [scene.id for scene in group] for name, group in groups.items()}
        self._summary |= {"missing": list(found.missing), "absent": list(found.absent)}
        return found

    def _labels(self, found: Found) -> Labels:
        """Every label as class ids on its image's grid."""
        done = {}
        for scene in (*found.train, *found.held_out, *found.test):
            for reference, path in zip(REFERENCES, (scene.label, scene.eroded), strict=True):
                if path is not None:
                    done[scene.id, reference] = self._convert(scene, reference, path)
        learnt = Tally.total(Tally.from_json(done[scene.id, "full"].result) for scene in found.train)
        absent = [name for name, pixels in zip(LEGEND.names, learnt.classes, strict=True) if not pixels]
        if absent:
            self._note(f"no pixel of {', '.join(absent)} in the {len(found.train)} training scenes: never learnt")
        self._summary["labels"] = {f"{scene} {reference}": step.result for (scene, reference), step in done.items()}
        return done

    def _convert(self, scene: Scene, reference: str, path: Path) -> Step:
        target, grid = self._s.label_path(scene, reference), self._infos[scene.id].native

        def work(_: bool) -> dict[str, Any]:
            tally, shift = convert_label(path, target, grid=grid, tolerance=self._s.tolerance)
            return {**tally.to_json(), "shift_pixels": round(shift, 3)}

        step = self._ledger.do(
            f"labels-{scene.id}-{reference}",
            inputs={"label": stamp(path), "image": self._infos[scene.id].stamp, "tolerance": self._s.tolerance},
            products=[target],
            work=work,
            title=f"labels  {path.name}",
        )
        if step.result["snapped"]:
            count, most = step.result["snapped"], step.result["farthest"]
            self._note(f"{path.name}: {count:,} pixels of impure colours (off by up to {most}) take the nearest class")
        if step.result["unknown"]:
            self._note(f"{path.name}: {step.result['unknown']:,} pixels have no class's colour and are left out")
        if step.result["shift_pixels"] > 0.01:
            self._note(
                f"{path.name} lies {step.result['shift_pixels']:.2f} px off its image and is taken as if it did not"
            )
        return step

    def _train(self, found: Found, labels: Labels) -> None:
        """Trains, or goes on from the last checkpoint."""
        s = self._s
        config = training_config(s, found)
        scenes = (*found.train, *found.held_out)

        def work(_: bool) -> dict[str, Any]:
            toml = s.out / "training.toml"
            write_text(toml, f"# Written by pipelines/potsdam.py.\n\n{to_toml(config)}")
            try:
                made = geoseg.train(
                    toml, restart=s.restart, progress=self._show_training, on_start=self._begin_training
                )
            except ConfigError as error:  # in the words of this command
                raise ConfigError(str(error).replace("output.work", "--out")) from error
            return {
                "steps": made.steps,
                "seconds": made.seconds,
                "validation_miou": {name: score.miou for name, score in made.scores.items()},
                "notes": list(made.notes),
            }

        step = self._ledger.do(
            "train",
            inputs={
                "config": decisive(config),
                "pixel_budget": s.pixel_budget,
                "start": None if s.start is None else stamp(s.start),
                "images": [self._infos[scene.id].stamp for scene in scenes],
                "labels": [labels[scene.id, "full"].key for scene in scenes],
            },
            products=[s.trained],
            work=work,
            title=f"train  {s.network} on {len(found.train)} scenes",
        )
        self._summary["training"] = step.result

    def _begin_training(self, done: int, steps: int) -> None:
        self._say(f"continuing after step {done} of {steps}" if done else f"training, {steps} steps")

    def _show_training(self, progress: TrainProgress) -> None:
        scored = "".join(f"  {name} mIoU {score.miou:.4f}" for name, score in (progress.scores or {}).items())
        self._say(f"step {progress.step}/{progress.steps} ({progress.share:.0%})  loss {progress.loss:.4f}{scored}")

    def _calibrate(self, found: Found, labels: Labels) -> None:
        """Measures every context on the held-out scenes."""
        s = self._s
        pairs = [(scene.image, s.label_path(scene, "full")) for scene in found.held_out]

        def work(_: bool) -> dict[str, Any]:
            made = geoseg.calibrate(
                s.trained, scenes=pairs, output=s.calibrated, on_row=self._show_row, device=s.device, bidx=self._bands
            )
            return {**made.calibration.to_json(), "notes": list(made.notes)}

        step = self._ledger.do(
            "calibrate",
            inputs={
                "model": geoseg.open_bundle(s.trained).digest,
                "scenes": [[self._infos[x.id].stamp, labels[x.id, "full"].key] for x in found.held_out],
            },
            products=[s.calibrated],
            work=work,
            title=f"calibrate  on {', '.join(scene.id for scene in found.held_out)}",
        )
        self._summary["calibration"] = step.result

    def _show_row(self, row: CalibratedContext) -> None:
        self._say(f"{row.size} px  mIoU {row.miou:.4f}  {row.seconds_per_megapixel:.3f} s / Mpx")

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
            absent = [scene.id for scene in found.test if (scene.id, reference) not in labels]
            if absent:
                self._note(f"not scored against the {reference} reference, which is not here: {', '.join(absent)}")
            for scene in found.test:
                if scene.id not in absent:
                    step = self._score(scene, reference, exports[scene.id], labels[scene.id, reference])
                    scored[reference][scene.id] = scores(step.result, without=CLUTTER)
        totals = {
            name: total(list(parts.values()), legend=LEGEND, without=CLUTTER) for name, parts in scored.items() if parts
        }
        self._summary["class_maps"] = {scene.id: str(self._s.submission_path(scene)) for scene in found.test}
        self._summary["scores"] = {name: {"all": totals[name], "scenes": scored[name]} for name in totals}
        return table(scored, totals, legend=LEGEND) if totals else []

    def _score(self, scene: Scene, reference: str, exported: Step, label: Step) -> Step:
        def work(_: bool) -> Metrics:
            mapped, truth = self._s.submission_path(scene), self._s.label_path(scene, reference)
            return geoseg.evaluate(mapped, truth, legend=LEGEND, write=False).metrics

        return self._ledger.do(
            f"evaluate-{scene.id}-{reference}",
            inputs={"map": exported.key, "label": label.key},
            work=work,
            title=f"evaluate  {scene.id}, {reference}",
        )
