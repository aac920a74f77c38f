"""The notebooks are clean, and run from beginning to end where their packages are."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def cells(notebook: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A notebook and its cells of code."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return content, [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def execute(content: Any, *, where: Path, timeout: int = 600) -> list[dict[str, Any]]:
    """Runs a notebook in a folder, by the Python of this process; what its cells gave.

    Kernels that the user or the machine has installed are not looked at: theirs may be of another Python.
    """
    nbclient = pytest.importorskip("nbclient", reason="the notebooks' packages are not installed")
    pytest.importorskip("ipykernel", reason="the notebooks' packages are not installed")
    from jupyter_client.kernelspec import KernelSpecManager

    client = nbclient.NotebookClient(
        content, kernel_name="python3", timeout=timeout, resources={"metadata": {"path": str(where)}}
    )
    # Not handed over as km=: the client shuts down only the kernels that it made itself.
    client.create_kernel_manager().kernel_spec_manager = KernelSpecManager(kernel_dirs=[])
    client.execute()
    return [output for cell in content["cells"] if cell["cell_type"] == "code" for output in cell["outputs"]]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in; this checkout's geoseg is the one imported, temporary files go beside it."""
    for name in ("work", "temporary", "ipython"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]))
    return tmp_path / "work"


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS] == ["01_quickstart.ipynb", "02_contexts.ipynb"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stripped(notebook: Path) -> None:
    content, code = cells(notebook)
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert set(content["metadata"]) == {"kernelspec", "language_info"}
    assert content["metadata"]["language_info"] == {"name": "python"}
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    for cell in code:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert not cell["metadata"]
    for word in ("/home/", "/work/", "/root/", "/tmp/", "/Users/", "C:\\"):
        assert word not in notebook.read_text(encoding="utf-8")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_of_the_format(notebook: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="the notebooks' packages are not installed")
    nbformat.validate(nbformat.read(notebook, as_version=nbformat.NO_CONVERT))


def test_the_kernel_is_this_python(workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="the notebooks' packages are not installed")
    other = tmp_path / "python3"
    other.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    other.chmod(0o755)
    kernel = tmp_path / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps({"argv": [str(other)], "display_name": "another", "language": "python"}), "utf-8")
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    asks = nbformat.v4.new_code_cell("import sys, geoseg\nprint(sys.executable, geoseg.__file__)")
    (said,) = execute(nbformat.v4.new_notebook(cells=[asks]), where=workplace, timeout=120)
    assert said["text"].split() == [sys.executable, str(FOLDER.parent / "geoseg" / "__init__.py")]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, workplace: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="the notebooks' packages are not installed")
    pytest.importorskip("matplotlib", reason="the notebooks' packages are not installed")
    before = sorted(FOLDER.iterdir())
    shown = execute(nbformat.read(notebook, as_version=4), where=workplace)
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 4
    assert [o for o in shown if o["output_type"] == "error" or o.get("name") == "stderr"] == []
    assert list(workplace.iterdir()) == []
    assert list((tmp_path / "temporary").glob("geoseg*")) == []  # what they wrote went with the kernel
    assert sorted(FOLDER.iterdir()) == before
