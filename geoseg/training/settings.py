"""What a training run is made of, as frozen values; :mod:`geoseg.training.config` reads them from TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geoseg.contexts.distributions import DistributionName
from geoseg.contexts.scores import Criterion
from geoseg.legend import Legend


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The network to train, and what its card will say of it."""

    name: str
    """Short name for the card."""
    description: str = ""
    """What the model is good for and what it is not."""
    architecture: str = "Unet"
    """Name the networks room knows."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the architecture, e.g. ``encoder_name``."""
    bands: tuple[str, ...] = ("red", "green", "blue")
    """Names of the input bands, in order."""
    gsd: float | None = None
    """Ground metres per pixel of the training scenes; None: not bound to one."""
    context: int = 0
    """Patch side at prediction where the card has no scores of contexts, pixels; 0: the training's largest."""
    halo: int = 32
    """Pixels at a patch's rim that are not trusted at prediction."""
    licence: str = ""
    """Licence of the weights and of the data behind them."""
    start: str = ""
    """A bundle or other ``.safetensors`` file with weights to start from, by name and shape; empty: random ones."""
    mean: tuple[float, ...] = ()
    """Per band, in stored units; empty: measured from the training scenes."""
    std: tuple[float, ...] = ()
    """Per band, in stored units; empty: measured from the training scenes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneConfig:
    """One labelled scene."""

    image: str
    """Path or URL of the raster."""
    labels: str
    """Path or URL of the label raster on the same grid."""
    weight: float = 1.0
    """How often it is drawn, relative to the other training scenes."""
    split: str = "train"
    """``train`` or ``validation``."""
    bidx: tuple[int, ...] = ()
    """Bands to read, counted from 1; empty: the first that are not alpha."""
    nodata: float | None = None
    """Stored value that means no data; None: what the file says."""
    name: str = ""
    """Name in logs and in the card; empty: the image's stem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """Weights of the terms of the loss, each 0 for off; see :mod:`geoseg.training.losses`."""

    cross_entropy: float = 1.0
    """Weight of the cross-entropy."""
    dice: float = 1.0
    """Weight of the Dice loss."""
    focal: float = 0.0
    """Weight of the focal loss."""
    focal_gamma: float = 2.0
    """How strongly the focal loss forgets pixels that are already right; 0: not at all, it is the cross-entropy."""
    lovasz: float = 0.0
    """Weight of the Lovász-softmax loss."""
    border_w0: float = 0.0
    """Extra weight of pixels between two objects in the cross-entropy, which is then balanced by class too: U-Net's map
    (there 10); 0: no map. Where every class is objects that is every edge between classes, however wide the gap behind
    it; see :mod:`geoseg.training.border_weights`."""
    border_sigma: float = 5.0
    """How far from the border that weight reaches, pixels."""
    border_background: tuple[str, ...] = ()
    """Names of the classes that are no objects but the ground between them, as in the published map, which weighs
    narrow gaps; empty: every class is objects."""
    adversarial: float = 0.0
    """Weight of the adversarial term; see :mod:`geoseg.training.adversary`."""
    adversary_rate: float = 1e-4
    """Learning rate of the discriminator's Adam."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextsConfig:
    """Which patch sizes a training draws, and what they earn (Nogueira et al., TGRS 2019)."""

    distribution: DistributionName = "uniform-fixed"
    """``single``, ``uniform-fixed``, ``uniform`` or ``multinomial``; see :mod:`geoseg.contexts.distributions`."""
    sizes: tuple[int, ...] = ()
    """The listed sizes, pixels."""
    range: tuple[int, int] | None = None
    """Lowest and highest size of ``uniform`` and ``multinomial``, pixels; None: of the listed ones."""
    step: int | None = None
    """Pixels between the sizes of the range; None: the network's multiple."""
    criterion: Criterion = "accuracy"
    """What a batch earns its size: class-normalised ``accuracy`` or the ``loss``."""
    decay: float = 0.99
    """Of the exponentially weighted score, per batch of a size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """The optimisation."""

    steps: int
    """Optimiser steps."""
    batch_size: int = 8
    """Patches per step."""
    patch_size: int = 256
    """Side of the patches, pixels; with ``contexts`` only what ``pixel_budget`` is reckoned from."""
    pixel_budget: int = 0
    """Input pixels of a step: as many patches as fit, at least one; 0: ``batch_size`` patches of ``patch_size``."""
    contexts: ContextsConfig | None = None
    """The patch sizes that steps draw; None: always ``patch_size``."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW."""
    warm_up: float = 0.05
    """Share of the run in which the learning rate rises to its peak; it falls as a cosine afterwards."""
    weight_decay: float = 1e-2
    """AdamW's decoupled weight decay."""
    clip_norm: float = 1.0
    """Largest norm of a step's gradient."""
    losses: LossConfig = field(default_factory=LossConfig)
    """Weights of the loss's terms."""
    class_weights: tuple[float, ...] = ()
    """Per class, in the legend's order, in the cross-entropy and the focal loss; empty: all one."""
    label_smoothing: float = 0.0
    """Share of each label that is spread over all classes in the cross-entropy."""
    ema_decay: float = 0.998
    """Decay per step of the averaged weights, which are the ones that are validated and shipped; 0: the last ones."""
    balance: float = 1.0
    """0: classes are drawn by their area, 1: all alike."""
    seed: int = 0
    """Seed of everything random."""
    threads: int = 0
    """Compute threads; 0: as many as torch takes by itself."""
    loaders: int = 1
    """Threads that prepare batches."""
    precision: str = "32-true"
    """``32-true`` or ``bf16-mixed``, as Lightning names them."""
    accelerator: str = "auto"
    """``auto``, ``cpu`` or ``gpu``, as Lightning names them."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    validate_every: int = 500
    """Steps between validations; 0: only at the end."""
    log_every: int = 20
    """Steps between lines of the log."""
    time_limit_minutes: float | None = None
    """Wall time in which the learning rate's schedule ends, if ``steps`` do not end it sooner; None: no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """How patches are varied. Colour amounts are in standard deviations of the normalised pixels, or shares."""

    flips: bool = True
    """Mirror along either axis."""
    quarter_turns: bool = True
    """Turn by multiples of 90 degrees."""
    rotation: float = 0.0
    """Share of patches that are turned by any angle."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Range of the zoom, log-uniform: ground side of the sampled window over the patch's."""
    elastic: float = 0.0
    """Share of patches that are deformed elastically; see :mod:`geoseg.training.elastic`."""
    elastic_alpha: float = 300.0
    """Strength of the deformation, as torchvision counts it: noise in [-1, 1], smoothed, times half of this, pixels."""
    elastic_sigma: float = 10.0
    """Standard deviation of the Gaussian that smooths it, pixels."""
    brightness: float = 0.0
    """Largest shift of all bands together."""
    contrast: float = 0.0
    """Largest relative change of the spread about the patch's mean."""
    saturation: float = 0.0
    """Largest relative change of each pixel's distance from its own grey."""
    hue: float = 0.0
    """Largest turn about the grey axis, in full turns; three bands only."""
    cast: float = 0.0
    """Largest shift of each band by itself."""
    noise: float = 0.0
    """Largest standard deviation of Gaussian noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A whole training run. Paths are absolute."""

    model: ModelConfig
    legend: Legend
    scenes: tuple[SceneConfig, ...]
    training: FitConfig
    augment: AugmentConfig
    bundle: Path
    """Where the bundle is written at the end."""
    work: Path
    """Folder of checkpoints and logs."""

    def of_split(self, split: str) -> tuple[SceneConfig, ...]:
        """The scenes of ``train`` or ``validation``."""
        return tuple(s for s in self.scenes if s.split == split)
