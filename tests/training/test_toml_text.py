"""What is written as TOML is what tomllib reads."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.errors import ConfigError
from geoseg.training.toml_text import to_toml

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["a.b", "", "\x7f", '"\\\n', "é𝄞"]
)
PLAIN = st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=12
)


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_tomllib_reads_what_was_written(table: dict[str, Any]) -> None:
    assert typed(tomllib.loads(to_toml(table))) == typed(table)


def typed(value: Any) -> Any:
    """With types, for 1 == 1.0 == True."""
    if isinstance(value, dict):
        return {k: typed(v) for k, v in value.items()}
    return [typed(v) for v in value] if isinstance(value, list) else (type(value), value)


def test_a_table_is_a_section_and_a_list_of_tables_one_each() -> None:
    text = to_toml({"scenes": [{"image": "a.tif"}, {"image": "b.tif"}], "model": {"context": 64, "arguments": {}}})
    assert text == (
        '[model]\ncontext = 64\n\n[model.arguments]\n\n[[scenes]]\nimage = "a.tif"\n\n[[scenes]]\nimage = "b.tif"\n'
    )


def test_what_toml_has_no_word_for_is_named() -> None:
    with pytest.raises(ConfigError, match=r"model\.arguments\.weights = None cannot be written"):
        to_toml({"model": {"arguments": {"weights": None}}})
