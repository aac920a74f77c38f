"""Environments of the peers: one virtual environment each, all on the torch that geoseg runs on.

    python benchmarks/peers/environments.py with_monai.py with_tiler.py

A peer's script names what it needs in its own head (inline script metadata, PEP 723). Its environment is made under
``runs/benchmarks/peers/NAME/venv``, once, and again when that head changes. torch is gigabytes and must be the same
build for everybody, so the environment gets a ``.pth`` file that names the folder of the packages that geoseg runs on:
what the peer lacks is looked up there, what is installed into its own environment comes first.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent / "runs" / "benchmarks" / "peers"

SHARED = ("torch", "torchvision", "numpy", "rasterio")
"""Packages that stay what geoseg runs on: otherwise another arithmetic would be measured."""


class PeerError(ValueError):
    """A peer that cannot be installed: one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a peer's script says it needs."""

    name: str
    """The peer's name, as the table prints it."""
    dependencies: tuple[str, ...]
    """Installed with all that they need."""
    bare: tuple[str, ...] = ()
    """Installed alone, where the peer insists on versions that would replace the shared ones."""
    prepare: str | None = None
    """A script that is run before the peer's, with the same options, and not timed."""
    reference: str | None = None
    """What the peer does to its class map, and is done to the full frame's before they are compared."""


def read_head(script: Path) -> Head:
    """The inline metadata of a peer's script.

    Raises:
        PeerError: if there is none.
    """
    found = re.search(r"^# /// script\n((?:#(?: .*)?\n)+?)# ///$", script.read_text(), flags=re.MULTILINE)
    if found is None:
        raise PeerError(f"{script.name} has no inline script metadata")
    data = tomllib.loads("".join(line[2:] + "\n" for line in found[1].splitlines()))
    own = data.get("tool", {}).get("geoseg", {})
    return Head(
        name=own.get("name", script.stem),
        dependencies=tuple(data["dependencies"]),
        bare=tuple(own.get("bare", ())),
        prepare=own.get("prepare"),
        reference=own.get("reference"),
    )


def environment(script: Path) -> Path:
    """The Python of a peer's environment, made if it is not there yet.

    Raises:
        PeerError: with the last line that said what went wrong.
    """
    head = read_head(script)
    folder = ROOT / script.stem
    python = folder / "venv" / "bin" / "python"
    stamp = folder / "installed.txt"
    wanted = f"{head.dependencies} {head.bare}\n{_shared_versions()}\n{sys.version}\n"
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    folder.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    log = folder / "install.log"
    log.write_text("")
    _run([sys.executable, "-m", "venv", "--clear", str(folder / "venv")], log=log)
    own = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "venv"), "platbase": str(folder / "venv")}))
    (own / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    constraints = folder / "constraints.txt"
    constraints.write_text(_shared_versions())
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    if head.dependencies:
        _run([*pip, "-c", str(constraints), *head.dependencies], log=log)
    if head.bare:
        _run([*pip, "--no-deps", *head.bare], log=log)
    stamp.write_text(wanted)
    return python


def versions(script: Path) -> str:
    """The installed version of what a peer's script names first, such as ``monai 1.6.1``."""
    head = read_head(script)
    first = re.split(r"[=<>~!\[ ]", (head.bare or head.dependencies)[0])[0]
    code = f"from importlib.metadata import version; print(version({first!r}))"
    python = ROOT / script.stem / "venv" / "bin" / "python"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return f"{first} {found.stdout.strip() or '?'}"


def _shared_versions() -> str:
    """Constraints that keep the shared packages as they are."""
    lines = []
    for name in SHARED:
        try:
            lines.append(f"{name}=={version(name).split('+')[0]}\n")
        except PackageNotFoundError:
            continue
    return "".join(lines)


def _run(command: list[str], *, log: Path) -> None:
    with log.open("a") as stream:
        stream.write(f"$ {' '.join(command)}\n")
        stream.flush()
        code = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        lines = [line for line in log.read_text().splitlines() if line.strip() and not line.startswith("WARNING")]
        errors = [line for line in lines if line.lower().startswith("error")]
        raise PeerError(f"not installed: {(errors or lines)[-1]}; see {log.relative_to(ROOT.parents[2])}")


def main() -> None:
    """Makes the environments of the scripts named, or of all."""
    for script in [HERE / name for name in sys.argv[1:]] or sorted(HERE.glob("with_*.py")):
        try:
            print(f"{script.name}: {environment(script)}, {versions(script)}", flush=True)
        except PeerError as error:
            print(f"{script.name}: {error}", flush=True)


if __name__ == "__main__":
    main()
