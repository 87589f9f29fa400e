"""What bins, the H-measure and a report say where events are rare and costs are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sparkweights.evaluation.cost_curves import cost_profile
from sparkweights.evaluation.discrimination import roc_auc
from sparkweights.evaluation.h_measure import cost_shape, h_measure, prior_shape, threshold_shape
from sparkweights.evaluation.score_table import BINS, ScoreTable, bin_numbers, least_scores
from sparkweights.monitoring.evaluate import EvaluationResult, summarise_segments
from sparkweights.records.evaluation import Segment
from sparkweights.report.evaluation_report import _cells
from sparkweights.spec.settings import Evaluate


def test_bin_numbers_never_descend_and_cuts_at_an_edge_split_rows_as_the_table_says() -> None:
    """Probabilities one bit apart, at every size: bins are intervals, edges are cuts of rows."""
    rng = np.random.default_rng(1)
    small, near_one = 10.0 ** rng.uniform(-18, 0, 20_000), 1 - 10.0 ** rng.uniform(-16, 0, 20_000)
    p = np.concatenate([small, near_one])
    p = np.sort(np.concatenate([p, np.nextafter(p, 0), np.nextafter(p, 1), [0.0, 1.0]]))
    numbers = bin_numbers(p)
    assert (np.diff(numbers) >= 0).all()
    assert (numbers[0], numbers[-1]) == (0, BINS - 1)
    edges = least_scores(p)
    table = ScoreTable.from_rows(p, p > 2, edges=edges)
    above = np.cumsum(table.weight[::-1])[::-1]
    assert above.tolist() == [(p >= edge).sum() for edge in table.score]
    other = table.complement()
    above = np.cumsum(other.weight[::-1])[::-1]
    assert above.tolist() == [(1 - p >= edge).sum() for edge in other.score]


def test_bins_at_a_base_of_one_in_ten_thousand_keep_area_and_savings() -> None:
    """Even bins of the probability itself lose .06 of the area and .009 of the savings here."""
    rng = np.random.default_rng(2)
    p = 1 / (1 + np.exp(10 - rng.normal(0, 1.3, 400_000)))
    y = rng.random(len(p)) < 20 * p
    costs = np.array([np.where(y, 500.0, 0.0), np.where(y, 0.0, 1.0)])
    exact, bins, even = (
        ScoreTable.from_rows(p, y, edges=edges, costs=costs)
        for edges in (None, least_scores(p), np.arange(BINS) / BINS)
    )
    assert roc_auc(bins) == pytest.approx(roc_auc_score(y, p), abs=2e-4)
    assert roc_auc(even) < roc_auc(exact) - 0.03
    best = [cost_profile(table).best().savings for table in (exact, bins, even)]
    assert best[1] == pytest.approx(best[0], abs=2e-3)
    assert best[2] < best[0] - 8e-3


def test_area_bound_of_bins_of_one_score_is_zero() -> None:
    """Few rows lie alone in their bins: nothing is lost, and the bound says so."""
    p = np.linspace(0.01, 0.99, 50)
    table = ScoreTable.from_rows(p, np.arange(50) % 2, edges=least_scores(p))
    assert table.area_bound() == 0
    assert ScoreTable.from_rows(p, np.arange(50) % 2, edges=[0.0]).area_bound() == 0.5


def test_h_measure_weighs_mistakes_by_the_costs_that_are_known() -> None:
    """Costs of 1 and 19 of every row: the shape of the threshold .05, for both classes alike."""
    rng = np.random.default_rng(3)
    p = rng.beta(1, 5, 500)
    y = rng.random(500) < p
    costs = np.array([np.where(y, 19.0, 0.0), np.where(y, 0.0, 1.0)])
    table = ScoreTable.from_rows(p, y, costs=costs)
    assert cost_shape(table) == pytest.approx(threshold_shape(0.05))
    assert h_measure(table, cost_shape(table)) != pytest.approx(
        h_measure(table, prior_shape(table)), abs=0.01
    )
    other = table.complement()
    assert h_measure(other, cost_shape(other)) == pytest.approx(h_measure(table, cost_shape(table)))
    assert cost_shape(ScoreTable.from_rows(p, y)) == prior_shape(table)


def test_evaluation_report_cost_of_a_row_divides_by_its_weight() -> None:
    """100 rows of weight 5 that cost 1,000 together: 2 a row, as the terminal says."""
    segment = Segment(
        {"branch": "north"}, 100, 500.0, measured=True, cost=1_000.0, savings=0.1,
        decisions={}, classes={},
    )  # fmt: skip
    assert _cells(segment, [], [])[1] == "2.00"


def test_segments_of_fewer_than_ten_rows_are_counted_together_and_not_named() -> None:
    """Names that a few rows have are in no record; rows and weights add up."""
    cell = SimpleNamespace(weight=0.5)
    rows_of = {("Smith", "x"): 1, ("north", "x"): 10, (None, "x"): 9}
    segments: dict[Any, Any] = {
        key: SimpleNamespace(rows=rows, cells={"approve": dict.fromkeys(range(rows), cell)})
        for key, rows in rows_of.items()
    }
    result = EvaluationResult(overall=SimpleNamespace(), segments=segments)  # type: ignore[arg-type]
    found = summarise_segments(result, Evaluate(by=("town", "kind"), min_rows=100))
    assert found == (
        Segment({"town": "north", "kind": "x"}, 10, 5.0, measured=False),
        Segment({"town": "others", "kind": "others"}, 10, 5.0, measured=False),
    )
    del segments["Smith", "x"], segments[None, "x"]
    assert len(summarise_segments(result, Evaluate(by=("town", "kind"), min_rows=100))) == 1
