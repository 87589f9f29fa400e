"""A section of a report as HTML for one cell of a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from sparkweights.report.page import placed

if TYPE_CHECKING:
    from sparkweights.report.page import Section


def fragment(section: Section) -> str:
    """Return the section's sentence and its figure, if it has one; all text is escaped."""
    parts = [Markup("<p><strong>{}</strong><br>{}</p>").format(section.title, section.sentence)]
    if section.figure is not None:
        parts += [
            Markup('<div style="max-width: 36em">{}</div>').format(
                placed(section.figure, f"cell-{section.id}")
            ),
            Markup("<p><small>{}</small></p>").format(section.figure.reading),
        ]
    return str(escape(Markup("\n").join(parts)))
