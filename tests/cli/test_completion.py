"""``geoseg completion``: bash completes with what it prints, really; the others get click's own script."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import FishComplete, ZshComplete
from click.testing import CliRunner

from geoseg.cli.main import cli

ROOT = Path(__file__).resolve().parent.parent.parent

ASK = """
source <(geoseg completion bash)
complete -p geoseg >/dev/null || exit 3
compopt() { echo "$2: files"; }  # bash knows it in a real completion only
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_geoseg_completion geoseg "${COMP_WORDS[COMP_CWORD]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(*words: str, folder: Path) -> list[str]:
    """What bash offers for the last of the words."""
    program = folder / "bin" / "geoseg"
    if not program.exists():
        program.parent.mkdir()
        program.write_text(f"#!{sys.executable}\nfrom geoseg.cli import main\nmain()\n")
        program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    command = ["bash", "--norc", "-c", ASK, "bash", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=folder)
    assert not done.stderr, done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("geoseg", "pre"), ["predict"]),
        (("geoseg", "model", ""), ["benchmark", "info", "probe"]),
        (("geoseg", "predict", "--sti"), ["--stitch"]),
        (("geoseg", "predict", "--stitch", "g"), ["gaussian"]),
        (("geoseg", "predict", "--contexts", "a"), ["adaptive"]),
        (("geoseg", "plan", "scene.tif", "--device", "c"), ["cpu", "cuda"]),
        (("geoseg", "model", "probe", "--device", "a"), ["auto"]),
        (("geoseg", "predict", "--tile", "a"), ["auto"]),
        (("geoseg", "predict", "--scheduler", "s"), ["sync"]),
        (("geoseg", "predict", "sce"), ["default: files", ""]),
        (("geoseg", "predict", "scene.tif", "-o", "m"), ["default: files", ""]),
    ],
)
def test_bash_completes(words: tuple[str, ...], wanted: list[str], tmp_path: Path) -> None:
    assert completed(*words, folder=tmp_path) == wanted


@pytest.mark.parametrize(("shell", "kind"), [("zsh", ZshComplete), ("fish", FishComplete)])
def test_other_shells_get_clicks_script(shell: str, kind: type[ZshComplete | FishComplete]) -> None:
    printed = CliRunner().invoke(cli, ["completion", shell]).stdout
    assert printed == kind(cli, {}, "geoseg", "_GEOSEG_COMPLETE").source() + "\n"
    assert "_GEOSEG_COMPLETE=" in printed


def test_no_other_shell() -> None:
    assert CliRunner().invoke(cli, ["completion", "csh"]).exit_code == 2


def test_completing_loads_nothing_heavy(tmp_path: Path) -> None:
    heavy = {"torch", "dask", "distributed", "rasterio", "zarr", "numpy"}
    code = f"""
import os, sys
os.environ.update(_GEOSEG_COMPLETE="bash_complete", COMP_WORDS="geoseg predict --sti", COMP_CWORD="2")
sys.argv[0] = "geoseg"
from geoseg.cli.main import cli
try:
    cli()
except SystemExit:
    print(sorted({heavy} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["plain,--stitch", "[]"]
