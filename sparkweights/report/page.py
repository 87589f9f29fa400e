"""A page as plain values, and its rendering as one self-contained HTML file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from sparkweights.report.figures.canvas import within_tags

if TYPE_CHECKING:
    from jinja2 import Template

    from sparkweights.report.tables import Table

GOOD, BAD, PLAIN = "good", "bad", "plain"
_OWN_REFERENCE = re.compile(r'(\bid="|url\(#|href="#)')


@dataclass(frozen=True)
class Figure:
    """A drawing with its accessible name, description and numbers.

    Attributes
    ----------
    svg
        An element of `sparkweights.report.figures`; it goes into the page as it is.
    label
        What it shows, in a few words: its accessible name.
    reading
        One sentence that says how to read it.
    table
        The numbers behind it.
    """

    svg: str
    label: str
    reading: str
    table: Table


@dataclass(frozen=True)
class Section:
    """A section of a page: a subject and its result.

    Attributes
    ----------
    id
        The anchor: letters, digits and hyphens, unique on a page.
    title, sentence
        The subject, with the field's term first, and the result in words.
    figure, table
        A drawing and numbers, or None.
    body
        More paragraphs.
    """

    id: str
    title: str
    sentence: str
    figure: Figure | None = None
    table: Table | None = None
    body: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fact:
    """A key figure: its name, its value, what it means, and whether it is good or bad."""

    name: str
    value: str
    note: str = ""
    tone: str = PLAIN


@dataclass(frozen=True)
class Page:
    """The content of a report, in reading order."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    facts: tuple[Fact, ...] = ()


def render_page(page: Page) -> str:
    """Return the page as one HTML file.

    It fetches nothing and runs nothing (its content security policy forbids both), follows the
    reader's choice of light or dark, prints, and gives every figure a name and a table. All text
    is escaped: names of columns and classes come from users.
    """
    return _template().render(page=page)


def embed(figure: Figure, prefix: str) -> Markup:
    """Return a figure's SVG with its name, and with ids that no other figure of the page has.

    Parameters
    ----------
    prefix
        An id of the page, such as the section's.
    """
    svg = within_tags(figure.svg, lambda tag: _OWN_REFERENCE.sub(rf"\g<1>{prefix}-", tag))
    opening = svg.index(">") + 1
    name, reading = f"{prefix}-name", f"{prefix}-reading"
    head = Markup(
        '{} role="img" aria-labelledby="{}" aria-describedby="{}">'
        '<title id="{}">{}</title><desc id="{}">{}</desc>'
    ).format(
        Markup(svg[: opening - 1]),  # noqa: S704 (drawn by this package; its text is escaped)
        *(name, reading, name, figure.label, reading, figure.reading),
    )
    return head + Markup(svg[opening:])  # noqa: S704 (drawn by this package; its text is escaped)


@cache
def _template() -> Template:
    here = resources.files("sparkweights.report")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = here.joinpath("page.css").read_text(encoding="utf-8")
    environment.globals.update(
        style=Markup(style),  # noqa: S704 (a file of this package)
        embed=embed,
    )
    environment.filters["paragraph"] = _breakable
    return environment.from_string(here.joinpath("page.html").read_text(encoding="utf-8"))


def _breakable(text: str) -> Markup:
    """Escape text, and let long names break after an underscore or a slash."""
    return Markup(re.sub(r"([_/])(?=\w)", r"\1<wbr>", str(escape(text))))  # noqa: S704 (escaped here)
