"""Pages as one self-contained HTML file each, and sections as cells of a notebook."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from sparkweights.report.figures.canvas import within_tags

if TYPE_CHECKING:
    from jinja2 import Template

    from sparkweights.report.page import Figure, Page, Section

_OWN_REFERENCE = re.compile(r'(\bid="|url\(#|href="#)')


def render(page: Page) -> str:
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


def fragment(section: Section) -> str:
    """Return the section's sentence and its figure, if it has one; all text is escaped."""
    parts = [Markup("<p><strong>{}</strong><br>{}</p>").format(section.title, section.sentence)]
    if section.figure is not None:
        parts += [
            Markup('<div style="max-width: 36em">{}</div>').format(
                embed(section.figure, f"cell-{section.id}")
            ),
            Markup("<p><small>{}</small></p>").format(section.figure.reading),
        ]
    return str(escape(Markup("\n").join(parts)))


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
