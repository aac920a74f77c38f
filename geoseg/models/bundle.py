"""Bundles: one ``.safetensors`` file with the weights and, as JSON in its metadata, the card. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geoseg.errors import BundleError, OutputError
from geoseg.models.card import Card

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

CARD_KEY = "geoseg"
"""Metadata entry of the safetensors header that holds the card's JSON."""

_MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle file that has been looked at: its card and its digest, not its weights."""

    path: Path
    card: Card
    digest: str
    """SHA-256 of the file, hexadecimal."""

    def load_network(self) -> torch.nn.Module:
        """The network with its weights in float32, in evaluation mode, on the CPU.

        Raises:
            BundleError: if the architecture is unknown or the weights do not fit it.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from geoseg.models.networks import build

        network = build(
            self.card.architecture, self.card.arguments, bands=len(self.card.bands), classes=len(self.card.legend)
        )
        try:
            weights = load_file(self.path)
        except (SafetensorError, OSError) as error:
            raise BundleError(f"{self.path}: its weights are damaged: {error}") from error
        try:
            network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
        except RuntimeError as error:
            raise BundleError(f"{self.path}: weights do not fit {self.card.architecture}: {error}") from error
        return network.eval()


def default_bundle_path() -> Path:
    """The bundle that ships with geoseg."""
    return Path(__file__).parent.parent / "data" / "default.safetensors"


def open_bundle(path: str | os.PathLike[str] | None = None) -> Bundle:
    """Looks at a bundle: reads its card, hashes the file, leaves the weights (no torch is imported).

    Args:
        path: the ``.safetensors`` file; None is the bundle that ships with geoseg.

    Raises:
        BundleError: if the file is missing, not a bundle, damaged, or of a newer format.
    """
    file = default_bundle_path() if path is None else Path(path)
    try:
        with file.open("rb") as stream:
            header = _read_header(stream.read(8), stream.read, size=file.stat().st_size)
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"cannot read the model {file}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise BundleError(f"{file} is not a geoseg bundle ({error}); `geoseg train` writes one") from error
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or CARD_KEY not in metadata:
        raise BundleError(f"{file} is a safetensors file without a geoseg card; `geoseg train` writes bundles")
    try:
        data = json.loads(metadata[CARD_KEY])
    except (ValueError, TypeError) as error:
        raise BundleError(f"{file}: the card is not JSON ({error})") from error
    if not isinstance(data, dict):
        raise BundleError(f"{file}: the card is {type(data).__name__}, not an object")
    try:
        card = Card.from_json(data)
    except BundleError as error:
        raise BundleError(f"{file}: {error}") from error
    return Bundle(path=file.resolve(), card=card, digest=digest)


def save_bundle(
    path: str | os.PathLike[str], *, weights: Mapping[str, torch.Tensor], card: Card, half: bool = True
) -> Bundle:
    """Writes a bundle, whole or not at all.

    Args:
        path: target, usually ``*.safetensors``; replaced if it is there.
        weights: a state dict; floating tensors are stored as float16 if ``half``.
        card: what the model says of itself.
        half: store half precision (half the size; prediction computes in float32 all the same).

    Raises:
        OutputError: if the target cannot be written.
    """
    import torch
    from safetensors.torch import save_file

    target = Path(path)
    part = target.with_name(f".{target.name}.part")
    tensors = {
        name: (t.detach().to("cpu", torch.float16) if half and t.is_floating_point() else t.detach().cpu()).contiguous()
        for name, t in weights.items()
    }
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        mode = part.stat().st_mode  # what the user's umask says; safetensors would leave the file private
        save_file(tensors, part, metadata={CARD_KEY: json.dumps(card.to_json())})
        part.chmod(mode)
        part.replace(target)
    except OSError as error:
        with suppress(OSError):  # the folder itself may be what is wrong
            part.unlink(missing_ok=True)
        raise OutputError(f"cannot write the bundle {target}: {error.strerror or error}") from error
    return open_bundle(target)


def rewrite_card(bundle: Bundle, card: Card, path: str | os.PathLike[str]) -> Bundle:
    """Writes a bundle with the same weights, bit for bit, and another card; whole or not at all.

    Raises:
        BundleError: if the weights cannot be read.
        OutputError: if the target cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(bundle.path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{bundle.path}: its weights are damaged: {error}") from error
    return save_bundle(path, weights=weights, card=card, half=False)


def _read_header(prefix: bytes, read, *, size: int) -> dict:  # type: ignore[no-untyped-def, type-arg]
    """The safetensors header: eight little-endian bytes of length, then JSON (the format's specification)."""
    if len(prefix) < 8:
        raise ValueError(f"{size} bytes")
    (length,) = struct.unpack("<Q", prefix)
    if length > min(size - 8, _MAX_HEADER_BYTES):
        raise ValueError(f"a header of {length} bytes in a file of {size}")
    header = json.loads(read(length))
    if not isinstance(header, dict):
        raise ValueError("a header that is no object")  # noqa: TRY004 - the file is at fault, not the caller
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    if 8 + length + max(ends, default=0) != size:
        raise ValueError(f"{size} bytes where its header speaks of {8 + length + max(ends, default=0)}: cut short?")
    return header
