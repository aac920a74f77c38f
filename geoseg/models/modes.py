"""Training modes of a network's modules: a caller may have frozen some, and gets them back as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

Modes = dict["nn.Module", bool]
"""Whether each module is in training mode."""


def modes_of(network: nn.Module) -> Modes:
    """The modes of all modules of a network."""
    return {module: module.training for module in network.modules()}


def restore_modes(modes: Modes) -> None:
    """Puts every module back into its mode."""
    for module, training in modes.items():
        module.training = training
