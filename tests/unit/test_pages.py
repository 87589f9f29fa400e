"""README and docs: short, complete, up to date with the code, and without a broken link."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.generate import GENERATED, PAGES, refresh
from sparkweights.config.schema import Config
from sparkweights.spec import security, settings, stream, tables
from sparkweights.weights.spec import SCHEMES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")
MAX_README_WORDS = 1_000
LINK = re.compile(r"!?\[[^\]]+\]\(([^)]+)\)")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def test_readme_is_a_front_page() -> None:
    """At most a thousand words, code and tables included."""
    assert len(README.split()) <= MAX_README_WORDS


def test_readme_opens_every_page() -> None:
    """A page that README does not link would not be found."""
    linked = set(LINK.findall(README))
    assert {f"docs/{page.name}" for page in DOCS.glob("*.md")} <= linked
    assert len(linked) > 8


@pages
def test_page_links_lead_to_files(page: Path) -> None:
    """Relative links resolve from the page's folder, and lead to a heading where they name one."""
    links = [one for one in LINK.findall(page.read_text("utf-8")) if not one.startswith("https://")]
    for link in links:
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.is_file(), link
        if heading:
            titles = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}


@pages
def test_page_generated_parts_are_up_to_date(page: Path) -> None:
    """Tables say what the code says; `make docs` writes them."""
    text = page.read_text(encoding="utf-8")
    assert refresh(text) == text, "run `make docs`"
    assert text.count("<!-- begin") == len(GENERATED.findall(text)) == text.count("<!-- end -->")


def test_generated_part_that_is_stale_is_written_anew() -> None:
    """A lost row comes back, and what is around it stays."""
    page = (DOCS / "outputs.md").read_text(encoding="utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith("| 7 |"))
    assert refresh(page.replace(row + "\n", "")) == page


def test_map_names_every_module() -> None:
    """In the part of its own package; a module that is missing cannot be found by a newcomer."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8").partition("## Map of modules")[2]
    parts = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    mapped = {
        f"{part.splitlines()[0]}/{name}"
        for part in parts
        for name in [*re.findall(r"^\| `(\w+\.py)` \| .+ \|$", part, re.MULTILINE), "__init__.py"]
    }
    modules = (ROOT / "sparkweights").rglob("*.py")
    assert mapped == {one.relative_to(ROOT).as_posix() for one in modules}


BASES = {settings.Section, settings.ColumnRange, settings.ColumnsMatching, tables.Source}


def test_configuration_page_has_a_table_for_every_section() -> None:
    """Each once, and a heading for each key at the top of the file that is a section."""
    kinds = {
        name
        for module in (settings, stream, tables, security)
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, settings.Section) and kind not in BASES
    }
    shown = [
        argument for _, name, argument, _ in GENERATED.findall(CONFIGURATION) if name == "keys"
    ]
    assert sorted(shown) == sorted([*kinds, "top"])
    headed = set(re.findall(r"^## (\w+)$", CONFIGURATION, re.MULTILINE))
    top = GENERATED.search(CONFIGURATION)
    assert top is not None
    join_names = set(re.findall(r"^\| `(\w+)` \|", top[0], re.MULTILINE))
    assert headed | join_names == set(Config.model_fields) - {"folder"}


def test_configuration_page_explains_every_scheme() -> None:
    """The names alone say too little."""
    prose = GENERATED.sub("", CONFIGURATION)
    assert re.findall(r"^\| `(\w+)` \| .+ \|$", prose, re.MULTILINE) == list(SCHEMES)


def test_pages_name_benchmarks_that_exist() -> None:
    """A figure can be measured again."""
    text = re.sub(r"\s+", " ", "\n".join(page.read_text(encoding="utf-8") for page in PAGES))
    named = re.findall(r"python -m benchmarks\.(\w+)(?: --case (\w+))?", text)
    assert len(named) >= 3
    for name, case in named:
        module, folder = ROOT / f"benchmarks/{name}.py", ROOT / f"benchmarks/{name}"
        assert module.is_file() or (folder / "__main__.py").is_file()
        if case:
            assert (folder / f"{case}.py").is_file()


def test_pictures_are_drawings_with_text() -> None:
    """Each is an SVG file of ours, without a script or anything from elsewhere."""
    shown = {
        page.parent / one
        for page in PAGES
        for one in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    }
    assert shown == set(DOCS.glob("*.svg"))
    for path in shown:
        picture = path.read_text(encoding="utf-8")
        assert picture.startswith("<svg")
        assert "<text" in picture
        assert "<script" not in picture
        assert not re.search(r'href="http', picture)


def test_pages_and_configurations_speak_of_no_machine() -> None:
    """No absolute path of a developer's machine has slipped into what users read."""
    for path in [*PAGES, *(ROOT / "conf").rglob("*.yaml")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.])/(work|tmp|root|home)/", text), path.name
