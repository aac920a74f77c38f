"""The page is one file, says what it was given, and lets nothing in it become a script."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from geoseg.legend import IGNORE, Legend
from geoseg.reporting.page import page_of
from geoseg.reporting.pictures import CONFIDENCE_STOPS, map_uri, photo_uri, ramp
from tests.reporting.contents import EVIL, content, evil_content

VOID = {"meta", "link", "img", "input", "br"}


class Parsed(HTMLParser):
    """Elements with their attributes, the text of each, and whether all are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.misplaced: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.misplaced.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def picture(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_hostile_names_stay_text() -> None:
    page = page_of(evil_content())
    found = Parsed(page)
    assert len(found.of("script")) == 1
    assert not [a for _, a in found.elements if any(name.startswith("on") for name in a)]
    assert not [a for a in found.of("img") if not str(a["src"]).startswith("data:image/")]
    assert page.count("window.evil") == "".join(found.text).count("window.evil") + sum(
        str(value).count("window.evil") for _, attributes in found.elements for value in attributes.values()
    )
    assert found.text.count(EVIL) >= 10  # it is there, as it is written
    assert not found.misplaced
    assert not found.open


def test_only_the_own_script_may_run() -> None:
    page = page_of(content())
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = next(a["content"] for a in Parsed(page).of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert f"script-src 'sha256-{digest}'" in str(policy)
    assert "default-src 'none'" in str(policy)


@pytest.mark.parametrize("full", [True, False])
def test_the_page_is_whole_and_fetches_nothing(full: bool) -> None:
    page = page_of(content(full=full))
    found = Parsed(page)
    assert not found.misplaced
    assert not found.open
    links = [v for _, a in found.elements for k, v in a.items() if k in ("src", "href") and v is not None]
    assert all(link.startswith("data:") for link in links)
    assert "url(" not in page
    assert "@import" not in page
    sections = re.findall("<h2>(.*?)</h2>", page)
    assert sections[:2] == ["Map", "Area of each class"]
    assert sections[2:4] == (["Accuracy", "Confidence"] if full else ["To do it again"][: len(sections) - 2])
    views = [a["value"] for a in found.of("input") if a.get("type") == "radio"]
    assert views == (["classes", "errors", "confidence", "context"] if full else [])
    assert [a.get("type") for a in found.of("input")].count("range") == (1 if full else 0)
    assert all(a.get("alt") for a in found.of("img"))


def test_areas_and_scores_are_those_of_the_map() -> None:
    made = content()
    text = Parsed(page_of(made)).text
    for c in made.legend:
        assert f"{made.survey.pixels[c.id]:,}" in text
        assert f"{made.survey.pixels[c.id] * 4 / 10_000:,.4f}" in text
    assert made.metrics is not None
    assert f"{made.metrics['miou']:.3f}" in text


def test_a_map_without_any_class_has_a_report() -> None:
    made = content(full=False)
    nothing = type(made.survey)(
        pixels={}, empty=5400, areas=None, confidence=None, small_confidence=None, small_context=None, small_errors=None
    )
    page = page_of(content(full=False, survey=nothing, classes=np.full((60, 90), IGNORE, np.uint8)))
    assert "5,400 pixels have no class" in page


def test_maps_keep_their_colours() -> None:
    values = np.array([[0, 7, IGNORE], [7, 9, 0]], np.uint8)
    colors = {0: (1, 2, 3), 7: (250, 0, 9)}
    found = np.asarray(picture(map_uri(values, colors)).convert("RGBA"))
    for row, col in np.ndindex(values.shape):
        color = colors.get(int(values[row, col]))
        assert found[row, col, 3] == (0 if color is None else 255)
        if color is not None:
            assert tuple(found[row, col, :3]) == color


def test_photos_keep_their_size_and_about_their_colours() -> None:
    pixels = np.zeros((3, 40, 64), np.uint8)
    pixels[0], pixels[2] = 200, 90
    found = np.asarray(picture(photo_uri(pixels)).convert("RGB")).astype(int)
    assert found.shape == (40, 64, 3)
    assert abs(found - np.array([200, 0, 90])).max() < 12


def test_a_ramp_goes_from_its_first_to_its_last_colour() -> None:
    colors = ramp(CONFIDENCE_STOPS)
    assert list(colors) == list(range(101))
    assert (colors[0], colors[50], colors[100]) == tuple(CONFIDENCE_STOPS[i] for i in (0, 2, 4))


def test_many_classes_have_a_row_each() -> None:
    legend = Legend.numbered(40)
    text = Parsed(page_of(content(legend=legend))).text
    for name in legend.names:
        assert text.count(name) >= 4  # legend, areas, scores, confusion
