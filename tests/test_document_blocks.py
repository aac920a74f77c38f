"""What the documents say can be done: every block runs, in order, in a folder of the document's own.

What is in the folder beforehand is in ``furnish``; whatever else a page needs it makes itself, in a hidden set-up where
it would bore the reader.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from geoseg.cli.main import cli
from tests.commands import check_command
from tests.documents import PAGES, ROOT, Block, blocks_of, command_lines, inline_commands
from tests.documents_folder import furnish

SLOW = {"evaluation", "recipes"}
"""Pages that take longer than the default tests have."""

_SHELL = re.compile(r"[|<>&;$`(){}*?~]")
_TEXTS = {page.stem: page.read_text(encoding="utf-8") for page in PAGES}
RUNNABLE = [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
    for name, text in _TEXTS.items()
    if any(block.reason is None and block.kind in ("console", "python") for block in blocks_of(text))
]
REST = [
    pytest.param(block, id=f"{name}-{block.line}")
    for name, text in _TEXTS.items()
    for block in blocks_of(text)
    if block.reason is not None or block.kind not in ("console", "python")
]


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    return furnish(tmp_path_factory.mktemp("furnished"), tiny_bundle)


@pytest.mark.timeout(900)  # a page is many commands, and machines are busy at times
@pytest.mark.parametrize("name", RUNNABLE)
def test_every_block_runs(name: str, furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "page"
    shutil.copytree(furnished, folder)
    shutil.copy(next(page for page in PAGES if page.stem == name), folder)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks_of(_TEXTS[name]):
        if block.reason is None:
            _run(block, f"{name}.md", names)


def _run(block: Block, page: str, names: dict[str, Any]) -> None:
    if block.kind == "python":
        code = "\n" * block.line + block.text  # so that tracebacks name the document's line
        exec(compile(code, page, "exec"), names)
    elif block.kind == "console":
        for line in command_lines(block.text):
            (_run_here if _is_plain(line) else _run_in_bash)(line, f"{page}:{block.line}")


def _is_plain(line: str) -> bool:
    """Whether a line is a geoseg command that needs no shell."""
    unquoted = re.sub(r"'[^']*'", "", line).split(" # ")[0]
    return line.startswith("geoseg ") and _SHELL.search(unquoted) is None


def _run_here(line: str, place: str) -> None:
    """In this process: another one would import everything again."""
    found = CliRunner().invoke(cli, shlex.split(line, comments=True)[1:])
    assert found.exit_code == 0, f"{place}: {line}\n{found.output[-2000:]}\n{found.exception!r}"


def _run_in_bash(line: str, place: str) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-euc", line], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{place}: {line}\n{done.stdout[-1000:]}{done.stderr[-2000:]}"


@pytest.mark.parametrize("block", REST)
def test_what_is_not_run_parses(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if block.kind == "python":
        compile(block.text, "block", "exec")
    elif block.kind in ("console", "bash"):
        subprocess.run(["bash", "-n", "-c", block.text], check=True)
        for line in command_lines(block.text):
            _parse(line)
    elif block.kind == "toml":
        tomllib.loads(block.text)
    elif block.kind == "json":
        json.loads(block.text)
    else:
        assert block.kind == "text", "no language that anything here understands"


@pytest.mark.parametrize("name", _TEXTS)
def test_commands_in_running_text_parse(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for command in inline_commands(_TEXTS[name]):
        with contextlib.suppress(click.MissingParameter):  # `geoseg export` is a name
            _parse(re.sub(r"\bN\b", "2", command))


def _parse(line: str) -> None:
    """Lets click parse a line's geoseg command, if it has one; certificates are there, as click wants to see them.

    Raises:
        click.UsageError: if geoseg does not take it.
    """
    for name in re.findall(r"\S+\.(?:pem|key)\b", line):
        Path(name).touch()
    for command in re.findall(r"(?:^|[\s(;&|])(geoseg\s[^|<>;&)]+)", line):
        check_command(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_block_hides(page: Path) -> None:
    """Code is in fences, and comments that speak of blocks are above one."""
    text = page.read_text(encoding="utf-8")
    set_ups, reasons = text.count("<!-- set-up"), text.count("<!-- not run: ")
    found = blocks_of(text)
    assert 2 * (len(found) - set_ups) == len(re.findall(r"^ *```", text, re.M))
    assert sum(block.reason is not None for block in found) == reasons, "a reason stands above no block"
    assert text.count("<!--") == set_ups + reasons, "a comment that is neither"
    assert not re.search(r"\n\n {4}(geoseg|python|pip|import) ", text), "a block without a fence"


@pytest.mark.parametrize("line", ["source <(geoseg {})", "geoseg model info && geoseg {}", "(cd maps; geoseg {})"])
def test_no_command_of_a_line_is_passed_over(line: str) -> None:
    _parse(line.format("completion bash"))
    with pytest.raises(click.UsageError):
        _parse(line.format("completion csh"))
