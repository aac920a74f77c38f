"""The network, its running average, the loss and the optimiser, as Lightning wants them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from geoseg.contexts.scores import ScoreTable
from geoseg.legend import IGNORE
from geoseg.training.adversary import Adversary
from geoseg.training.draws import new_scores
from geoseg.training.lightning_extra import lightning
from geoseg.training.losses import SegmentationLoss
from geoseg.training.settings import FitConfig

TrainBatch = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
"""Pixels (N, C, P, P) float32, labels (N, P, P) int64, and the border part of U-Net's map (N, P, P) float32."""


class SegmentationModule(lightning.LightningModule):
    """Trains a network and keeps an exponential moving average of it.

    Args:
        network: (N, C, H, W) to logits (N, K, H, W).
        config: the optimisation.
        rate: the learning rate at a step.
        adversary: what the network trains against; None: nothing.
    """

    average: nn.Module

    def __init__(
        self,
        network: nn.Module,
        *,
        config: FitConfig,
        rate: Callable[[int], float],
        adversary: Adversary | None = None,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.loss = SegmentationLoss(config)
        self.adversary = adversary
        self.done = 0
        """Steps done, all attempts together."""
        self.last_loss = torch.tensor(0.0)
        """Loss of the last step."""
        self.scores = new_scores(config)
        """What each context earned so far."""
        self.last_rate = 0.0
        """Learning rate of the last step."""
        self._config = config
        self._rate = rate
        self._optimiser_state: Mapping[str, Any] | None = None
        self._earned = torch.tensor(0.0)
        self._context = 0

    def restore(
        self,
        *,
        step: int,
        network: Mapping[str, torch.Tensor],
        average: Mapping[str, torch.Tensor],
        optimiser: Mapping[str, Any],
        scores: ScoreTable,
        adversary: Mapping[str, Any] | None = None,
    ) -> None:
        """Goes on from a checkpoint's state."""
        self.network.load_state_dict(network)
        self.average.load_state_dict(average)
        self._optimiser_state = optimiser
        self.scores = scores
        if self.adversary is not None and adversary is not None:
            self.adversary.restore(adversary)
        self.done = step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; biases and normalisation layers do not decay."""
        matrices = [p for p in self.network.parameters() if p.ndim > 1]
        vectors = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": self._config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=self._config.learning_rate)
        if self._optimiser_state is not None:
            optimiser.load_state_dict(dict(self._optimiser_state))
        return optimiser

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's signature
        """Sets what depends on the step alone, so that a resumed run needs no other state: rate and random numbers."""
        self.last_rate = self._rate(self.done)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.last_rate
        torch.manual_seed(self._config.seed * 1_000_003 + self.done)

    def training_step(self, batch: TrainBatch, batch_idx: int) -> torch.Tensor:  # noqa: ARG002
        """The loss of one batch."""
        pixels, labels, border = batch
        logits = self.network(pixels.to(memory_format=torch.channels_last))
        loss: torch.Tensor = self.loss(logits, labels, border)
        by_loss = self.scores.criterion == "loss"  # without the adversary's, which drifts as it learns
        if by_loss:  # without a labelled pixel it is 0, the best there is, and earned by nothing
            self._earned = torch.where((labels != IGNORE).any(), loss.detach(), torch.nan)
        else:
            self._earned = class_normalised_accuracy(logits.detach(), labels)
        if self.adversary is not None:
            loss = loss + self.adversary(pixels, logits, labels)
        self.last_loss = loss.detach()
        self._context = labels.shape[-1]
        return loss

    @torch.no_grad()
    def count_step(self) -> None:
        """Counts the step that was just made, and its context's score, and moves the average towards the weights.

        The decay rises from 0.1, so that the average forgets the random start. Running means and variances of
        normalisation layers are averaged too, counters copied.
        """
        self.done += 1
        self.scores.add(self._context, float(self._earned))
        decay = min(self._config.ema_decay, (1 + self.done) / (10 + self.done))
        for mine, theirs in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - decay)
            else:
                mine.copy_(theirs)


@torch.no_grad()
def class_normalised_accuracy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over the classes present of the share of their pixels that are right; NaN without a labelled pixel.

    What a batch earns its context (Nogueira et al., TGRS 2019, "average accuracy").

    Args:
        logits: (N, K, H, W).
        labels: (N, H, W) int64 channel indices, 255 = ignored.

    Returns:
        A float32 scalar on the logits' device.
    """
    classes = logits.shape[1]
    known = labels != IGNORE
    truth = labels[known]
    right = truth[logits.argmax(dim=1)[known] == truth]
    counts = torch.bincount(truth, minlength=classes)
    hits = torch.bincount(right, minlength=classes)
    present = counts > 0
    return (hits[present] / counts[present]).mean()
