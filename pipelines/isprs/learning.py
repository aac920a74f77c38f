"""The steps of ``potsdam.py`` up to the calibrated model: check, labels, train, calibrate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geoseg
from geoseg.cli.report import say
from geoseg.errors import ConfigError, SceneError
from geoseg.legend import Legend
from geoseg.models.device import pick_device
from geoseg.raster.scene import SceneInfo, inspect_scene
from geoseg.training.checkpoint import NAME as CHECKPOINT
from geoseg.training.checkpoint import load_checkpoint
from geoseg.training.toml_text import to_toml
from isprs.benchmarks import LEGEND, Found, Scene, find_scenes
from isprs.colors import Tally, convert_label, keep_classes
from isprs.config import Settings, decisive, training_config
from isprs.ledger import Ledger, Step, read_json, stamp, write_json, write_text
from isprs.scores import REFERENCES

if TYPE_CHECKING:
    from geoseg.contexts.calibration import CalibratedContext
    from geoseg.training.books import TrainProgress

Labels = Mapping[tuple[str, str], Step]
"""The converted labels by scene id and reference."""


class Learning:
    """What a run of the pipeline knows, and the steps that make its model; what is done is skipped."""

    def __init__(self, settings: Settings, *, quiet: bool) -> None:
        self._s = settings
        self._quiet = quiet
        self._ledger = Ledger(settings.out / "records", log=self._say)
        self._infos: dict[str, SceneInfo] = {}
        self._summary: dict[str, Any] = {"benchmark": settings.benchmark.name, "folder": str(settings.folder)}
        self._notes: list[str] = []
        self._legend = LEGEND
        self._held_out_reference = "full"
        self._bands = tuple(range(1, len(settings.benchmark.bands) + 1))

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
        self._summary["labels"] = {f"{scene} {reference}": step.result for (scene, reference), step in done.items()}
        learnt = Tally.total(Tally.from_json(done[scene.id, "full"].result) for scene in found.train)
        self._legend = Legend(tuple(c for c, pixels in zip(LEGEND, learnt.classes, strict=True) if pixels))
        absent = [name for name in LEGEND.names if name not in self._legend.names]
        if absent:
            self._note(
                f"no pixel of {', '.join(absent)} in the {len(found.train)} training scenes: not in the model's legend,"
                " so never in a map; held-out pixels of it count for nothing, those of test scenes as mistakes"
            )
            self._held_out_reference = "learnt"
            done |= {(s.id, "learnt"): self._drop_absent(s, done[s.id, "full"]) for s in found.held_out}
        return done

    def _drop_absent(self, scene: Scene, full: Step) -> Step:
        """A held-out label without the classes that the model cannot know: geoseg refuses labels outside a legend."""
        source, target = (self._s.label_path(scene, reference) for reference in ("full", "learnt"))
        grid, legend = self._infos[scene.id].native, self._legend
        step = self._ledger.do(
            f"labels-{scene.id}-learnt",
            inputs={"label": full.key, "classes": legend.ids},
            products=[target],
            work=lambda _: keep_classes(source, target, legend=legend, grid=grid),
            title=f"labels  {target.name}",
        )
        if not step.result:
            raise SceneError(
                f"held-out scene {scene.id} has no pixel of {', '.join(legend.names)}, all that the training scenes"
                " have: hold out others with --held-out"
            )
        return step

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
        config = training_config(
            s,
            found,
            legend=self._legend,
            held_out_reference=self._held_out_reference,
            earlier_budget=None if s.restart else self._earlier_budget(),
        )
        learnt = [(scene.id, "full") for scene in found.train]
        learnt += [(scene.id, self._held_out_reference) for scene in found.held_out]
        data = {
            "start": None if s.start is None else stamp(s.start),
            "scenes": [[self._infos[key[0]].stamp, labels[key].key] for key in learnt],
        }

        def work(_: bool) -> dict[str, Any]:
            toml = s.out / "training.toml"
            write_text(toml, f"# Written by pipelines/potsdam.py.\n\n{to_toml(config)}")
            self._refuse_other_data(data)
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
            inputs={"config": decisive(config), "data": data},
            products=[s.trained],
            work=work,
            title=f"train  {s.network} on {len(found.train)} scenes",
        )
        self._summary["training"] = step.result

    def _earlier_budget(self) -> int | None:
        """Pixels per step of the training that is done or begun in this folder."""
        done = self._ledger.inputs("train")
        path = self._s.out / "training" / CHECKPOINT
        if done is None and path.exists():
            done = {"config": load_checkpoint(path).config}
        found = None if done is None else done["config"]["training"].get("pixel_budget")
        return None if found is None else int(found)

    def _refuse_other_data(self, data: dict[str, Any]) -> None:
        """Refuses to go on from a checkpoint of other pixels or labels; the configuration only names their files."""
        marker = self._s.out / "training" / "data.json"
        checkpoint = marker.with_name(CHECKPOINT)
        if self._s.restart:
            checkpoint.unlink(missing_ok=True)  # before the marker says otherwise
        if read_json(marker) not in (None, data) and checkpoint.exists():
            raise ConfigError(
                f"training scenes, labels or start weights are not those that {marker.parent} was begun with;"
                " put them back, choose another --out, or start over with --restart"
            )
        write_json(marker, data)

    def _begin_training(self, done: int, steps: int) -> None:
        self._say(f"continuing after step {done} of {steps}" if done else f"training, {steps} steps")

    def _show_training(self, progress: TrainProgress) -> None:
        scored = "".join(f"  {name} mIoU {score.miou:.4f}" for name, score in (progress.scores or {}).items())
        self._say(f"step {progress.step}/{progress.steps} ({progress.share:.0%})  loss {progress.loss:.4f}{scored}")

    def _calibrate(self, found: Found, labels: Labels) -> None:
        """Measures every context on the held-out scenes."""
        s = self._s
        pairs = [(scene.image, s.label_path(scene, self._held_out_reference)) for scene in found.held_out]

        def work(_: bool) -> dict[str, Any]:
            made = geoseg.calibrate(
                s.trained, scenes=pairs, output=s.calibrated, on_row=self._show_row, device=s.device, bidx=self._bands
            )
            assert made.calibration is not None
            return {**made.calibration.to_json(), "notes": list(made.notes)}

        step = self._ledger.do(
            "calibrate",
            inputs={
                "model": geoseg.open_bundle(s.trained).digest,
                "scenes": [
                    [self._infos[x.id].stamp, labels[x.id, self._held_out_reference].key] for x in found.held_out
                ],
            },
            products=[s.calibrated],
            work=work,
            title=f"calibrate  on {', '.join(scene.id for scene in found.held_out)}",
        )
        self._summary["calibration"] = step.result

    def _show_row(self, row: CalibratedContext) -> None:
        self._say(f"{row.size} px  mIoU {row.miou:.4f}  {row.seconds_per_megapixel:.3f} s / Mpx")
