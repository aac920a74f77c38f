"""``geoseg train``: from labelled scenes to a bundle."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from geoseg.contexts.candidates import SizeRule
from geoseg.contexts.distributions import Distribution
from geoseg.contexts.scores import ScoreTable
from geoseg.models.bundle import Bundle, save_bundle
from geoseg.models.card import Normalisation
from geoseg.models.networks import build, size_rule
from geoseg.models.start import start_from
from geoseg.raster.datasets import raster_environment
from geoseg.training.account import RunFacts, describe
from geoseg.training.adversary import make_adversary
from geoseg.training.books import Books, Clock, TrainProgress, drop_later_lines
from geoseg.training.border_weights import border_map
from geoseg.training.checkpoint import NAME, Checkpoint, load_checkpoint, refuse_other_config
from geoseg.training.config import load_config, to_json
from geoseg.training.draws import check_sizes, pixel_budget
from geoseg.training.fit import fit
from geoseg.training.lightning_module import SegmentationModule
from geoseg.training.rehearsal import refuse_lone_patches
from geoseg.training.sampling import PatchSampler
from geoseg.training.scenes import check_classes, measure_normalisation
from geoseg.training.schedule import learning_rate, share_done
from geoseg.training.settings import TrainConfig
from geoseg.training.validation import Scores, validate
from geoseg.verbs.train_scenes import one_dtype, open_scenes

Progress = Callable[[TrainProgress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a training run ended with."""

    bundle: Bundle
    """The bundle that was written."""
    steps: int
    """Steps made, all attempts together."""
    seconds: float
    """Wall time of them."""
    scores: dict[str, Scores]
    """Validation scores by scene name; empty without validation scenes."""
    notes: tuple[str, ...]
    """What somebody who looks at the run should know, one line each."""


def train(
    config_path: str | os.PathLike[str],
    *,
    restart: bool = False,
    progress: Progress | None = None,
    on_start: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> TrainResult:
    """Trains a network as a TOML file says and writes a bundle; goes on from the last checkpoint if there is one.

    Args:
        config_path: the configuration, see :mod:`geoseg.training.settings`.
        restart: start over even if there is a checkpoint.
        progress: called every ``training.log_every`` steps.
        on_start: called once, with the steps done by earlier attempts and the steps there are to be.
        on_note: called with each of the result's notes as soon as it is known, which is before the first step.

    Raises:
        ConfigError: if the configuration, or a checkpoint beside it, cannot be used.
        SceneError: if a scene cannot be used.
        SceneReadError: if a raster cannot be read.
        LegendError: if a label raster holds values outside the legend.
        GridError: if labels lie on another grid than their scene.
        OutputError: if a checkpoint or the bundle cannot be written.
        StoppedError: on SIGINT or SIGTERM, after a checkpoint.
    """
    config = load_config(Path(config_path))
    if config.training.threads:
        torch.set_num_threads(config.training.threads)
    torch.manual_seed(config.training.seed)
    network = build(
        config.model.architecture, config.model.arguments, bands=len(config.model.bands), classes=len(config.legend)
    )
    rule = size_rule(network)
    config, contexts = check_sizes(config, rule=rule)
    found = _find_checkpoint(config, restart=restart)
    refuse_lone_patches(network, contexts=contexts, bands=len(config.model.bands), budget=pixel_budget(config.training))
    notes = _Notes(on_note)
    if config.model.start and found is None:
        notes.add(start_from(network, Path(config.model.start)))
    if on_start is not None:
        on_start(0 if found is None else found.step, config.training.steps)
    with raster_environment(cache_mb=128):
        run = _Run(config, network=network, rule=rule, contexts=contexts, found=found, notes=notes, progress=progress)
        return run.finish()


class _Notes:
    """What somebody who looks at the run should know, told as it is found."""

    def __init__(self, tell: Callable[[str], None] | None) -> None:
        self.found: list[str] = []
        self._tell = tell

    def add(self, note: str) -> None:
        self.found.append(note)
        if self._tell is not None:
            self._tell(note)


class _Run:
    """One attempt at a run: its scenes opened, its state restored."""

    def __init__(
        self,
        config: TrainConfig,
        *,
        network: torch.nn.Module,
        rule: SizeRule,
        contexts: Distribution,
        found: Checkpoint | None,
        notes: _Notes,
        progress: Progress | None,
    ) -> None:
        self._config = config
        self._rule = rule
        self._contexts = contexts
        self._notes = notes
        dtypes: dict[str, str] = {}
        self._learn = open_scenes(config, "train", dtypes=dtypes, note=notes.add)
        check_classes(self._learn, config.legend)
        self._hold = open_scenes(config, "validation", dtypes=dtypes, note=notes.add)
        self._dtype = one_dtype(dtypes)
        self._normalisation = self._choose_normalisation(found)
        self._clock = Clock(found.seconds if found else 0.0)
        self._module = SegmentationModule(
            network, config=config.training, rate=self._rate, adversary=make_adversary(config)
        )
        if found:
            self._module.restore(
                step=found.step,
                network=found.network,
                average=found.average,
                optimiser=found.optimiser,
                scores=ScoreTable.from_json(found.scores),
                adversary=found.adversary,
            )
        log = config.work / "log.jsonl"
        drop_later_lines(log, step=self._module.done)
        self._books = Books(
            checkpoint=config.work / NAME,
            log=log,
            config=to_json(config),
            normalisation={"mean": list(self._normalisation.mean), "std": list(self._normalisation.std)},
            clock=self._clock,
            validate=self._validate,
            progress=progress,
        )

    def finish(self) -> TrainResult:
        """Makes the steps that are missing and writes the bundle."""
        settings = self._config.training
        sampler = PatchSampler(
            self._learn,
            normalisation=self._normalisation,
            contexts=self._contexts,
            pixel_budget=pixel_budget(settings),
            augment=self._config.augment,
            balance=settings.balance,
            seed=settings.seed,
            border=border_map(settings.losses, legend=self._config.legend),
        )
        if self._share(self._module.done) < 1:
            fit(self._module, sampler, config=settings, books=self._books)
        seconds = self._clock.seconds()
        scores = self._validate(self._module.average)
        run = RunFacts(
            dtype=self._dtype,
            normalisation=self._normalisation,
            rule=self._rule,
            contexts=self._contexts,
            context_scores=self._module.scores,
            steps=self._module.done,
            seconds=seconds,
            scores=scores,
        )
        card = describe(self._config, self._module.average, run)
        bundle = save_bundle(self._config.bundle, weights=self._module.average.state_dict(), card=card)
        return TrainResult(
            bundle=bundle, steps=self._module.done, seconds=seconds, scores=scores, notes=tuple(self._notes.found)
        )

    def _choose_normalisation(self, found: Checkpoint | None) -> Normalisation:
        model = self._config.model
        if found:
            return Normalisation(mean=tuple(found.normalisation["mean"]), std=tuple(found.normalisation["std"]))
        if model.mean:
            return Normalisation(mean=model.mean, std=model.std)
        return measure_normalisation(self._learn)

    def _share(self, step: int) -> float:
        settings = self._config.training
        limit = None if settings.time_limit_minutes is None else 60 * settings.time_limit_minutes
        return share_done(step=step, steps=settings.steps, seconds=self._clock.seconds(), limit=limit)

    def _rate(self, step: int) -> float:
        settings = self._config.training
        return learning_rate(self._share(step), peak=settings.learning_rate, warm_up=settings.warm_up)

    def _validate(self, network: torch.nn.Module) -> dict[str, Scores]:
        return validate(
            network,
            self._hold,
            normalisation=self._normalisation,
            legend=self._config.legend,
            window=self._config.model.context,
            rule=self._rule,
            precision=self._config.training.precision,
        )


def _find_checkpoint(config: TrainConfig, *, restart: bool) -> Checkpoint | None:
    path = config.work / NAME
    if restart:
        path.unlink(missing_ok=True)  # or a run killed before its first checkpoint would go on from this one
    if not path.exists():
        return None
    found = load_checkpoint(path)
    refuse_other_config(found.config, to_json(config), path=path)
    return found
