"""An adversary for the segmentation network: a discriminator that tells its class maps from the reference's.

Luc, Couprie, Chintala and Verbeek, "Semantic Segmentation using Adversarial Networks", NIPS workshop 2016: the network
also learns to make maps that the discriminator takes for references, so higher-order errors count that no pixel shows
by itself. As there: the discriminator sees the image and a map of class probabilities (the reference's: one-hot, the
paper's "basic" input), its step alternates with the network's, and the network raises the odds of "reference" for its
own map instead of lowering those of "network's", which has the same goal and the stronger gradient.

Unlabelled pixels are zeroed in both maps and an output pixel counts by the labelled share of what it lies over, so
they tell nothing. Everything is float32, whatever the network's precision. The discriminator never reaches a bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from geoseg.legend import IGNORE
from geoseg.training.settings import TrainConfig

_CHANNELS = (32, 64, 128)


class Discriminator(nn.Module):
    """A small fully convolutional classifier of (image, class map) pairs; any side will do.

    | layer | output | field of view, pixels |
    | --- | --- | --- |
    | 3 x 3, stride 2, leaky ReLU 0.2 | 32 x S/2 x S/2 | 3 |
    | 3 x 3, stride 2, leaky ReLU 0.2 | 64 x S/4 x S/4 | 7 |
    | 3 x 3, stride 2, leaky ReLU 0.2 | 128 x S/8 x S/8 | 15 |
    | 3 x 3 | 1 x S/8 x S/8 | 31 (the paper's "LargeFOV" has 34) |

    Without normalisation layers, so its state is its weights alone.

    Args:
        channels: of the image and the class map together.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in _CHANNELS:
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
            channels = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, pixels: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """Log-odds (N, 1, ceil(H / 8), ceil(W / 8)) that maps (N, K, H, W) are references of pixels (N, C, H, W)."""
        odds: torch.Tensor = self.layers(torch.cat([pixels, maps], dim=1))
        return odds


class Adversary(nn.Module):
    """The discriminator, its Adam, and its side of the game.

    Args:
        bands: channels of the image.
        classes: channels of the maps.
        weight: λ of the term.
        rate: learning rate of Adam.
        seed: of the discriminator's first weights, which are a function of it alone.
    """

    def __init__(self, *, bands: int, classes: int, weight: float, rate: float, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            self.discriminator = Discriminator(bands + classes)
        self._weight = weight
        self._rate = rate
        self._optimiser: torch.optim.Optimizer | None = None
        self._optimiser_state: Mapping[str, Any] | None = None

    def forward(self, pixels: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Lets the discriminator learn from a batch, then says what the network has to pay, times λ.

        Only the network gets a gradient from the result; without a labelled pixel it is 0 and nothing is learnt.

        Args:
            pixels: (N, C, H, W), normalised.
            logits: (N, K, H, W).
            labels: (N, H, W) int64 channel indices, 255 = ignored.
        """
        with torch.autocast(logits.device.type, enabled=False):
            known = (labels != IGNORE)[:, None]
            if not known.any():
                return 0.0 * logits.sum()
            pixels = pixels.float()
            guessed = logits.float().softmax(dim=1) * known
            given = functional.one_hot(labels.where(known[:, 0], 0), logits.shape[1]).movedim(-1, 1) * known
            self._learn(pixels, given.float(), guessed.detach(), known=known)
            self.discriminator.requires_grad_(False)  # the network's backward pass is none of its business
            return self._weight * _surprise(self.discriminator(pixels, guessed), known, wanted=1.0)

    def state(self) -> dict[str, Any]:
        """The discriminator's weights and its optimiser's state, for a checkpoint."""
        return {"weights": self.discriminator.state_dict(), "optimiser": self._adam().state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what :meth:`state` gave."""
        self.discriminator.load_state_dict(state["weights"])
        self._optimiser, self._optimiser_state = None, state["optimiser"]

    def _learn(self, pixels: torch.Tensor, given: torch.Tensor, guessed: torch.Tensor, *, known: torch.Tensor) -> None:
        optimiser = self._adam()
        self.discriminator.requires_grad_(True)
        loss = _surprise(self.discriminator(pixels, given), known, wanted=1.0)
        loss = loss + _surprise(self.discriminator(pixels, guessed), known, wanted=0.0)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def _adam(self) -> torch.optim.Optimizer:
        """Made late: by then the weights are where they stay."""
        if self._optimiser is None:
            self._optimiser = torch.optim.Adam(self.discriminator.parameters(), lr=self._rate, betas=(0.5, 0.999))
            if self._optimiser_state is not None:
                self._optimiser.load_state_dict(dict(self._optimiser_state))
        return self._optimiser


def make_adversary(config: TrainConfig) -> Adversary | None:
    """The adversary that a configuration wants; None: none."""
    training = config.training
    if not training.losses.adversarial:
        return None
    return Adversary(
        bands=len(config.model.bands),
        classes=len(config.legend),
        weight=training.losses.adversarial,
        rate=training.losses.adversary_rate,
        seed=training.seed,
    )


def _surprise(odds: torch.Tensor, known: torch.Tensor, *, wanted: float) -> torch.Tensor:
    """Binary cross-entropy of log-odds (N, 1, h, w), each weighed by the known share (N, 1, H, W) of its place."""
    share = functional.adaptive_avg_pool2d(known.float(), (odds.shape[-2], odds.shape[-1]))
    each = functional.binary_cross_entropy_with_logits(odds, torch.full_like(odds, wanted), reduction="none")
    return (share * each).sum() / share.sum()
