"""Takes the project's other files that pages link to (``../benchmarks/results.md``) into the site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

_LINK = re.compile(r"(?<=\]\()\.\./(?P<path>[^)#\s]+)")
_README = "overview.md"
"""The README's name in the site, whose builder would take README.md for the index."""


def on_files(files: Files, config: Any) -> Files:
    """Adds every file of the project, outside of ``docs/``, that a page links to, under its own path."""
    project = Path(config["config_file_path"]).parent
    waiting = [Path(config["docs_dir"]) / file.src_uri for file in files.documentation_pages()]
    while waiting:
        page = waiting.pop()
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            target = (page.parent / link).resolve()
            if "://" in link or not target.is_file() or not target.is_relative_to(project):
                continue  # what is missing is told by mkdocs itself
            name = _name(target, project)
            if files.get_file_from_path(name) is None:
                files.append(
                    File.generated(config, name, abs_src_path=str(target), inclusion=InclusionLevel.NOT_IN_NAV)
                )
                waiting += [target] * (target.suffix == ".md")
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """The same links, as the site has them: ``docs/`` is its root, the rest of the project lies in it."""
    if "/" in page.file.src_uri or page.file.src_uri == _README:  # a page from outside of docs/
        return re.sub(r"(?<=\]\()((?:\.\./)*)docs/", r"\1", markdown)
    return _LINK.sub(lambda link: _README if link["path"] == "README.md" else link["path"], markdown)


def _name(target: Path, project: Path) -> str:
    docs = project / "docs"
    name = str(target.relative_to(docs if target.is_relative_to(docs) else project))
    return _README if name == "README.md" else name
