"""Figures: records drawn where their numbers are, in colours that a page can change."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from sparkweights.report import figures
from sparkweights.report.figures.canvas import TOKENS, WIDTH
from sparkweights.report.numbers import amount, number, percent, span
from sparkweights.report.tables import Table

STYLE = resources.files("sparkweights.report").joinpath("page.css").read_text(encoding="utf-8")


def test_roc_point_lies_where_the_record_says() -> None:
    """The dot of an operating point is drawn at its coordinates."""
    plain = figures.Roc(((0.0, 0.0), (1.0, 1.0)))
    marked = figures.Roc(plain.points, operating=(0.5, 0.5))
    assert "decisions taken" not in figures.draw_roc(plain)
    svg = figures.draw_roc(marked)
    curve = re.findall(r'd="M ([\d.]+) ([\d.]+)\s+L ([\d.]+) ([\d.]+)\s*" clip[^>]*accent', svg)
    x0, y0, x1, y1 = map(float, curve[0])
    dots = [tuple(map(float, at)) for at in re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', svg)]
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    assert any(at == pytest.approx(middle, abs=1e-3) for at in dots)


def test_figure_of_the_same_record_is_the_same_bytes() -> None:
    """Drawing twice gives the same ids, clip paths and marks."""
    curve = figures.TuningCurve(((1.0, 9.0, 0.5), (4.0, 7.0, 0.4)), (4.0, 7.0), (("cost", 3.0),))
    assert figures.draw_tuning(curve) == figures.draw_tuning(curve)


def test_cut_cost_marks_the_cheapest_cut() -> None:
    """The lowest point is the best, and the half is the point nearest to it."""
    cuts = figures.ThresholdCost(((0.1, 9.0), (0.2, 4.0), (0.45, 7.0), (0.9, 12.0)), model_cost=3.5)
    assert cuts.best == (0.2, 4.0)
    assert cuts.at_half == (0.45, 7.0)
    assert figures.threshold_cost_table(cuts).rows[-1] == ("decisions taken", "", "3.50")


def test_curve_table_is_thinned_with_both_ends() -> None:
    """A curve of thousands of points has a table that a person can read."""
    points = tuple((i / 1000, (i / 1000) ** 0.5) for i in range(1001))
    rows = figures.roc_table(figures.Roc(points)).rows
    assert len(rows) == 25
    assert rows[0][1:] == ("0.0 %", "0.0 %")
    assert rows[-1][1:] == ("100.0 %", "100.0 %")


def test_figure_follows_the_page_in_colour_and_size() -> None:
    """No fixed size, no fixed colour: a figure fits a telephone and a dark page."""
    svg = figures.draw_decisions(figures.Decisions((("approve", 3), ("decline", 1))))
    root = svg[: svg.index(">")]
    assert f'viewBox="0 0 {WIDTH * 72:g}' in root
    assert "width" not in root
    colours = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg))
    assert all(colour == "none" or colour.startswith("var(--") for colour in colours)
    assert not re.findall(r'\bid="', re.sub(r"<clipPath[^>]*>|<path id=[^>]*>", "", svg))


def test_numbers_are_written_for_people() -> None:
    """Money, shares and numbers, by hand."""
    assert [amount(v) for v in (1234567.8, 12.345, -0.5)] == ["1,234,568", "12.35", "-0.50"]
    assert [percent(v) for v in (0.5, 0.00042, 0.0)] == ["50.0 %", "0.042 %", "0.0 %"]
    assert [number(v) for v in (3, 0.00012, 2.5e6)] == ["3", "0.00012", "2,500,000"]
    assert span((-1011.4, -142.7)) == "-1,011 to -143"


def test_table_aligns_only_columns_of_numbers() -> None:
    """Digits line up under each other; words do not."""
    one = Table("t", ("name", "rows", "verdict"), (("1", "1,200", "ok"), ("2", "-3.5 %", "12")))
    assert one.numeric == (False, True, False)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2, relative luminance)."""
    lights = []
    for colour in (one, other):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_palette_any_has_contrast_enough(scheme: str) -> None:
    """Text has 4.5:1 and lines of figures have 3:1 against what they are on (WCAG AA)."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    block = blocks[("light", "dark", "print").index(scheme)]
    palette = dict(re.findall(r"--(\w+): (#\w{6})", block))
    for ground in ("paper", "panel"):
        for text in ("ink", "muted", "accent", "good", "bad"):
            assert contrast(palette[text], palette[ground]) >= 4.5, (text, ground)
        for mark in ("second", "faint"):
            assert contrast(palette[mark], palette[ground]) >= 3, (mark, ground)


def test_palette_of_figures_is_the_light_one_of_the_page() -> None:
    """A figure on its own looks as it does on a light page."""
    light = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[0]
    palette = dict(re.findall(r"--(\w+): (#\w{6})", light))
    assert {palette[token]: token for token in TOKENS.values()} == TOKENS


def test_costs_of_a_stream_are_drawn_with_the_drifts_among_them() -> None:
    """A drift that began before the first micro-batch that is drawn has no line."""
    nan = float("nan")

    def curve(batches: int, *changes: int) -> figures.CostByBatch:
        numbers = tuple(range(5, 5 + batches))
        flat = (2.0,) * batches
        return figures.CostByBatch(numbers, flat, flat, (nan,) * batches, "bad", flat, changes)

    assert "drift" not in figures.draw_cost_by_batch(curve(3, 4, 7))
    svg = figures.draw_cost_by_batch(curve(3, 5))
    for words in ("drift", "share of rarest class", "one decision for all", "realised"):
        assert words in svg
    assert figures.draw_cost_by_batch(curve(1))
    rows = figures.cost_by_batch_table(curve(40)).rows
    assert (len(rows), rows[-1]) == (25, ("44", "2.00", "2.00", "\u2013", "200.0 %"))


def test_rounds_are_drawn_by_class_and_told_in_a_table() -> None:
    """A line per class, the round that was kept, and one row per round with the clipped share."""
    losses = figures.LossByRound(
        (0.7, 0.5, 0.4), {"good": (0.6, 0.4, 0.3), "bad": (0.9, 0.8, 0.7)}, 2
    )
    svg = figures.draw_loss_by_round(losses)
    for words in ("good", "bad", "all rows, and penalty", "model taken here"):
        assert words in svg
    assert figures.loss_table(losses).rows[1] == ("2", "0.5", "0.4", "0.8")
    nan = float("nan")
    one_step = figures.GradientsByRound((2.0, 1.0), (nan, nan), (1.0, 1.0), (1.0, 0.0))
    assert "standard deviation" not in figures.draw_gradients_by_round(one_step)
    assert figures.gradients_table(one_step).rows[0] == ("1", "2", "", "1", "100.0 %")
    many = figures.GradientsByRound((2.0,) * 80, (3.0,) * 80, (1.0,) * 80, (0.25,) * 80)
    assert "standard deviation" in figures.draw_gradients_by_round(many)
    assert len(figures.gradients_table(many).rows) == 25
