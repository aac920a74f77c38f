"""Reads a training run from TOML, strictly: an unknown key is an error, because a misspelt one would train in vain."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from geoseg.errors import ConfigError, LegendError
from geoseg.legend import Legend
from geoseg.training.config_checks import check_values, demand
from geoseg.training.settings import AugmentConfig, FitConfig, ModelConfig, SceneConfig, TrainConfig

SPLITS = ("train", "validation")

_TOP_KEYS = ("model", "legend", "scenes", "training", "augment", "output")
_T = TypeVar("_T")


def load_config(path: Path) -> TrainConfig:
    """Reads and checks a configuration; relative paths in it start at its own folder.

    Raises:
        ConfigError: if the file cannot be read, or an entry is missing, unknown or impossible; the message names it.
    """
    try:
        with path.open("rb") as stream:
            data = tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    try:
        return parse_config(data, folder=path.resolve().parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_config(data: Mapping[str, Any], *, folder: Path) -> TrainConfig:
    """The run that plain TOML data describes; relative paths start at ``folder``.

    Raises:
        ConfigError: as :func:`load_config`.
    """
    _refuse_unknown(data, known=_TOP_KEYS, where="")
    model = _section(ModelConfig, _table(data, "model"), where="model")
    if model.start:
        model = dataclasses.replace(model, start=_source(model.start, folder=folder, where="model.start"))
    training = _section(FitConfig, _table(data, "training"), where="training")
    augment = _section(AugmentConfig, data.get("augment", {}), where="augment")
    output = _table(data, "output")
    _refuse_unknown(output, known=("bundle", "work"), where="output")
    config = TrainConfig(
        model=model,
        legend=_legend(data.get("legend")),
        scenes=_scenes(data.get("scenes"), folder=folder),
        training=training,
        augment=augment,
        bundle=_target(output, "bundle", folder=folder),
        work=_target(output, "work", folder=folder),
    )
    check_values(config)
    return config


def to_json(config: TrainConfig) -> dict[str, Any]:
    """The configuration as plain values, for checkpoints and for comparing two of them."""

    def plain(value: Any) -> Any:
        if isinstance(value, Legend):
            return value.to_json()
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            return {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return str(value) if isinstance(value, Path) else value

    result: dict[str, Any] = plain(config)
    return result


def _scenes(data: Any, *, folder: Path) -> tuple[SceneConfig, ...]:
    if not isinstance(data, list) or not data:
        raise ConfigError("scenes is missing: add [[scenes]] with image = … and labels = …")
    scenes = []
    for i, entry in enumerate(data):
        where = f"scenes[{i}]"
        scene = _section(SceneConfig, entry, where=where)
        demand(scene.split in SPLITS, f"{where}.split", f"must be one of {', '.join(SPLITS)}")
        demand(scene.weight > 0, f"{where}.weight", "must be positive")
        image = _source(scene.image, folder=folder, where=f"{where}.image")
        labels = _source(scene.labels, folder=folder, where=f"{where}.labels")
        name = scene.name or Path(scene.image).stem
        scenes.append(dataclasses.replace(scene, image=image, labels=labels, name=name))
    demand(any(s.split == "train" for s in scenes), "scenes", 'must hold one with split = "train"')
    names = [s.name for s in scenes]
    twice = next((n for n in names if names.count(n) > 1), None)
    demand(twice is None, "scenes", f"must differ in name: {twice!r} stands twice; give each a name")
    return tuple(scenes)


def _legend(data: Any) -> Legend:
    if not isinstance(data, list) or not data:
        raise ConfigError("legend is missing: add [[legend]] with id = …, name = … and color = [r, g, b]")
    for i, entry in enumerate(data):
        if isinstance(entry, Mapping):
            _refuse_unknown(entry, known=("id", "name", "color"), where=f"legend[{i}]")
    try:
        return Legend.from_json(data)
    except LegendError as error:
        raise ConfigError(f"legend: {error}") from error


def _source(value: str, *, folder: Path, where: str) -> str:
    if "://" in value or value.startswith("/vsi"):
        return value
    path = folder / value
    if not path.is_file():
        raise ConfigError(f"{where} = {value!r}: there is no file {path.resolve()}")
    return str(path.resolve())


def _target(output: Mapping[str, Any], key: str, *, folder: Path) -> Path:
    value = output.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"output.{key} is missing: give a path, relative to the configuration's folder")
    return (folder / value).resolve()


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = data.get(key)
    if not isinstance(table, Mapping):
        raise ConfigError(f"the section [{key}] is missing")
    return table


def _section(kind: type[_T], table: Any, *, where: str) -> _T:
    """A dataclass from a TOML table, its fields typed as the dataclass says."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where} must be a table, not {table!r:.60}")
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    _refuse_unknown(table, known=tuple(fields), where=where)
    for name, field in fields.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and name not in table:
            raise ConfigError(f"{where}.{name} is missing")
    return kind(**{k: _convert(v, hints[k], key=f"{where}.{k}") for k, v in table.items()})


def _convert(value: Any, hint: Any, *, key: str) -> Any:
    if get_origin(hint) is UnionType:  # X | None: TOML has no null, so a value is an X
        return _convert(value, next(a for a in get_args(hint) if a is not type(None)), key=key)
    if dataclasses.is_dataclass(hint):
        return _section(hint, value, where=key)  # type: ignore[arg-type]
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"{key} is {value!r:.60}: there are {', '.join(get_args(hint))}")
        return value
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        if not isinstance(value, list) or (kinds[-1] is not Ellipsis and len(value) != len(kinds)):
            raise ConfigError(f"{key} must be a list{'' if kinds[-1] is Ellipsis else f' of {len(kinds)}'}")
        return tuple(_convert(v, kinds[0], key=f"{key}[{i}]") for i, v in enumerate(value))
    if get_origin(hint) is not None:
        hint = dict
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{key} must be of type {hint.__name__}, not {value!r:.60}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key} must be a finite number, not {value}")
    return value


def _refuse_unknown(table: Mapping[str, Any], *, known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"unknown key {f'{where}.{key}' if where else key!r}: {hint}")
