"""What a training configuration's values must be; :mod:`geoseg.training.config` has seen to their types."""

from __future__ import annotations

from collections.abc import Sequence

from geoseg.errors import ConfigError
from geoseg.training.settings import LossConfig, TrainConfig

PRECISIONS = ("32-true", "bf16-mixed")
ACCELERATORS = ("auto", "cpu", "gpu")

_TERMS = ("cross_entropy", "dice", "focal", "lovasz")
"""Terms of the loss that teach by themselves."""


def check_values(config: TrainConfig) -> None:
    """Refuses values that cannot be.

    Raises:
        ConfigError: naming the entry and what it must be.
    """
    _check_model(config)
    _check_training(config)
    _check_augment(config)


def demand(holds: bool, key: str, what: str) -> None:
    """Refuses an entry.

    Raises:
        ConfigError: unless it holds.
    """
    if not holds:
        raise ConfigError(f"{key} {what}")


def _check_model(config: TrainConfig) -> None:
    model = config.model
    demand(bool(model.bands), "model.bands", "must name at least one band")
    demand(model.gsd is None or model.gsd > 0, "model.gsd", "must be a positive number of metres")
    demand(model.context >= 0 and model.halo >= 0, "model.context and model.halo", "must be sizes in pixels")
    for key, values in (("mean", model.mean), ("std", model.std)):
        demand(not values or len(values) == len(model.bands), f"model.{key}", f"needs {len(model.bands)} numbers")
    demand(bool(model.mean) == bool(model.std), "model.mean and model.std", "must be given together or not at all")
    demand(all(s > 0 for s in model.std), "model.std", "must be positive")
    for i, scene in enumerate(config.scenes):
        wanted = len(model.bands)
        demand(len(scene.bidx) in (0, wanted), f"scenes[{i}].bidx", f"must name {wanted} bands, one per model.bands")


def _check_training(config: TrainConfig) -> None:
    t = config.training
    for key in ("steps", "batch_size", "patch_size", "checkpoint_every", "log_every", "loaders"):
        demand(getattr(t, key) >= 1, f"training.{key}", "must be at least 1")
    for key in ("threads", "validate_every", "weight_decay", "seed", "pixel_budget"):
        demand(getattr(t, key) >= 0, f"training.{key}", "must not be negative")
    demand(t.seed < 2**32, "training.seed", "must be below 2^32")
    for key in ("learning_rate", "clip_norm"):
        demand(getattr(t, key) > 0, f"training.{key}", "must be positive")
    for key in ("label_smoothing", "ema_decay", "warm_up"):
        demand(0 <= getattr(t, key) < 1, f"training.{key}", "must be at least 0 and below 1")
    demand(0 <= t.balance <= 1, "training.balance", "must be between 0 and 1")
    demand(t.time_limit_minutes is None or t.time_limit_minutes > 0, "training.time_limit_minutes", "must be positive")
    _check_losses(t.losses, names=config.legend.names)
    demand(t.precision in PRECISIONS, "training.precision", f"must be one of {', '.join(PRECISIONS)}")
    demand(t.accelerator in ACCELERATORS, "training.accelerator", f"must be one of {', '.join(ACCELERATORS)}")
    count = len(config.legend)
    demand(len(t.class_weights) in (0, count), "training.class_weights", f"needs {count} numbers, one per class")
    demand(all(w >= 0 for w in t.class_weights), "training.class_weights", "must not be negative")


def _check_losses(losses: LossConfig, *, names: Sequence[str]) -> None:
    where = "training.losses"
    for key in (*_TERMS, "focal_gamma", "border_w0", "adversarial"):
        demand(getattr(losses, key) >= 0, f"{where}.{key}", "must not be negative")
    for key in ("border_sigma", "adversary_rate"):
        demand(getattr(losses, key) > 0, f"{where}.{key}", "must be positive")
    listed = ", ".join(_TERMS)
    demand(any(getattr(losses, key) for key in _TERMS), where, f"must not all be 0: raise one of {listed}")
    demand(
        losses.border_w0 == 0 or losses.cross_entropy > 0,
        f"{where}.border_w0",
        "weighs the cross-entropy, which is 0: raise cross_entropy or leave it out",
    )
    background, key = losses.border_background, f"{where}.border_background"
    demand(not background or losses.border_w0 > 0, key, "is of border_w0's map, which is off: raise border_w0")
    unknown = next((name for name in background if name not in names), None)
    demand(unknown is None, key, f"names {unknown!r}, which is no class: the legend has {', '.join(names)}")
    demand(not set(names) <= set(background), key, "names every class: leave out those that are objects")


def _check_augment(config: TrainConfig) -> None:
    a = config.augment
    demand(0 < a.scale[0] <= a.scale[1], "augment.scale", "must be [smallest, largest], both positive")
    for key in ("rotation", "elastic"):
        demand(0 <= getattr(a, key) <= 1, f"augment.{key}", "must be a share between 0 and 1")
    for key in ("elastic_alpha", "elastic_sigma"):
        demand(getattr(a, key) > 0, f"augment.{key}", "must be positive")
    for key in ("brightness", "contrast", "saturation", "hue", "cast", "noise"):
        demand(getattr(a, key) >= 0, f"augment.{key}", "must not be negative")
    demand(a.contrast < 1 and a.saturation <= 1, "augment.contrast and augment.saturation", "must be below 1")
    bands = len(config.model.bands)
    demand(a.hue == 0 or bands == 3, "augment.hue", f"is for three bands, the model has {bands}: use augment.cast")
