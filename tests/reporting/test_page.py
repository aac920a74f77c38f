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
from geoseg.reporting.calibration import temperature_text
from geoseg.reporting.charts import reliability
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
    judged = ["Accuracy", "Confidence", "Is the confidence honest?"]
    assert sections[2:5] == (judged if full else ["To do it again"][: len(sections) - 2])
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


def test_boundaries_shares_and_calibration_are_those_that_were_counted() -> None:
    card = {"temperature": 1.25, "temperature_fit": {"scenes": ["a.tif"], "ece": [0.11722, 0.06513]}}
    made = content(plan={"temperature": 1.25}, card=card)
    found = Parsed(page_of(made))
    assert made.metrics is not None
    edges, honest = made.metrics["boundary"], made.metrics["calibration"]
    for score in (edges["miou"], edges["mean_f1"], honest["ece"], *(c["f1"] for c in edges["classes"])):
        assert f"{score:.3f}" in found.text
    total = made.metrics["pixels"]
    for c in made.metrics["classes"]:
        assert f"{100 * c['truth_pixels'] / total:.1f} %" in found.text
    assert any("1.25, fitted on a.tif: error there 0.12 before, 0.065 with it" in text for text in found.text)
    diagram = next(a for a in found.of("svg") if str(a["aria-label"]).startswith("Accuracy by confidence"))
    assert str(diagram["aria-label"]).count("right") == len(honest["bins"])


def test_the_diagram_has_a_column_as_high_as_each_accuracy() -> None:
    bins = [
        {"above": 0.0, "to": 0.05, "pixels": 3, "confidence": 0.04, "accuracy": 0.0},
        {"above": 0.95, "to": 1.0, "pixels": 5, "confidence": 0.99, "accuracy": 0.8},
    ]
    plot, first, last = Parsed(reliability("diagram", bins, color=(1, 2, 3))).of("rect")
    side, bottom = float(str(plot["height"])), float(str(plot["y"])) + float(str(plot["height"]))
    assert float(str(first["height"])) == 0
    assert float(str(last["height"])) == pytest.approx(0.8 * side, abs=0.1)
    assert float(str(last["y"])) + float(str(last["height"])) == pytest.approx(bottom, abs=0.1)
    right = float(str(plot["x"])) + side
    assert right - 0.05 * side < float(str(last["x"])) < float(str(last["x"])) + float(str(last["width"])) <= right


@pytest.mark.parametrize(
    ("plan", "card", "said"),
    [
        ({}, {"temperature": 1.0}, ""),
        ({"temperature": 1.0}, {"temperature": 1.0, "temperature_fit": {}}, "none was fitted"),
        ({"temperature": 1.5}, {"temperature": 2.0, "temperature_fit": {"scenes": ["a"], "ece": [1, 0]}}, "1.5."),
    ],
    ids=["an old store", "as it ships", "another card's"],
)
def test_no_fit_is_claimed_that_was_not_made(plan: dict[str, float], card: dict[str, object], said: str) -> None:
    found = temperature_text(content(plan=plan, card=card))
    assert said in found
    assert bool(found) == bool(said)
    assert "fitted on" not in found


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
