"""Draw the pictures of the README and the documentation.

    python pipelines/pictures.py
    python pipelines/pictures.py --out elsewhere --seed 7

`make pictures` does it. All show geoseg's own synthetic world, mapped by its default model, so anybody may use them:
`classes.png` is a scene beside its classes, `polygons.png` a corner of it under the polygons that `geoseg export`
makes. Pictures are reduced to few colours, so that the repository stays small.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import numpy as np
import pyogrio
import rasterio
import shapely
from PIL import Image, ImageDraw, ImageFont
from rasterio.enums import Resampling
from rasterio.transform import Affine

import geoseg
from geoseg.legend import Legend
from geoseg.models.bundle import open_bundle

ROOT = Path(__file__).resolve().parent.parent
SIDE = (440, 330)
"""Width and height at which scene and classes are drawn; the scene itself is twice as wide and high."""
CORNER, ZOOM = (200, 150), 4
"""Pixels of the scene under the polygons, and how large one is drawn."""
GAP, LINE = 8, 26
FONT = ImageFont.load_default(size=14)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "docs" / "pictures", help="Folder.")
@click.option("--seed", default=21, show_default=True, help="Another seed is another country.")
def main(out: Path, seed: int) -> None:
    """Make the scene, its map and its polygons, and draw them into OUT."""
    out.mkdir(parents=True, exist_ok=True)
    legend = open_bundle(None).card.legend
    with tempfile.TemporaryDirectory() as folder:
        scene, classes, polygons = (Path(folder) / name for name in ("scene.tif", "map.tif", "map.gpkg"))
        geoseg.synth(scene, width=2 * SIDE[0], height=2 * SIDE[1], seed=seed)
        geoseg.predict(scene, outputs=[classes])
        geoseg.export(classes, [polygons], min_area=20, simplify=3)
        _save(beside(scene, classes, legend), out / "classes.png", colors=128)
        _save(outlined(scene, polygons, legend), out / "polygons.png", colors=128)


def beside(scene: Path, classes: Path, legend: Legend) -> Image.Image:
    """Scene and classes, left and right, over the legend."""
    width, height = SIDE
    picture = Image.new("RGB", (2 * width + GAP, height + LINE), "white")
    with rasterio.open(scene) as source, rasterio.open(classes) as target:
        pixels = source.read(out_shape=(source.count, height, width), resampling=Resampling.average)
        ids = target.read(1, out_shape=(height, width), resampling=Resampling.mode)
    table = np.full((256, 3), 255, np.uint8)
    table[list(legend.ids)] = legend.colors
    picture.paste(Image.fromarray(np.moveaxis(pixels, 0, -1)), (0, 0))
    picture.paste(Image.fromarray(table[ids]), (width + GAP, 0))
    draw_legend(ImageDraw.Draw(picture), legend, top=height)
    return picture


def outlined(scene: Path, polygons: Path, legend: Legend) -> Image.Image:
    """A corner of the scene, each polygon tinted and outlined in its class's colour."""
    width, height = (ZOOM * side for side in CORNER)
    with rasterio.open(scene) as source:
        pixels = source.read(window=((0, CORNER[1]), (0, CORNER[0])))
        to_picture = Affine.scale(ZOOM) * ~source.transform
    ground = Image.fromarray(np.moveaxis(pixels, 0, -1)).resize((width, height), Image.Resampling.BICUBIC)
    tint = ground.copy()
    brush = ImageDraw.Draw(tint)
    colors = dict(zip(legend.ids, legend.colors, strict=True))
    _, _, shapes, (ids,) = pyogrio.raw.read(polygons, layer="classes", columns=["class_id"])
    rings = []
    # the largest first: what lies in another polygon's hole is drawn over it
    for shape, class_id in sorted(zip(shapely.from_wkb(shapes), ids, strict=True), key=lambda each: -each[0].area):
        color = colors[int(class_id)]
        brush.polygon([to_picture * point for point in shape.exterior.coords], fill=color)
        rings += [([to_picture * point for point in ring.coords], color) for ring in (shape.exterior, *shape.interiors)]
    picture = Image.blend(ground, tint, 0.35)
    brush = ImageDraw.Draw(picture)
    for ring, color in rings:
        brush.line(ring, fill=color, width=2, joint="curve")
    framed = Image.new("RGB", (width, height + LINE), "white")
    framed.paste(picture, (0, 0))
    draw_legend(ImageDraw.Draw(framed), legend, top=height)
    return framed


def draw_legend(brush: ImageDraw.ImageDraw, legend: Legend, *, top: int) -> None:
    """A row of coloured squares and names."""
    left = 0
    for one in legend:
        brush.rectangle((left, top + 8, left + 12, top + 20), fill=one.color)
        brush.text((left + 18, top + 5), one.name, fill="black", font=FONT)
        left += 18 + int(FONT.getlength(one.name)) + 24


def _save(picture: Image.Image, path: Path, *, colors: int) -> None:
    few = picture.quantize(colors, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    click.echo(f"wrote  {path}  {path.stat().st_size / 1000:.0f} kB", err=True)


if __name__ == "__main__":
    main()
