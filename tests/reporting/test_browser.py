"""The page in a browser: no error, no request, the slider moves, a phone does not scroll sideways, dark is dark."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from geoseg.reporting.page import page_of
from tests.reporting.contents import content, evil_content

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=BROWSER, args=list(ARGUMENTS))
        yield running
        running.close()


class Opened:
    """A page that is watched."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page = browser.new_context(**context).new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.route("**/*", self._route)
        self.page.goto(path.as_uri())
        self.page.wait_for_load_state("load")

    def _route(self, route: Any) -> None:
        """Lets the page itself through, and nothing else."""
        self.asked.append(route.request.url)
        route.continue_() if len(self.asked) == 1 else route.abort()

    def of(self, script: str) -> Any:
        return self.page.evaluate(script)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    target = tmp_path / "map.html"
    target.write_text(page_of(content()), encoding="utf-8")
    return target


CLIP = "getComputedStyle(document.getElementById('over')).clipPath"
TRANSFORM = "document.querySelector('.pan').style.transform"


def test_it_loads_silently_and_alone_and_its_controls_work(browser: Any, page: Path) -> None:
    seen = Opened(browser, page, viewport={"width": 1280, "height": 900})
    assert seen.asked == [page.as_uri()]
    assert seen.of("Array.from(document.images).every(i => i.complete && i.naturalWidth === 90)")
    assert "50%" in seen.of(CLIP)
    slider = seen.page.locator("#swipe")
    slider.focus()
    for _ in range(5):
        seen.page.keyboard.press("ArrowRight")
    assert "55%" in seen.of(CLIP)
    assert seen.of("document.getElementById('line').style.left") == "55%"
    assert slider.get_attribute("aria-valuetext") == "55 % scene, 45 % result"
    seen.page.get_by_label("Confidence", exact=True).check()
    shown = "Array.from(document.querySelectorAll('#over img:not([hidden])')).map(i => i.dataset.view).join()"
    assert seen.of(shown) == "confidence"
    assert seen.of("document.querySelectorAll('[data-legend]:not([hidden])').length") == 1
    seen.page.get_by_role("button", name="Zoom in").click()
    assert "scale(1.6)" in seen.of(TRANSFORM)
    seen.page.locator("#stage").focus()
    before = seen.of(TRANSFORM)
    seen.page.keyboard.press("ArrowRight")
    assert seen.of(TRANSFORM) != before
    seen.page.mouse.move(600, 400)
    seen.page.mouse.wheel(0, -200)
    seen.page.wait_for_function(f"!{TRANSFORM}.includes('scale(1.6)')")
    before = seen.of(TRANSFORM)
    seen.page.mouse.down()
    seen.page.mouse.move(560, 380)
    seen.page.mouse.up()
    assert seen.of(TRANSFORM) != before
    seen.page.get_by_role("button", name="Whole map").click()
    assert "scale(1)" in seen.of(TRANSFORM)
    assert seen.of("new Set(Array.from(document.querySelectorAll('.pan')).map(p => p.style.transform)).size") == 1
    assert seen.said == []
    assert seen.asked == [page.as_uri()]


def test_a_phone_does_not_scroll_sideways(browser: Any, page: Path) -> None:
    for target in (page, _written(page.with_name("evil.html"), page_of(evil_content()))):
        seen = Opened(browser, target, viewport={"width": 375, "height": 740}, has_touch=True, is_mobile=True)
        assert seen.of("document.documentElement.scrollWidth") == 375


def test_dark_is_dark_and_light_is_light(browser: Any, page: Path) -> None:
    found = {}
    for scheme in ("light", "dark"):
        seen = Opened(browser, page, color_scheme=scheme)
        found[scheme] = [
            seen.of(f"getComputedStyle(document.body).{what}.match(/\\d+/g).map(Number)[0]")
            for what in ("backgroundColor", "color")
        ]
    assert found["light"][0] > 200 > 80 > found["light"][1]
    assert found["dark"][0] < 80 < 200 < found["dark"][1]


def test_in_print_scene_and_result_stand_side_by_side(browser: Any, page: Path) -> None:
    seen = Opened(browser, page, viewport={"width": 1000, "height": 900})
    seen.page.emulate_media(media="print")
    left, right = seen.of(
        "Array.from(document.querySelectorAll('.layer')).map(l => l.getBoundingClientRect().toJSON())"
    )
    assert left["right"] <= right["left"]
    assert left["width"] == pytest.approx(right["width"], abs=1)
    assert left["height"] == pytest.approx(left["width"] * 60 / 90, abs=2)
    assert seen.of(CLIP) == "none"
    assert not seen.page.locator("#swipe").is_visible()


def test_hostile_names_do_not_run(browser: Any, tmp_path: Path) -> None:
    seen = Opened(browser, _written(tmp_path / "evil.html", page_of(evil_content())))
    assert seen.of("typeof window.evil") == "undefined"
    assert len(seen.asked) == 1
    assert seen.said == []


def test_the_policy_stops_what_slips_in(browser: Any, tmp_path: Path) -> None:
    """The second fence: were a name not escaped, its script would still not run, nor its picture be fetched."""
    slipped = page_of(content()).replace(
        "<footer>", "<script>window.evil = 1</script><img src='https://x.test/a'><footer>"
    )
    seen = Opened(browser, _written(tmp_path / "slipped.html", slipped))
    assert seen.of("typeof window.evil") == "undefined"
    assert len(seen.asked) == 1
    assert len(seen.said) == 2  # Chromium says that it refused both


def test_pinching_zooms(browser: Any, page: Path) -> None:
    seen = Opened(browser, page, viewport={"width": 375, "height": 740}, has_touch=True, is_mobile=True)
    box = seen.of("document.getElementById('stage').getBoundingClientRect().toJSON()")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tool = seen.page.context.new_cdp_session(seen.page)

    def touch(kind: str, apart: float | None) -> None:
        points = [] if apart is None else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        tool.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 20)
    for apart in (30, 40, 60):
        touch("touchMove", apart)
    touch("touchEnd", None)
    scale = float(seen.of(TRANSFORM).partition("scale(")[2].rstrip(")"))
    assert 2 < scale < 4
    assert seen.said == []


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
