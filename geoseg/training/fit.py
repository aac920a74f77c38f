"""The training loop: Lightning runs the steps, one callback keeps the books."""

from __future__ import annotations

import logging
import math
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch

from geoseg.errors import ConfigError, StoppedError
from geoseg.training.books import Books, TrainProgress, append_line
from geoseg.training.checkpoint import Checkpoint, save_checkpoint
from geoseg.training.lightning_extra import lightning
from geoseg.training.lightning_module import SegmentationModule, TrainBatch
from geoseg.training.sampling import PatchSampler
from geoseg.training.schedule import share_done
from geoseg.training.settings import FitConfig


def fit(module: SegmentationModule, sampler: PatchSampler, *, config: FitConfig, books: Books) -> None:
    """Trains until the steps or the time are up; ends with a checkpoint.

    Raises:
        ConfigError: if the loss stops being a number; the last checkpoint before that is kept.
        StoppedError: on SIGINT or SIGTERM, after a checkpoint.
    """
    keeper = _Keeper(config, books)
    with warnings.catch_warnings(), _quiet("lightning.pytorch", "lightning.fabric"):
        # Lightning advises on loggers, workers and cores that this run has chosen on purpose.
        warnings.filterwarnings("ignore", module="lightning")
        trainer = lightning.Trainer(
            accelerator=config.accelerator,
            devices=1,
            precision=config.precision,  # type: ignore[arg-type]
            max_epochs=1,
            max_steps=config.steps - module.done,
            gradient_clip_val=config.clip_norm,
            callbacks=[keeper],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=books.checkpoint.parent,
        )
        module.train()
        keeper.take_signals()
        try:
            trainer.fit(module, train_dataloaders=_Loader(sampler, config=config, start=module.done))
        finally:
            keeper.restore_signals()
    if keeper.signum is not None:
        raise StoppedError(
            f"training was stopped at step {module.done} of {config.steps}; the same command goes on from there",
            signum=keeper.signum,
        )


class _Loader:
    """The batches from one step to the last, as tensors."""

    def __init__(self, sampler: PatchSampler, *, config: FitConfig, start: int) -> None:
        self._sampler = sampler
        self._config = config
        self._start = start

    def __len__(self) -> int:
        return self._config.steps - self._start

    def __iter__(self) -> Iterator[TrainBatch]:
        batches = self._sampler.batches(start=self._start, stop=self._config.steps, loaders=self._config.loaders)
        for batch in batches:
            border = None if batch.border is None else torch.from_numpy(batch.border)
            yield torch.from_numpy(batch.pixels), torch.from_numpy(batch.labels), border


class _Keeper(lightning.Callback):
    """Averages, checks, logs, validates, saves and stops."""

    def __init__(self, config: FitConfig, books: Books) -> None:
        self.signum: int | None = None
        self._config = config
        self._books = books
        self._limit = None if config.time_limit_minutes is None else 60 * config.time_limit_minutes
        self._losses: list[float] = []
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Takes the signals back from Lightning, which has just put its own handlers there."""
        del trainer, pl_module
        self.take_signals()

    def take_signals(self) -> None:
        """From now on SIGINT and SIGTERM end the run after the step it is in; only the main thread may do this."""
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._handlers.setdefault(signum, signal.getsignal(signum))
                signal.signal(signum, self._stop)

    def restore_signals(self) -> None:
        """Gives the signals back."""
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        self._handlers.clear()

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Refuses to step on a loss that is no number, which would spoil the weights."""
        del trainer, optimizer
        module = _module(pl_module)
        loss = float(module.last_loss)
        if not math.isfinite(loss):
            kept = self._books.checkpoint
            where = f"the last checkpoint, {kept}, is whole" if kept.exists() else "there is no checkpoint yet"
            raise ConfigError(
                f"the loss became {loss} at step {module.done + 1} (learning rate {module.last_rate:.3g}); {where}:"
                " lower training.learning_rate or use training.precision = '32-true'"
            )
        self._losses.append(loss)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keeps the books after a step."""
        del outputs, batch, batch_idx
        module = _module(pl_module)
        module.count_step()
        config, step = self._config, module.done
        share = share_done(step=step, steps=config.steps, seconds=self._books.clock.seconds(), limit=self._limit)
        validated = share >= 1 or bool(config.validate_every and step % config.validate_every == 0)
        if step % config.log_every == 0 or validated:
            self._report(module, share=share, validated=validated)
        last = share >= 1 or self.signum is not None  # a signal may have come while others were told
        if step % config.checkpoint_every == 0 or last:
            self._save(trainer, module)
        if last:
            trainer.should_stop = True

    def _report(self, module: SegmentationModule, *, share: float, validated: bool) -> None:
        report = TrainProgress(
            step=module.done,
            steps=self._config.steps,
            share=min(share, 1.0),
            seconds=self._books.clock.seconds(),
            loss=sum(self._losses) / max(1, len(self._losses)),
            learning_rate=module.last_rate,
            scores=self._books.validate(module.average) if validated else None,
        )
        self._losses.clear()
        append_line(self._books.log, report)
        if self._books.progress is not None:
            self._books.progress(report)

    def _save(self, trainer: lightning.Trainer, module: SegmentationModule) -> None:
        save_checkpoint(
            self._books.checkpoint,
            Checkpoint(
                config=self._books.config,
                step=module.done,
                seconds=self._books.clock.seconds(),
                network=module.network.state_dict(),
                average=module.average.state_dict(),
                optimiser=trainer.optimizers[0].state_dict(),
                normalisation=self._books.normalisation,
                scores=module.scores.to_json(),
                adversary=None if module.adversary is None else module.adversary.state(),
            ),
        )

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        del frame
        self.signum = signum


def _module(module: lightning.LightningModule) -> SegmentationModule:
    assert isinstance(module, SegmentationModule)
    return module


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Loggers at ERROR for a while: Lightning announces its hardware and a tip at INFO."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
