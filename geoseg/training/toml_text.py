"""Writes TOML, which Python only reads: configurations that a program makes, see ``config.py``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from geoseg.errors import ConfigError


def to_toml(table: Mapping[str, Any]) -> str:
    """TOML of nested dictionaries, lists of dictionaries and plain values; ``tomllib.loads`` gives them back.

    Raises:
        ConfigError: on a value that TOML has no word for, such as None, naming it.
    """
    return "\n".join(_lines(table, where="")).strip() + "\n"


def _lines(table: Mapping[str, Any], *, where: str) -> Iterator[str]:
    """Plain entries first: below a heading they would be another table's."""
    nested = {k: v for k, v in table.items() if isinstance(v, Mapping)}
    repeated = {k: v for k, v in table.items() if _is_tables(v)}
    for key, value in table.items():
        if key not in nested and key not in repeated:
            yield f"{_key(key)} = {_value(value, where=f'{where}{_key(key)}')}"
    for key, value in nested.items():
        yield f"\n[{where}{_key(key)}]"
        yield from _lines(value, where=f"{where}{_key(key)}.")
    for key, values in repeated.items():
        for value in values:
            yield f"\n[[{where}{_key(key)}]]"
            yield from _lines(value, where=f"{where}{_key(key)}.")


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(v, Mapping) for v in value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _string(key)


def _string(text: str) -> str:
    """JSON's escapes are TOML's, which has one more: DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any, *, where: str) -> str:
    match value:
        case str():
            return _string(value)
        case bool() | int():
            return json.dumps(value)
        case float():
            return repr(value)  # inf and nan too
        case list() | tuple():
            return f"[{', '.join(_value(v, where=where) for v in value)}]"
        case Mapping():
            return f"{{{', '.join(f'{_key(k)} = {_value(v, where=where)}' for k, v in value.items())}}}"
    raise ConfigError(f"{where} = {value!r:.60} cannot be written as TOML; leave it out")
