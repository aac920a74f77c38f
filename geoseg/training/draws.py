"""The contexts a training draws: which distribution its configuration means, for a network's sizes."""

from __future__ import annotations

import math
from dataclasses import replace

from geoseg.contexts.candidates import SizeRule
from geoseg.contexts.distributions import Distribution, make_distribution
from geoseg.contexts.scores import ScoreTable
from geoseg.errors import ConfigError, PlanError
from geoseg.training.settings import ContextsConfig, FitConfig, TrainConfig


def check_sizes(config: TrainConfig, *, rule: SizeRule) -> tuple[TrainConfig, Distribution]:
    """What the training draws its contexts from; refuses sizes that the network cannot take.

    Returns:
        The configuration, ``model.context`` filled in if it was left to the training, and the distribution.

    Raises:
        ConfigError: if a patch, a context or the halo does not fit; the message names sizes that would.
    """
    checked = {"model.context": config.model.context} if config.model.context else {}
    if config.training.contexts is None:
        checked["training.patch_size"] = config.training.patch_size
    for key, size in checked.items():
        reason = rule.refusal(size)
        if reason is not None:
            raise ConfigError(f"{key} = {reason} ({config.model.architecture})")
    halo = config.model.halo
    if halo % rule.multiple:
        below = halo // rule.multiple * rule.multiple
        raise ConfigError(
            f"model.halo = {halo} is not a multiple of {rule.multiple}, which {config.model.architecture} needs;"
            f" take {below} or {below + rule.multiple}"
        )
    contexts = _distribution(config.training, rule=rule)
    context = config.model.context or contexts.sizes[-1]
    return replace(config, model=replace(config.model, context=context)), contexts


def pixel_budget(config: FitConfig) -> int:
    """Input pixels of a step."""
    return config.pixel_budget or config.batch_size * config.patch_size**2


def new_scores(config: FitConfig) -> ScoreTable:
    """An empty score table as the configuration wants it."""
    contexts = config.contexts
    return ScoreTable() if contexts is None else ScoreTable(criterion=contexts.criterion, decay=contexts.decay)


def _distribution(config: FitConfig, *, rule: SizeRule) -> Distribution:
    contexts, budget = config.contexts, pixel_budget(config)
    if contexts is None:
        side = config.patch_size
        if side * side > budget:
            raise ConfigError(
                f"training.pixel_budget = {budget:,} is less than one patch of training.patch_size = {side} px,"
                f" {side * side:,} pixels: raise it, or lower training.patch_size to at most {math.isqrt(budget)} px"
            )
        return Distribution(sizes=(side,), weights=(1,))
    _refuse_idle(contexts)
    try:
        found = make_distribution(
            contexts.distribution, sizes=contexts.sizes, span=contexts.range, step=contexts.step, rule=rule
        )
    except PlanError as error:
        raise ConfigError(f"training.contexts: {error}") from error
    if not 0 < contexts.decay < 1:
        raise ConfigError(f"training.contexts.decay = {contexts.decay} must be above 0 and below 1")
    most = found.sizes[-1]
    if most * most > budget:
        raise ConfigError(
            f"training.contexts draws patches of {most} px, {most * most:,} pixels, above the budget of {budget:,} a"
            f" step: raise training.pixel_budget or leave out sizes above {math.isqrt(budget)} px"
        )
    return found


def _refuse_idle(contexts: ContextsConfig) -> None:
    """Refuses entries that the distribution would not look at: somebody meant them."""
    name = contexts.distribution
    if name in ("single", "uniform-fixed"):
        idle = [key for key, value in (("range", contexts.range), ("step", contexts.step)) if value is not None]
        if idle:
            raise ConfigError(
                f"training.contexts: distribution {name!r} draws from sizes alone and would ignore"
                f" {' and '.join(idle)}: leave it out, or use 'uniform' or 'multinomial'"
            )
    if name == "uniform" and contexts.sizes and contexts.range is not None:
        raise ConfigError(
            "training.contexts: distribution 'uniform' draws from the range alike and would ignore sizes: leave one of"
            " the two out, or use 'multinomial', where the listed sizes are twice as likely"
        )
