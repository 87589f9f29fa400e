"""A page as plain values; `sparkweights.report.rendering` makes HTML of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkweights.core.extras import REPORT

if TYPE_CHECKING:
    from sparkweights.report.tables import Table

GOOD, BAD, PLAIN = "good", "bad", "plain"


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

    Raises
    ------
    ConfigError
        If the libraries of reports are not installed.
    """
    REPORT.require("A report needs")
    from sparkweights.report.rendering import render  # noqa: PLC0415 (optional libraries)

    return render(page)
