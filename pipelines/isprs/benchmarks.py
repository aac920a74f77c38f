"""What the ISPRS 2D semantic labelling benchmarks are: their splits, their file names, and finding the files.

Splits and names as the benchmarks' organisers published them (Rottensteiner et al., ISPRS Annals I-3, 2012; the labels
of the test scenes, once withheld, are in the ``_all`` and ``COMPLETE`` archives). Files are found by name wherever they
lie, because the archives unpack into different folders.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geoseg.errors import SceneError
from geoseg.geometry.windows import Window
from geoseg.legend import Legend, LegendClass
from geoseg.raster.datasets import open_dataset
from geoseg.raster.label_codes import read_stored
from geoseg.raster.label_reading import label_reading

LEGEND = Legend(
    (
        LegendClass(id=0, name="impervious surfaces", color=(255, 255, 255)),
        LegendClass(id=1, name="building", color=(0, 0, 255)),
        LegendClass(id=2, name="low vegetation", color=(0, 255, 255)),
        LegendClass(id=3, name="tree", color=(0, 255, 0)),
        LegendClass(id=4, name="car", color=(255, 255, 0)),
        LegendClass(id=5, name="clutter", color=(255, 0, 0)),
    )
)
"""The six classes of both benchmarks; every colour is a corner of the RGB cube, black is an eroded boundary."""

CLUTTER = "clutter"
"""The class that the benchmarks' mean F1 leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark."""

    name: str
    train: tuple[str, ...]
    """Ids of the official training scenes."""
    test: tuple[str, ...]
    """Ids of the official test scenes."""
    held_out: tuple[str, ...]
    """Training scenes that are not learnt from but validated and calibrated on, unless the user names others."""
    bands: tuple[str, ...]
    gsd: float
    """Ground metres per pixel."""
    images: tuple[str, ...]
    """Names of the image files, the best first; of more bands than ``bands`` the first are read."""
    label: str
    eroded: str
    """Name of the label file without the pixels near object boundaries."""
    class_map: str
    """Name a submitted class map has."""


def _ids(words: str) -> tuple[str, ...]:
    return tuple(words.split())


POTSDAM = Benchmark(
    name="potsdam",
    train=_ids(
        "2_10 2_11 2_12 3_10 3_11 3_12 4_10 4_11 4_12 5_10 5_11 5_12"
        " 6_7 6_8 6_9 6_10 6_11 6_12 7_7 7_8 7_9 7_10 7_11 7_12"
    ),
    test=_ids("2_13 2_14 3_13 3_14 4_13 4_14 4_15 5_13 5_14 5_15 6_13 6_14 6_15 7_13"),
    held_out=("2_10", "5_11", "7_8"),
    bands=("red", "green", "blue"),
    gsd=0.05,
    images=("top_potsdam_{id}_RGB.tif", "top_potsdam_{id}_RGBIR.tif"),
    label="top_potsdam_{id}_label.tif",
    eroded="top_potsdam_{id}_label_noBoundary.tif",
    class_map="top_potsdam_{id}_class.tif",
)
VAIHINGEN = Benchmark(
    name="vaihingen",
    train=_ids("1 3 5 7 11 13 15 17 21 23 26 28 30 32 34 37"),
    test=_ids("2 4 6 8 10 12 14 16 20 22 24 27 29 31 33 35 38"),
    held_out=("5", "15", "21", "30"),
    bands=("infrared", "red", "green"),
    gsd=0.09,
    images=("top_mosaic_09cm_area{id}.tif",),
    label="top_mosaic_09cm_area{id}.tif",
    eroded="top_mosaic_09cm_area{id}_noBoundary.tif",
    class_map="top_mosaic_09cm_area{id}_class.tif",
)
BENCHMARKS = {b.name: b for b in (POTSDAM, VAIHINGEN)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The files of one scene."""

    id: str
    image: Path
    label: Path | None
    eroded: Path | None
    """Of test scenes only: nothing is learnt from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a folder holds of a benchmark."""

    train: tuple[Scene, ...]
    """Official training scenes with image and label, without the held-out ones."""
    held_out: tuple[Scene, ...]
    test: tuple[Scene, ...]
    """Official test scenes with an image, with labels or without."""
    missing: tuple[str, ...]
    """Files that are not here, of scenes that are."""
    absent: tuple[str, ...]
    """Ids of scenes of which no file is here."""


def find_scenes(folder: Path, benchmark: Benchmark, *, held_out: Sequence[str] = (), skip: Path) -> Found:
    """The scenes of a folder, files told by their names wherever below it they lie.

    Args:
        folder: where the archives were unpacked.
        benchmark: which.
        held_out: ids to hold out of the training; none for the benchmark's own, or where those are not here the last.
        skip: the pipeline's own folder, which may lie inside.

    Raises:
        SceneError: if there are fewer than two training scenes with labels, or an id to hold out is not among them.
    """
    files = _files_by_name(folder, skip=skip)
    missing: dict[str, list[str]] = {}
    train = [_find(i, benchmark, files, missing=missing) for i in benchmark.train]
    test = [_find(i, benchmark, files, missing=missing) for i in benchmark.test]
    pairs = [s for s in train if s is not None and s.label is not None]
    if len(pairs) < 2:
        raise SceneError(
            f"{folder} holds {len(pairs)} of the {len(benchmark.train)} training scenes of {benchmark.name} with image"
            f" and label, at least 2 are needed (one is held out); wanted are files such as"
            f" {benchmark.images[0].format(id=benchmark.train[0])} and {benchmark.label.format(id=benchmark.train[0])}"
        )
    chosen = _choose_held_out(pairs, benchmark, held_out)
    return Found(
        train=tuple(s for s in pairs if s.id not in chosen),
        held_out=tuple(s for s in pairs if s.id in chosen),
        test=tuple(s for s in test if s is not None),
        missing=tuple(name for names in missing.values() for name in names),
        absent=tuple(i for i in (*benchmark.train, *benchmark.test) if i not in missing),
    )


def _choose_held_out(pairs: Sequence[Scene], benchmark: Benchmark, wanted: Sequence[str]) -> set[str]:
    here = [s.id for s in pairs]
    unknown = [i for i in wanted if i not in here]
    if unknown:
        raise SceneError(
            f"cannot hold out {', '.join(unknown)}: training scenes with labels here are {', '.join(here)}"
        )
    chosen = set(wanted or [i for i in benchmark.held_out if i in here] or here[-1:])
    if len(chosen) == len(here):
        raise SceneError(f"all {len(here)} training scenes are held out, none is left to learn from: hold out fewer")
    return chosen


def _find(
    scene: str, benchmark: Benchmark, files: dict[str, list[Path]], *, missing: dict[str, list[str]]
) -> Scene | None:
    """The files of a scene; what it lacks, if it has any, goes to ``missing``. None without an image."""
    shared = benchmark.label in benchmark.images  # image and label of one name, in folders of many names

    def first(pattern: str, *, coded: bool | None = None) -> Path | None:
        name = pattern.format(id=scene)
        places = files.get(name.lower(), [])
        return next((p for p in places if coded is None or is_color_coded(p) == coded), None)

    image = next((p for name in benchmark.images if (p := first(name, coded=False if shared else None))), None)
    label = first(benchmark.label, coded=True if shared else None)
    eroded = first(benchmark.eroded) if scene in benchmark.test else None
    wanted = [(image, benchmark.images[0], "image"), (label, benchmark.label, "label")]
    if scene in benchmark.test:
        wanted.append((eroded, benchmark.eroded, "label without boundaries"))
    names = [f"{pattern.format(id=scene)} ({what})" for path, pattern, what in wanted if path is None]
    if len(names) < len(wanted):
        missing[scene] = names
    return None if image is None else Scene(id=scene, image=image, label=label, eroded=eroded)


def is_color_coded(path: Path) -> bool:
    """True if most pixels of the raster's middle are pure colours (a label), False for a photograph."""
    with label_reading(str(path), None):
        dataset = open_dataset(path)
        height, width = min(256, dataset.height), min(256, dataset.width)
        window = Window(
            row_off=(dataset.height - height) // 2, col_off=(dataset.width - width) // 2, height=height, width=width
        )
        values, _ = read_stored(dataset, window)
    pure = ((values <= 16) | (values >= 239)).all(axis=0)
    return values.dtype == np.uint8 and len(values) == 3 and bool(pure.mean() > 0.5)


def _files_by_name(folder: Path, *, skip: Path) -> dict[str, list[Path]]:
    """Every TIFF below a folder by its name in lower case, in the order of the paths; links are followed once."""
    found: dict[str, list[Path]] = {}
    seen = {skip.resolve()}
    for root, folders, names in os.walk(folder, followlinks=True):
        here = Path(root).resolve()
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            if name.lower().endswith((".tif", ".tiff")) and not name.startswith("."):
                found.setdefault(name.lower(), []).append(Path(root, name).absolute())
    return found
