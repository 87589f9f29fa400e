"""Line figures: ROC, precision-recall, reliability, cost by threshold, tuning."""

from __future__ import annotations

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
from sparkweights.report.numbers import amount, number, percent
from sparkweights.report.tables import Table, sample_points, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = tuple[float, float]
MAX_ROWS = 25  # of a curve's table
_RARE = 0.05  # smaller thresholds would share a twentieth of a linear axis


@dataclass(frozen=True)
class Roc:
    """A ROC curve.

    Attributes
    ----------
    points
        (false positive rate, recall), in order.
    operating
        Where the decisions taken lie, or None.
    slope
        Of the iso-cost line, (1 - pi) C_FP / (pi C_FN), or None where costs differ by row.
    """

    points: tuple[Point, ...]
    operating: Point | None = None
    slope: float | None = None


def draw_roc(record: Roc) -> str:
    """Draw the curve, chance, the operating point, and the line of equal cost through it."""

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], ":", color=FAINT, linewidth=1, label="chance")
        axes.plot(*zip(*record.points, strict=True), color=ACCENT, label="this model")
        if record.operating is not None:
            if record.slope is not None:
                axes.axline(
                    record.operating,
                    slope=record.slope,
                    color=SECOND,
                    linestyle="--",
                    linewidth=1.2,
                    label="equal cost",
                )
            axes.plot(*record.operating, "o", color=INK, label="decisions taken")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.set(xlabel="false positive rate")
        axes.set(ylabel="recall (true positive rate)")
        legend_above(axes)

    return draw(paint, height=4)


def roc_table(record: Roc) -> Table:
    """Return the curve's points, at most `MAX_ROWS` of them, and the decisions taken."""
    rows = [
        ("curve", percent(false_positive_rate), percent(recall))
        for false_positive_rate, recall in sample_points(record.points, MAX_ROWS)
    ]
    if record.operating is not None:
        x, y = record.operating
        rows.append(("decisions taken", percent(x), percent(y)))
    return table("Points of the ROC curve", ("point", "false positive rate", "recall"), rows)


@dataclass(frozen=True)
class PrecisionRecall:
    """A precision-recall curve: (recall, precision), the class's share, the decisions taken."""

    points: tuple[Point, ...]
    share: float
    operating: Point | None = None


def draw_precision_recall(record: PrecisionRecall) -> str:
    """Draw the curve and the precision of a random ranking."""

    def paint(axes: Axes) -> None:
        axes.axhline(record.share, color=FAINT, linestyle=":", linewidth=1, label="chance")
        axes.plot(*zip(*record.points, strict=True), color=ACCENT, label="this model")
        if record.operating is not None:
            axes.plot(*record.operating, "o", color=INK, label="decisions taken")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
        axes.set(xlabel="recall (true positive rate)")
        axes.set(ylabel="precision")
        legend_above(axes, columns=3)

    return draw(paint)


def precision_recall_table(record: PrecisionRecall) -> Table:
    """Return the curve's points, at most `MAX_ROWS` of them, and the decisions taken."""
    rows = [
        ("curve", percent(recall), percent(precision))
        for recall, precision in sample_points(record.points, MAX_ROWS)
    ]
    if record.operating is not None:
        x, y = record.operating
        rows.append(("decisions taken", percent(x), percent(y)))
    return table("Points of the precision-recall curve", ("point", "recall", "precision"), rows)


@dataclass(frozen=True)
class Reliability:
    """Predicted and observed shares, by groups of rows.

    Attributes
    ----------
    after
        Per group of rows: weight, mean probability, share that is of the class.
    before
        The same for probabilities that were not corrected, or empty.
    """

    after: tuple[tuple[float, float, float], ...]
    before: tuple[tuple[float, float, float], ...] = ()


def draw_reliability(record: Reliability) -> str:
    """Draw the observed share against the probability, with the diagonal of perfect calibration."""
    top = 1.06 * max(max(p, share) for _, p, share in (*record.after, *record.before))
    top = min(top, 1.02) or 1.0

    def paint(axes: Axes) -> None:
        axes.plot([0, top], [0, top], ":", color=FAINT, linewidth=1, label="as predicted")
        if record.before:
            _, x, y = zip(*record.before, strict=True)
            axes.plot(x, y, "s--", color=SECOND, mfc="none", linewidth=1, label="uncorrected")
        _, x, y = zip(*record.after, strict=True)
        axes.plot(x, y, "o-", color=ACCENT, ms=5, label="corrected")
        axes.set(xlim=(-0.02 * top, top), ylim=(-0.02 * top, top))
        axes.set(xlabel="mean predicted probability", ylabel="observed share")
        legend_above(axes, columns=3)

    return draw(paint, height=3.5)


def reliability_table(record: Reliability) -> Table:
    """Return one row per group."""
    header = ("group", "rows", "predicted", "observed")
    groups = [
        (f"{name}, {position}", f"{weight:,.0f}", percent(p), percent(share))
        for name, side in (("uncorrected", record.before), ("corrected", record.after))
        for position, (weight, p, share) in enumerate(side, 1)
    ]
    return table("Predicted and observed, by groups of rows", header, groups)


@dataclass(frozen=True)
class ThresholdCost:
    """The cost of each threshold of the probability.

    Attributes
    ----------
    points
        (threshold, cost of all test rows), in order of the threshold.
    model_cost
        Cost of the decisions taken.
    model_threshold
        Their threshold, or None where it differs from row to row.
    """

    points: tuple[Point, ...]
    model_cost: float | None = None
    model_threshold: float | None = None

    @property
    def best(self) -> Point:
        """The cheapest single threshold and its cost."""
        return min(self.points, key=lambda point: point[1])

    @property
    def at_half(self) -> Point:
        """The threshold of the curve nearest to 1/2, and its cost."""
        return min(self.points, key=lambda point: abs(point[0] - 0.5))


def draw_threshold_cost(record: ThresholdCost) -> str:
    """Draw cost against threshold; mark the cheapest, the one near 1/2, and the decisions taken."""

    def paint(axes: Axes) -> None:
        axes.plot(*zip(*record.points, strict=True), color=ACCENT)
        best, half = record.best, record.at_half
        axes.plot(*best, "D", color=SECOND, label=f"cheapest threshold, {number(best[0])}")
        axes.plot(*half, "s", color=FAINT, label=f"threshold {number(half[0])}")
        if record.model_cost is not None and record.model_threshold is not None:
            axes.plot(
                record.model_threshold, record.model_cost, "o", color=INK, label="decisions taken"
            )
        elif record.model_cost is not None:
            axes.axhline(
                record.model_cost,
                color=INK,
                linestyle="--",
                linewidth=1,
                label="this model, by row",
            )
        if best[0] < _RARE:
            axes.set_xscale("log")
        axes.set(xlabel="threshold of the probability", ylabel="cost of all test rows")
        axes.yaxis.set_major_formatter(lambda value, _: _with_unit(value))
        legend_above(axes)

    return draw(paint, height=3.1)


def _with_unit(value: float) -> str:
    """Write a large amount in thousands, millions or billions."""
    for size, unit in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:,.4g} {unit}"
    return f"{value:,.4g}"


def threshold_cost_table(record: ThresholdCost) -> Table:
    """Return the curve's points and what is marked on it."""
    rows = [("curve", number(x), amount(y)) for x, y in sample_points(record.points, MAX_ROWS)]
    rows.append(("cheapest threshold", number(record.best[0]), amount(record.best[1])))
    rows.append(("nearest to 0.5", number(record.at_half[0]), amount(record.at_half[1])))
    if record.model_cost is not None:
        threshold = "" if record.model_threshold is None else number(record.model_threshold)
        rows.append(("decisions taken", threshold, amount(record.model_cost)))
    return table("Cost against the threshold", ("point", "threshold", "cost"), rows)


@dataclass(frozen=True)
class TuningCurve:
    """The cost of weighted candidates by weight ratio.

    Attributes
    ----------
    trials
        (weight ratio, cost of a held-out row, standard error of the difference from the cheapest).
    chosen
        (weight ratio, cost), or None where the configured scheme was chosen.
    references
        Scheme -> its ratio on these rows.
    """

    trials: tuple[tuple[float, float, float], ...]
    chosen: Point | None
    references: tuple[tuple[str, float], ...] = ()


def draw_tuning(record: TuningCurve) -> str:
    """Draw the cost of a held-out row against the weight ratio, with errors."""

    def paint(axes: Axes) -> None:
        axes.set_xscale("log")
        ratios, costs, errors = zip(*record.trials, strict=True)
        axes.errorbar(ratios, costs, yerr=errors, color=ACCENT, marker="o", capsize=3, ms=5)
        for name, ratio in record.references:
            axes.axvline(ratio, color=FAINT, linestyle=":", linewidth=1)
            axes.text(
                ratio,
                0.99,
                f" {short(name)}",
                rotation=90,
                va="top",
                ha="right",
                transform=axes.get_xaxis_transform(),
                fontsize=8,
            )
        if record.chosen is not None:
            axes.plot(*record.chosen, "o", ms=12, mfc="none", mec=INK, mew=1.6)
        axes.margins(y=0.25)
        axes.set(xlabel="weight ratio, rarest over commonest (log)")
        axes.set(ylabel="cost of a held-out row")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")

    return draw(paint)


def tuning_table(record: TuningCurve) -> Table:
    """Return one row per candidate, and the ratios of the schemes."""
    rows = [
        (
            "chosen" if record.chosen and record.chosen[0] == ratio else "tried",
            number(ratio),
            amount(cost),
            amount(error),
        )
        for ratio, cost, error in record.trials
    ]
    rows += [(f"scheme {name}", number(ratio), "", "") for name, ratio in record.references]
    return table(
        "Cost against the weight ratio",
        ("what", "ratio", "cost of a row", "standard error of the difference"),
        rows,
    )
