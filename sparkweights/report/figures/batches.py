"""The figure of a stream: cost, prior and drift by micro-batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkweights.report.figures.canvas import (
    ACCENT,
    BAD,
    FAINT,
    INK,
    SECOND,
    draw,
    legend_above,
)
from sparkweights.report.numbers import amount, percent
from sparkweights.report.tables import Table, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_ROWS = 25  # of a table: the latest micro-batches


@dataclass(frozen=True)
class CostByBatch:
    """What micro-batches cost, and which share of the rarest class they were decided for.

    Attributes
    ----------
    batches
        Their numbers, in order.
    decided, constant
        Expected cost of a row by the decisions taken, and by the least costly single decision for
        all rows of the micro-batch; NaN without rows.
    realised
        Realised cost of a row whose outcome came in the micro-batch; NaN without outcomes.
    rare, shares
        The rarest class, and its share.
    changes
        The micro-batches after which a drift began.
    """

    batches: tuple[int, ...]
    decided: tuple[float, ...]
    constant: tuple[float, ...]
    realised: tuple[float, ...]
    rare: str
    shares: tuple[float, ...]
    changes: tuple[int, ...] = ()


def draw_cost_by_batch(record: CostByBatch) -> str:
    """Draw costs against the micro-batch, the share on an axis of its own, and each drift."""

    def paint(axes: Axes) -> None:
        batches = record.batches
        axes.plot(batches, record.constant, "--", color=FAINT, label="one decision for all")
        axes.plot(batches, record.decided, ".-", color=ACCENT, label="expected")
        axes.plot(batches, record.realised, "o", color=INK, ms=4, mfc="none", label="realised")
        axes.plot([], [], ":", color=SECOND, label="share of rarest class")
        shown = [after for after in record.changes if batches[0] <= after < batches[-1]]
        for position, after in enumerate(shown):
            label = None if position else "drift"
            axes.axvline(after + 0.5, color=BAD, linewidth=1, label=label)
        axes.set(xlabel="micro-batch", ylabel="cost of a row")
        axes.locator_params(axis="x", integer=True)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        legend_above(axes)
        right = axes.twinx()
        right.plot(batches, record.shares, ":", color=SECOND)
        right.grid(visible=False)
        right.set(ylim=(0, 1.15 * max(record.shares)))
        right.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")

    return draw(paint, height=3.3)


def cost_by_batch_table(record: CostByBatch) -> Table:
    """Return one row for each of the latest `MAX_ROWS` micro-batches."""
    rows = [
        (str(batch), *map(amount, costs), percent(share))
        for batch, *costs, share in zip(
            record.batches,
            record.decided,
            record.constant,
            record.realised,
            record.shares,
            strict=True,
        )
    ]
    header = (
        "micro-batch", "expected cost of a row", "with one decision for all",
        "realised cost of a row with outcome", f"share of {record.rare}",
    )  # fmt: skip
    return table("Costs by micro-batch", header, rows[-MAX_ROWS:])
