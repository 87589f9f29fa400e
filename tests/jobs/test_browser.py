"""The reports in a real browser: offline, at two widths, in both colour schemes, and audited."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Shop
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDTHS = (1280, 390)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium; see .ci/browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium once."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )
        yield started
        started.close()


def _reports(folder: Path) -> dict[str, Path]:
    version = (folder / "out" / "models" / "current").read_text(encoding="utf-8").strip()
    return {
        "model": folder / "out" / "models" / version / "report.html",
        "run": next((folder / "out" / "runs").glob("*/report.html")),
    }


each_report = pytest.mark.parametrize("name", ["model", "run"])
each_scheme = pytest.mark.parametrize("scheme", ["light", "dark"])


@each_scheme
@each_report
def test_report_any_is_whole_readable_and_accessible(
    shop: Shop, browser: Browser, name: str, scheme: Any
) -> None:
    """No request, no error, every chart within the page at 1280 and 390 pixels, no finding."""
    _read(_reports(shop.folder)[name], browser, scheme)


@pytest.mark.slow
@each_scheme
@each_report
def test_demo_report_is_whole_readable_and_accessible(
    demo: Path, browser: Browser, name: str, scheme: Any
) -> None:
    """As those of a small lender, with reasons and longer names."""
    _read(_reports(demo)[name], browser, scheme)


def _read(place: Path, browser: Browser, scheme: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    assert place.stat().st_size < 3_000_000
    context = browser.new_context(offline=True, color_scheme=scheme)
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(place.as_uri())
        charts = page.locator("figure svg").all()
        assert len(charts) >= 2
        for chart in charts:
            chart.scroll_into_view_if_needed()
            box = chart.bounding_box()
            assert box is not None
            assert box["width"] >= 0.5 * min(width, 600)
            assert box["height"] > 80
            assert 0 <= box["x"] <= box["x"] + box["width"] <= width + 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    assert set(asked) == {place.as_uri()}
    assert said == []
    context.close()


@pytest.mark.slow
def test_model_report_answers_a_risk_managers_questions(demo: Path, browser: Browser) -> None:
    """Ten findings, each behind an entry of the table of contents."""
    page = browser.new_context(offline=True).new_page()
    page.goto(_reports(demo)["model"].as_uri())
    contents = page.locator("nav a").all()
    linked = {
        link.inner_text().strip(): page.locator(link.get_attribute("href") or "").inner_text()
        for link in contents
    }
    for title, words in FINDINGS.items():
        entry = next((text for text in linked if re.search(title, text)), None)
        assert entry is not None, f"{title} not in {sorted(linked)}"
        assert re.search(words, linked[entry], re.DOTALL), f"{entry}: {linked[entry][:800]}"


# What a manager asks -> the entry of the contents, and what its section says.
FINDINGS = {
    "Cost of the decisions": r"saves? 3\d\.\d %",  # what is it worth?
    "Training": r"14,4\d\d",  # from which rows?
    "Class balance": r"share",  # how did the weights shift the classes?
    "Confusion matrix": r"default, \d\d\.\d %",  # whom does it catch?
    "Cost by decision and class: which": r"Cost by decision and class",  # where is cost still lost?
    "Calibration": r"mean probability of default is 2\d\.\d %",  # are they calibrated?
    "Cost curve": r"cheapest single threshold",  # would another threshold be cheaper?
    "ROC curve": r"ROC",  # how well does it rank?
    "Precision-recall": r"at random, 2\d\.\d %",  # how many of the declined would default?
    "Model card": r"sex, age, marriage",  # what must it not be used on?
}
