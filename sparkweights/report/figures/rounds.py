"""Figures of a training in rounds: the loss by class, and the gradients of the steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkweights.report.figures.canvas import (
    ACCENT,
    FAINT,
    INK,
    SECOND,
    draw,
    legend_above,
    short,
)
from sparkweights.report.numbers import number, percent
from sparkweights.report.tables import Table, sample_points, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

MAX_ROWS = 25  # of a table
MAX_CLASSES = 4  # with a line each; the table has them all
_STYLES = (":", "--", "-.", (0, (1, 3)))


@dataclass(frozen=True)
class LossByRound:
    """The loss at the start of each round.

    Attributes
    ----------
    losses
        The objective.
    classes
        Class name -> mean loss of its rows.
    kept
        After how many rounds the model was taken; None for the last one.
    """

    losses: tuple[float, ...]
    classes: dict[str, tuple[float, ...]]
    kept: int | None = None


def draw_loss_by_round(record: LossByRound) -> str:
    """Draw the objective, and the loss of each class, against the round."""

    def paint(axes: Axes) -> None:
        rounds = range(1, len(record.losses) + 1)
        axes.plot(rounds, record.losses, "-", color=ACCENT, label="all rows, and penalty")
        named = list(record.classes.items())[:MAX_CLASSES]
        for (name, losses), style in zip(named, _STYLES, strict=False):
            axes.plot(rounds, losses, color=SECOND, linestyle=style, label=short(name))
        if record.kept is not None:
            axes.axvline(record.kept + 0.5, color=INK, linewidth=1, label="model taken here")
        _by_round(
            axes, "mean loss (log)", [*record.losses, *(v for _, all_ in named for v in all_)]
        )

    return draw(paint, height=3.3)


def loss_table(record: LossByRound) -> Table:
    """Return the losses of at most `MAX_ROWS` rounds."""
    by_class = zip(*record.classes.values(), strict=True)
    rows = [
        (str(round_), *map(number, (loss, *losses)))
        for round_, (loss, losses) in enumerate(zip(record.losses, by_class, strict=True), 1)
    ]
    return table(
        "Loss at the start of each round",
        ("round", "objective", *record.classes),
        sample_points(rows, MAX_ROWS),
    )


@dataclass(frozen=True)
class GradientsByRound:
    """The gradients of each round's steps.

    Attributes
    ----------
    norms
        Norm of their mean, before clipping.
    deviations
        Square root of their variance; NaN with one step a round.
    largest
        The largest norm after clipping.
    clipped
        Share of the steps that were clipped.
    """

    norms: tuple[float, ...]
    deviations: tuple[float, ...]
    largest: tuple[float, ...]
    clipped: tuple[float, ...]


def draw_gradients_by_round(record: GradientsByRound) -> str:
    """Draw norm, standard deviation and largest step against the round."""

    def paint(axes: Axes) -> None:
        rounds = range(1, len(record.norms) + 1)
        axes.plot(rounds, record.norms, "-", color=ACCENT, label="norm of the mean")
        if any(map(math.isfinite, record.deviations)):
            axes.plot(rounds, record.deviations, "--", color=SECOND, label="standard deviation")
        axes.plot(rounds, record.largest, ":", color=FAINT, label="largest, after clipping")
        _by_round(axes, "gradient (log)", [*record.norms, *record.deviations, *record.largest])

    return draw(paint)


def gradients_table(record: GradientsByRound) -> Table:
    """Return the gradients of at most `MAX_ROWS` rounds."""
    header = ("round", "norm of the mean", "standard deviation", "largest step", "steps clipped")
    measures = zip(record.norms, record.deviations, record.largest, strict=True)
    rows = [
        (str(round_), *map(_show, values), percent(clipped))
        for round_, (values, clipped) in enumerate(zip(measures, record.clipped, strict=True), 1)
    ]
    return table("Gradients of each round", header, sample_points(rows, MAX_ROWS))


def _show(value: float) -> str:
    return number(value) if math.isfinite(value) else ""


def _by_round(axes: Axes, label: str, values: Sequence[float]) -> None:
    if all(value > 0 for value in values if math.isfinite(value)):
        axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda *_: "")
    axes.locator_params(axis="x", integer=True)
    axes.set(xlabel="round", ylabel=label)
    legend_above(axes)
