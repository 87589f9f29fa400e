"""The base of all figures: a palette that a page's light or dark theme replaces, and plain SVG."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.typing import RcKeyType

INK, MUTED, LINE = "#1b2733", "#52606d", "#d5dbe1"
ACCENT, SECOND, FAINT, BAD = "#1f5fa8", "#b45309", "#7d8894", "#b3261e"
TOKENS = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    ACCENT: "accent",
    SECOND: "second",
    FAINT: "faint",
    BAD: "bad",
}
WIDTH = 4.4  # inches: on a telephone of 390 px its text is 11 px high, on a desk 15
BAR, MARGIN = 0.3, 0.55  # inches per bar, and around all bars
LONGEST = 22  # characters of a name beside a bar; the figure's table has the whole name
_STYLE: dict[RcKeyType, object] = {
    "svg.fonttype": "none",  # text stays text in the page's font
    "svg.hashsalt": "sparkweights",  # element ids are the same in every run
    "text.parse_math": False,  # a dollar sign in a column's name is no formula
    "axes.unicode_minus": False,
    "font.family": "DejaVu Sans",  # part of matplotlib: the same text sizes everywhere
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
_STYLE_ELEMENT = re.compile(r"<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")  # text and attributes have their < and > escaped
_IDENTIFIER = re.compile(r' id="([^"]*)"')
_COLOUR = re.compile(r"(?<=fill: |roke: )(" + "|".join(TOKENS) + ")")
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def draw(paint: Callable[[Axes], None], height: float = 3.0) -> str:
    """Return what ``paint`` draws as an SVG element; the same drawing gives the same bytes.

    Parameters
    ----------
    paint
        Draws on the axes, with this module's colours.
    height
        In inches.

    Returns
    -------
    str
        ``<svg ...>...</svg>`` without fixed size, script or reference to anything outside; its
        colours are CSS variables that fall back to this module's.
    """
    from matplotlib import rc_context  # noqa: PLC0415 (slow, and only figures need it)
    from matplotlib.figure import Figure  # noqa: PLC0415 (slow, and only figures need it)

    with rc_context(_STYLE), warnings.catch_warnings():
        # The page's font draws the text; matplotlib's own only measures it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        paint(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    return _with_css_variables(_stripped(buffer.getvalue()))


def _stripped(text: str) -> str:
    """Return the SVG element without styles and size, and with only those ids that it refers to."""
    svg = _STYLE_ELEMENT.sub("", text[text.index("<svg") :])
    root_end = svg.index(">")
    root = re.sub(r' (width|height)="[^"]*"', "", svg[:root_end])
    svg = root + svg[root_end:]
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    svg = within_tags(
        svg,
        lambda tag: _IDENTIFIER.sub(lambda match: match[0] if match[1] in used else "", tag),
    )
    return svg.strip()


def _with_css_variables(svg: str) -> str:
    return within_tags(
        svg,
        lambda tag: _COLOUR.sub(lambda match: f"var(--{TOKENS[match[1]]}, {match[1]})", tag),
    )


def within_tags(svg: str, change: Callable[[str], str]) -> str:
    """Return the SVG with its tags changed and its text, which users wrote, left alone."""
    return _TAG.sub(lambda match: change(match[0]), svg)


def short(name: str) -> str:
    """Return a name on one line, truncated to `LONGEST` characters."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return flat if len(flat) <= LONGEST else flat[: LONGEST - 1] + "\u2026"


def legend_above(axes: Axes, columns: int = 2) -> None:
    """Put the legend above the axes, where it covers no data."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        borderaxespad=0.3,
        handlelength=1.6,
        columnspacing=1.2,
        labelcolor=MUTED,
    )
