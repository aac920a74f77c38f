"""Weights to start a training from: another bundle's, or any ``.safetensors`` file's, by name and shape."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from geoseg.errors import BundleError

if TYPE_CHECKING:
    from torch import nn


def start_from(network: nn.Module, path: Path) -> str:
    """Copies into a network the entries of a file that have its names and shapes; the others stay as they are.

    Args:
        network: the one to be trained.
        path: a ``.safetensors`` file; a bundle, or an encoder's weights under the names they have in the network.

    Returns:
        One line: how many entries were taken, how many stay random.

    Raises:
        BundleError: if the file cannot be read, or not one entry fits.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"cannot read the weights to start from, {path}: {error}") from error
    own = network.state_dict()
    fitting = {k: v.to(own[k].dtype) for k, v in found.items() if k in own and own[k].shape == v.shape}
    if not fitting:
        example = next(iter(found), "nothing")
        raise BundleError(
            f"{path} holds nothing that fits the network: its {len(found)} entries are named like {example!r}, the"
            f" network's like {next(iter(own))!r}"
        )
    network.load_state_dict(fitting, strict=False)
    return (
        f"started from {path.name}: {len(fitting)} of {len(own)} entries taken, {len(own) - len(fitting)} stay random"
    )
