"""Charts as SVG text, drawn by matplotlib from records; the same record gives the same bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

INK, ACCENT, FAINT = "#333333", "#1f5fa8", "#9a9a9a"
_SIZE = (7.2, 4.2)  # inches
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, for search and for screen readers
    "svg.hashsalt": "sparkweights",  # element ids repeat
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def tuning_curve(record: Mapping[str, Any]) -> str:
    """Draw the cost of a held-out row against the weight ratio, with standard errors.

    Parameters
    ----------
    record
        Of the tuning stage. Where parameters were tried too, the chosen ones are drawn.
    """
    from matplotlib import rc_context  # noqa: PLC0415 (slow, and only charts need it)
    from matplotlib.figure import Figure  # noqa: PLC0415 (as above)

    chosen = record["chosen"]
    own = [trial for trial in record["trials"] if trial["params"] == chosen["params"]]
    curve = [trial for trial in own if trial["ratio"] is not None]
    with rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.errorbar(
            [trial["ratio"] for trial in curve],
            [trial["cost"] for trial in curve],
            yerr=[trial["standard_error"] for trial in curve],
            color=ACCENT,
            marker="o",
            capsize=3,
        )
        for name, ratio in record["references"].items():
            axes.axvline(ratio, color=FAINT, linestyle=":", linewidth=1)
            axes.text(
                ratio, 1, f" {name}", rotation=90, va="top", transform=axes.get_xaxis_transform()
            )
        if chosen["ratio"] is not None:
            axes.plot(chosen["ratio"], chosen["cost"], "o", ms=12, mfc="none", mec=INK)
        axes.set_xlabel("weight ratio, rarest class over commonest (log scale); circle: chosen")
        axes.set_ylabel("cost of a held-out row")
        axes.set_title("What weighting is worth", loc="left")
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
