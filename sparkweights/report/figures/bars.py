"""Figures of named amounts: balance, decisions, costs, importance, drift; and a heat table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkweights.report.figures.canvas import (
    ACCENT,
    BAD,
    BAR,
    FAINT,
    INK,
    MARGIN,
    SECOND,
    draw,
    legend_above,
    short,
)
from sparkweights.report.numbers import amount, number, percent
from sparkweights.report.tables import Table, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matplotlib.axes import Axes

MAX_BARS = 20  # columns, the most important first; the table has them all
_MARGIN, _PER_CHARACTER = 1.1, 0.035  # times the longest bar, to make space for its number


@dataclass(frozen=True)
class Balance:
    """Shares of classes, before and after something; ``series`` names the two."""

    classes: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    series: tuple[str, str] = ("share of the rows", "share of the risk")


def draw_balance(record: Balance) -> str:
    """Draw two bars per class."""
    sides = ((record.before, record.series[0], FAINT), (record.after, record.series[1], ACCENT))

    def paint(axes: Axes) -> None:
        for side, (values, name, colour) in enumerate(sides):
            at = [i + 0.38 * (side - 0.5) for i in range(len(values))]
            axes.barh(at, values, height=0.34, color=colour, label=name)
            _write(axes, at, values, percent)
        longest = max(*record.before, *record.after)
        _name_bars(axes, record.classes, longest * _axis_factor(["100.0 %"]))
        legend_above(axes)

    return draw(paint, height=2.4 * BAR * len(record.classes) + MARGIN)


def balance_table(record: Balance) -> Table:
    """Return one row per class."""
    rows = zip(record.classes, map(percent, record.before), map(percent, record.after), strict=True)
    return table("Shares of the classes", ("class", *record.series), list(rows))


@dataclass(frozen=True)
class Decisions:
    """How many rows got which decision."""

    rows: tuple[tuple[str, int], ...]


def draw_decisions(record: Decisions) -> str:
    """Draw one bar per decision."""
    total = sum(count for _, count in record.rows) or 1
    return _single(record.rows, lambda count: f"{count:,.0f} ({percent(count / total)})", [ACCENT])


def decisions_table(record: Decisions) -> Table:
    """Return one row per decision."""
    total = sum(count for _, count in record.rows) or 1
    rows = [(name, f"{count:,}", percent(count / total)) for name, count in record.rows]
    return table("Rows by decision", ("decision", "rows", "share"), rows)


@dataclass(frozen=True)
class Costs:
    """The costs of decision rules.

    Attributes
    ----------
    amounts
        (decision rule, cost, savings in words), in the order to draw.
    model, mistakes
        The rules to highlight: those of the model, and those that should not be used.
    """

    amounts: tuple[tuple[str, float, str], ...]
    model: frozenset[str] = frozenset()
    mistakes: frozenset[str] = frozenset()


def draw_costs(record: Costs) -> str:
    """Draw one bar per decision rule; shorter is better."""
    colours = [
        ACCENT if name in record.model else BAD if name in record.mistakes else FAINT
        for name, _, _ in record.amounts
    ]
    return _single([(name, cost) for name, cost, _ in record.amounts], amount, colours)


def costs_table(record: Costs) -> Table:
    """Return one row per decision rule."""
    rows = [(name, amount(cost), saved) for name, cost, saved in record.amounts]
    return table("Cost by decision rule", ("decision rule", "cost", "savings"), rows)


@dataclass(frozen=True)
class ColumnWorth:
    """The importance of a column with weights and without, and the standard errors."""

    name: str
    weighted: float
    weighted_error: float
    unweighted: float
    unweighted_error: float


def draw_importance(record: Sequence[ColumnWorth]) -> str:
    """Draw two bars per column, with standard errors."""
    shown = record[:MAX_BARS]

    def paint(axes: Axes) -> None:
        for side, (label, colour) in enumerate((("with weights", ACCENT), ("without", FAINT))):
            at = [i + 0.38 * (side - 0.5) for i in range(len(shown))]
            values = [column.unweighted if side else column.weighted for column in shown]
            errors = [
                column.unweighted_error if side else column.weighted_error for column in shown
            ]
            axes.barh(at, values, height=0.34, color=colour, label=label)
            axes.errorbar(
                values, at, xerr=errors, fmt="none", ecolor=INK, elinewidth=0.8, capsize=1.5
            )
        _name_bars(axes, [column.name for column in shown])
        axes.grid(visible=True, axis="x")
        axes.tick_params(axis="x", labelbottom=True)
        axes.set_xlabel("what a row costs more without the column")
        legend_above(axes)

    return draw(paint, height=1.5 * BAR * len(shown) + 2 * MARGIN)


def importance_table(record: Sequence[ColumnWorth]) -> Table:
    """Return one row per column."""
    rows = [
        (
            column.name,
            number(column.weighted),
            number(column.weighted_error),
            number(column.unweighted),
            number(column.unweighted_error),
        )
        for column in record
    ]
    header = ("column", "with weights", "standard error", "without", "standard error ")
    return table("What a row costs more without the column", header, rows)


@dataclass(frozen=True)
class Drift:
    """How far columns have drifted: a measure, its value per column, and a limit or None.

    ``over`` names the columns over the limit where the value alone does not decide that.
    """

    measure: str
    columns: tuple[tuple[str, float], ...]
    limit: float | None = None
    over: frozenset[str] | None = None

    def is_over(self, name: str, value: float) -> bool:
        """Return whether a column is beyond the limit, if there is one."""
        if self.limit is None:
            return False
        return value > self.limit if self.over is None else name in self.over


def draw_drift(record: Drift) -> str:
    """Draw one bar per column, those over the limit in another colour."""
    shown = record.columns[:MAX_BARS]
    limit = record.limit
    colours = [SECOND if record.is_over(name, value) else ACCENT for name, value in shown]
    return _single(shown, number, colours, limit=limit)


def drift_table(record: Drift) -> Table:
    """Return one row per column."""
    rows = [
        (
            name,
            number(value),
            "" if record.limit is None else "over" if record.is_over(name, value) else "within",
        )
        for name, value in record.columns
    ]
    return table("Drift of the features", ("column", record.measure, "limit"), rows)


@dataclass(frozen=True)
class Confusion:
    """Rows or costs by decision and class; ``unit`` says which."""

    decisions: tuple[str, ...]
    classes: tuple[str, ...]
    amounts: tuple[tuple[float, ...], ...]
    unit: str = "rows"


def draw_confusion(record: Confusion) -> str:
    """Draw a table in which larger amounts have a stronger colour."""
    largest = max((abs(value) for row in record.amounts for value in row), default=0) or 1

    def paint(axes: Axes) -> None:
        for d, row in enumerate(record.amounts):
            for c, value in enumerate(row):
                shade = 0.06 + 0.34 * abs(value) / largest
                axes.barh(d, 0.96, left=c - 0.48, height=0.92, color=ACCENT, alpha=shade)
                axes.text(
                    c, d, amount(value) if value % 1 else f"{value:,.0f}", ha="center", va="center"
                )
        axes.grid(visible=False)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.set_xticks(range(len(record.classes)), [short(name) for name in record.classes])
        axes.set_yticks(range(len(record.decisions)), [short(name) for name in record.decisions])
        axes.set(xlim=(-0.5, len(record.classes) - 0.5), ylim=(len(record.decisions) - 0.5, -0.5))
        axes.tick_params(length=0, labelcolor=INK)
        axes.set(xlabel="class", ylabel="decision")

    return draw(paint, height=0.55 * len(record.decisions) + 2 * MARGIN)


def confusion_table(record: Confusion) -> Table:
    """Return one row per decision, one column per class."""
    rows = [
        (name, *(f"{value:,.0f}" for value in row))
        for name, row in zip(record.decisions, record.amounts, strict=True)
    ]
    return table(
        f"{record.unit.capitalize()} by decision and class", ("decision", *record.classes), rows
    )


def _single(
    amounts: Sequence[tuple[str, float]],
    write: Callable[[float], str],
    colours: Sequence[str],
    *,
    limit: float | None = None,
) -> str:
    """Draw one bar per name with its number beside it."""
    names, values = [name for name, _ in amounts], [value for _, value in amounts]

    def paint(axes: Axes) -> None:
        at = list(range(len(values)))
        axes.barh(at, values, height=0.66, color=list(colours))
        _write(axes, at, values, write)
        longest = max(*values, limit or 0, 0)
        _name_bars(axes, names, longest * _axis_factor(map(write, values)))
        if limit is not None:
            axes.axvline(limit, color=INK, linestyle="--", linewidth=1, label="limit")
            legend_above(axes)

    return draw(paint, height=BAR * len(values) + MARGIN)


def _write(
    axes: Axes, at: Sequence[float], values: Sequence[float], write: Callable[[float], str]
) -> None:
    for position, value in zip(at, values, strict=True):
        axes.annotate(
            write(value),
            (max(value, 0), position),
            xytext=(4, 0),  # points
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )


def _name_bars(axes: Axes, names: Sequence[str], right: float = 0) -> None:
    """Name the bars from the top; the axis has no ticks and ends at ``right`` if that is > 0."""
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0, labelbottom=False)
    axes.grid(visible=False)
    if right > 0:
        axes.set_xlim(right=right)


def _axis_factor(texts: Iterable[str]) -> float:
    """Return the length of the axis over that of the longest bar."""
    return _MARGIN + _PER_CHARACTER * max(map(len, texts), default=0)
