"""Metrics of a score table equal scikit-learn's, or brute force, on the rows behind it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn import metrics as sk

from sparkweights.core.errors import ConfigError, InputError
from sparkweights.evaluation.calibration import (
    brier,
    brier_bound,
    brier_decomposition,
    equal_weight_groups,
    equal_width_groups,
    expected_calibration_error,
    log_loss,
    log_loss_bound,
    reliability_curve,
)
from sparkweights.evaluation.confusion import Confusion, confusion
from sparkweights.evaluation.discrimination import (
    average_precision,
    gains,
    gini,
    kolmogorov_smirnov,
    lift,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)
from sparkweights.evaluation.score_table import ScoreTable

if TYPE_CHECKING:
    from collections.abc import Callable

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]

QUICK = settings(max_examples=60, deadline=None)
ONE_ROW = st.tuples(
    st.sampled_from([0.0, 0.02, 0.1, 0.25, 0.3, 0.5, 0.7, 0.75, 0.99, 1.0]) | st.floats(0, 1),
    st.booleans(),
    st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.7]) | st.floats(0.01, 100),
)


@st.composite
def weighted_rows(draw: st.DrawFn) -> Rows:
    """Draw scores with ties, classes and weights, with some weight in both classes."""
    rows = draw(st.lists(ONE_ROW, max_size=40))
    rows += [(draw(ONE_ROW)[0], y, 1.5) for y in (True, False)]
    score, positive, weight = np.array(rows, dtype=float).T
    return score, positive, weight


@st.composite
def repeated_rows(draw: st.DrawFn) -> Rows:
    """Draw rows whose weights are whole numbers, so that weight 2 is the row twice."""
    score, positive, _ = draw(weighted_rows())
    weight = draw(st.lists(st.integers(0, 3), min_size=len(score), max_size=len(score)))
    return score, positive, np.array([*weight[:-2], 1, 1])


@st.composite
def bin_edges(draw: st.DrawFn) -> np.ndarray:
    """Draw lower edges of bins, the first at 0."""
    return np.unique([0.0, *draw(st.lists(st.floats(0.01, 0.99), max_size=8))])


def close(value: float) -> object:
    """Equal to nine digits, or to 1e-9 where the value is near 0."""
    return pytest.approx(value, rel=1e-9, abs=1e-9)


@QUICK
@given(weighted_rows())
def test_ranking_metrics_equal_scikit_learn(rows: Rows) -> None:
    """Areas, average precision and both curves, with ties, weights and rows of weight 0."""
    p, y, w = rows
    table = ScoreTable.from_rows(p, y, w)
    auc = sk.roc_auc_score(y, p, sample_weight=w)
    assert roc_auc(table) == close(auc)
    assert gini(table) == close(2 * auc - 1)
    assert average_precision(table) == close(sk.average_precision_score(y, p, sample_weight=w))
    precision, recall, cut = sk.precision_recall_curve(y, p, sample_weight=w)
    own = precision_recall_curve(table)
    assert own.threshold[1:][::-1] == close(cut)
    assert own.precision[::-1] == close(precision)
    assert own.recall[::-1] == close(recall)
    outside, inside, cut = sk.roc_curve(y, p, sample_weight=w, drop_intermediate=False)
    curve = roc_curve(table)
    assert curve.threshold[1:] == close(cut[1:])
    assert curve.false_positive_rate == close(outside)
    assert curve.recall == close(inside)


@QUICK
@given(weighted_rows())
def test_probability_metrics_equal_scikit_learn(rows: Rows) -> None:
    """Brier score and log loss, also of certain scores that were wrong."""
    p, y, w = rows
    table = ScoreTable.from_rows(p, y, w)
    assert brier(table) == close(sk.brier_score_loss(y, p, sample_weight=w))
    assert log_loss(table) == close(sk.log_loss(y, p, sample_weight=w, labels=[0, 1]))


@QUICK
@given(weighted_rows(), st.data())
def test_metrics_at_a_cut_equal_scikit_learn(rows: Rows, data: st.DataObject) -> None:
    """Weights and ratios of deciding at or above any cut, a score itself included."""
    p, y, w = rows
    cut = data.draw(st.sampled_from([*p, np.inf]) | st.floats(0, 1))
    beta = data.draw(st.sampled_from([0.0, 0.5, 1.0, 2.0]))
    decided, found = p >= cut, confusion(ScoreTable.from_rows(p, y, w), cut)
    cells = sk.confusion_matrix(y, decided, sample_weight=w, labels=[0, 1])
    assert found.true_negatives == close(cells[0, 0])
    assert found.false_positives == close(cells[0, 1])
    assert found.false_negatives == close(cells[1, 0])
    assert found.true_positives == close(cells[1, 1])
    precision = sk.precision_score(y, decided, sample_weight=w, zero_division=np.nan)
    assert np.nan_to_num(found.precision, nan=-1) == close(np.nan_to_num(precision, nan=-1))
    recall = sk.recall_score(y, decided, sample_weight=w)
    specificity = sk.recall_score(y, decided, sample_weight=w, pos_label=0)
    assert found.recall == close(recall)
    assert found.specificity == close(specificity)
    assert found.geometric_mean == pytest.approx(np.sqrt(recall * specificity), abs=1e-7)
    assert found.accuracy == close(sk.accuracy_score(y, decided, sample_weight=w))
    balanced = sk.balanced_accuracy_score(y, decided, sample_weight=w)
    assert found.balanced_accuracy == close(balanced)
    if w[decided].sum() > 0 or beta > 0:  # precision alone, of no decision, is undefined
        f_beta = sk.fbeta_score(y, decided, beta=beta, sample_weight=w)
        assert found.f_beta(beta) == close(f_beta)
    correlation = sk.matthews_corrcoef(y, decided, sample_weight=w)
    assert found.matthews_correlation == close(correlation)


@pytest.mark.filterwarnings("ignore:ks_2samp")  # its p-value, not asked for, may overflow
@QUICK
@given(repeated_rows())
def test_kolmogorov_smirnov_equals_the_two_sample_statistic(rows: Rows) -> None:
    """The statistic is that of the rows repeated by weight, and is reached at its own cut."""
    p, y, w = rows
    table = ScoreTable.from_rows(p, y, w)
    found = kolmogorov_smirnov(table)
    samples = [np.repeat(p[y == own], w[y == own]) for own in (1, 0)]
    assert found.statistic == close(ks_2samp(*samples, method="exact").statistic)
    at_cut = confusion(table, found.threshold)
    assert abs(at_cut.recall + at_cut.specificity - 1) == close(found.statistic)


@QUICK
@given(repeated_rows(), st.data())
def test_gains_and_lift_equal_the_mean_over_orders_of_the_ties(
    rows: Rows, data: st.DataObject
) -> None:
    """Of the top k rows, those of the tie that k divides are drawn at random."""
    p, y = (np.repeat(part, rows[2].astype(int)) for part in rows[:2])
    k = data.draw(st.integers(1, len(p)))
    last = np.sort(p)[::-1][k - 1]
    above, tied = p > last, p == last
    caught = y[above].sum() + (k - above.sum()) * y[tied].mean()
    table = ScoreTable.from_rows(*rows)
    assert gains(table, [k / len(p)])[0] == close(caught / y.sum())
    assert lift(table, k / len(p)) == close((caught / k) / y.mean())
    assert gains(table, [0.0, 1.0]) == close([0.0, 1.0])


@QUICK
@given(weighted_rows(), bin_edges(), st.data())
def test_brier_parts_equal_their_definitions_and_add_up(
    rows: Rows, edges: np.ndarray, data: st.DataObject
) -> None:
    """Five parts, each from the rows of its groups, sum to scikit-learn's score; bins too."""
    p, y, w = rows
    table = ScoreTable.from_rows(p, y, w, edges=data.draw(st.sampled_from([None, edges])))
    count = data.draw(st.integers(1, 4))
    groups = data.draw(
        st.sampled_from([None, equal_weight_groups(table, count), equal_width_groups(table, count)])
    )
    entry = np.searchsorted(table.score, p, side="right") - 1
    own = entry if groups is None else groups[entry]
    parts, prior = np.zeros(5), np.average(y, weights=w)
    for group in set(own[w > 0]):
        q, z, v = p[own == group], y[own == group], w[own == group]
        share, mean, part = np.average(z, weights=v), np.average(q, weights=v), v.sum() / w.sum()
        parts += part * np.array(
            [
                (mean - share) ** 2,
                (share - prior) ** 2,
                prior * (1 - prior),
                np.average((q - mean) ** 2, weights=v),
                2 * np.average((q - mean) * (z - share), weights=v),
            ]
        )
    found = brier_decomposition(table, groups)
    assert list(found) == close(list(parts))
    assert found.brier == close(sk.brier_score_loss(y, p, sample_weight=w))
    assert brier(table) == close(found.brier)


@QUICK
@given(weighted_rows(), st.integers(1, 12))
def test_calibration_error_equals_brute_force_over_rows(rows: Rows, count: int) -> None:
    """Rows grouped by the tenth (or other part) of [0, 1] that they lie in; edges belong above."""
    p, y, w = rows
    own = sum((p >= k / count).astype(int) for k in range(1, count)) + np.zeros(len(p), dtype=int)
    error = sum(abs((w * (p - y))[own == group].sum()) for group in range(count)) / w.sum()
    table = ScoreTable.from_rows(p, y, w)
    assert expected_calibration_error(table, equal_width_groups(table, count)) == close(error)


@QUICK
@given(weighted_rows(), st.integers(1, 6))
def test_reliability_curve_keeps_the_sums_of_the_rows(rows: Rows, count: int) -> None:
    """No weight, score or outcome gets lost between groups, and groups ascend."""
    p, y, w = rows
    table = ScoreTable.from_rows(p, y, w)
    curve = reliability_curve(table, equal_weight_groups(table, count))
    assert len(curve.weight) <= count
    assert curve.weight.sum() == close(w.sum())
    assert curve.weight @ curve.mean_score == close(w @ p)
    assert curve.weight @ curve.share == close(w @ y)
    assert (np.diff(curve.mean_score) > -1e-12).all()


def test_equal_weight_groups_hold_about_the_same_weight() -> None:
    """1,000 distinct scores of weights up to 2: each tenth is within one row of its share."""
    rng = np.random.default_rng(1)
    table = ScoreTable(np.arange(1_000) / 1_000, rng.random(1_000), rng.random(1_000))
    weight = reliability_curve(table, equal_weight_groups(table)).weight
    assert len(weight) == 10
    assert np.abs(weight - table.weight.sum() / 10).max() <= 2


def test_equal_weight_groups_put_an_entry_where_its_middle_lies() -> None:
    """Of weights 2, 5 and 3, the second ends beyond one half, and most of it lies before."""
    table = ScoreTable([0.1, 0.5, 0.9], [1, 3, 3], [1, 2, 0])
    assert equal_weight_groups(table, 2).tolist() == [0, 0, 1]


@QUICK
@given(weighted_rows(), bin_edges())
def test_binned_metrics_stay_within_their_bounds(rows: Rows, edges: np.ndarray) -> None:
    """Area, Brier score and log loss of bins are off by at most what the table says."""
    p, y, w = rows
    exact, binned = ScoreTable.from_rows(p, y, w), ScoreTable.from_rows(p, y, w, edges=edges)
    assert abs(roc_auc(binned) - roc_auc(exact)) <= binned.area_bound() + 1e-12
    bare = replace(binned, square_sum=None, positive_score_sum=None, log_loss_sum=None)
    assert abs(brier(bare) - brier(exact)) <= brier_bound(bare) + 1e-12
    assert abs(log_loss(bare) - log_loss(exact)) <= log_loss_bound(bare) + 1e-9
    assert log_loss(binned) == close(log_loss(exact))
    assert (exact.area_bound(), brier_bound(binned), log_loss_bound(binned)) == (0, 0, 0)


def test_area_bound_is_reached_by_a_bin_that_hides_a_perfect_ranking() -> None:
    """One bin over everything says 1/2 of a ranking of 1, and that it may be off by 1/2."""
    binned = ScoreTable.from_rows([0.1, 0.9], [0, 1], edges=[0.0])
    assert (roc_auc(binned), binned.area_bound()) == (0.5, 0.5)


def test_brier_bound_is_reached_by_a_bin_that_hides_its_worst() -> None:
    """All of the class at the lower edge and all others at the upper one is the worst bin."""
    p, y = np.array([0.25, 0.75 - 1e-12]), np.array([1, 0])
    exact, binned = ScoreTable.from_rows(p, y), ScoreTable.from_rows(p, y, edges=[0, 0.25, 0.75])
    bare = replace(binned, square_sum=None, positive_score_sum=None)
    assert brier(exact) - brier(bare) == pytest.approx(brier_bound(bare), rel=1e-9)


def test_log_loss_bound_of_fine_bins_is_small() -> None:
    """1,000 bins and no score near 0 or 1: the log loss needs no sum of its own."""
    p = np.random.default_rng(2).uniform(0.05, 0.95, 2_000)
    table = ScoreTable.from_rows(p, p > 0.6, edges=np.arange(1_000) / 1_000)
    assert 0 < log_loss_bound(replace(table, log_loss_sum=None)) < 0.002


@QUICK
@given(weighted_rows(), weighted_rows(), bin_edges(), st.booleans())
def test_added_tables_are_the_table_of_all_rows(
    first: Rows,
    second: Rows,
    edges: np.ndarray,
    binned: bool,  # noqa: FBT001 (drawn)
) -> None:
    """Partitions summed apart and added hold every sum that one pass over all rows has."""
    both = [np.concatenate(pair) for pair in zip(first, second, strict=True)]
    own = edges if binned else None

    def table(rows: list[np.ndarray] | Rows) -> ScoreTable:
        costs = [3 * rows[0], 1 - rows[0]]
        return ScoreTable.from_rows(*rows, edges=own, costs=costs)

    found, expected = table(first) + table(second), table(both)
    names = ["score", "positives", "negatives", "cost_positive", "cost_negative"]
    names += ["score_sum", "square_sum", "positive_score_sum", "log_loss_sum"] if binned else []
    for name in names:
        assert getattr(found, name) == close(getattr(expected, name)), name


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"score": [0.2, 0.2]}, "do not ascend"),
        ({"positives": [1, -1]}, "positives holds 1 values like -1.0"),
        ({"negatives": [1, np.nan]}, "negatives holds 1 values like nan"),
        ({"positives": [1]}, "positives has shape"),
        ({"cost_positive": [[1, 2]], "cost_negative": [[1, 2]]}, r"allowed: \(2, 2\)"),
        ({"cost_positive": [[1, 2], [3, 4]]}, "costs of one class"),
        ({"log_loss_sum": [1, 2]}, "without score_sum"),
        ({"score_sum": [0, 0.5], "square_sum": [1, 1]}, "go together"),
        ({"score": [0, 1], "score_sum": [0.1, 0.6]}, "not by its number"),
    ],
)
def test_table_malformed_is_refused(fields: dict[str, list[float]], said: str) -> None:
    """Arrays that cannot be a table say what is wrong with them."""
    with pytest.raises(InputError, match=said):
        ScoreTable(**{"score": [0.2, 0.6], "positives": [1, 0], "negatives": [0, 1]} | fields)


def test_added_tables_of_unlike_sums_are_refused() -> None:
    """Bins of other edges cannot be divided, and missing sums cannot be computed."""
    first, second = (ScoreTable.from_rows([0.5], [1], edges=e) for e in ([0.0], [0.0, 0.4]))
    with pytest.raises(InputError, match="different edges"):
        first + second
    with pytest.raises(InputError, match="need the same sums"):
        first + ScoreTable.from_rows([0.5], [1])
    with pytest.raises(InputError, match="every row needs a bin"):
        ScoreTable.from_rows([0.1], [1], edges=[0.2])


NEED_BOTH = [roc_auc, gini, lambda table: kolmogorov_smirnov(table).statistic]
NEED_CLASS = [average_precision, lambda table: lift(table, 0.5)]
NEED_ROWS = [brier, log_loss, expected_calibration_error, lambda t: confusion(t, 0.5).accuracy]
NO_ROWS = ScoreTable([0.1], [0], [0])


@pytest.mark.parametrize("metric", [*NEED_BOTH, *NEED_CLASS, *NEED_ROWS])
def test_metric_without_rows_is_nan(metric: Callable[[ScoreTable], float]) -> None:
    """Nothing is known of no rows; an empty bin is no row, and an empty table has none."""
    assert np.isnan(metric(NO_ROWS))
    assert np.isnan(metric(ScoreTable([], [], [])))


@pytest.mark.parametrize("metric", NEED_BOTH)
def test_metric_of_two_classes_with_one_is_nan(metric: Callable[[ScoreTable], float]) -> None:
    """A ranking of one class against nothing is no 0 and no 1/2."""
    assert np.isnan(metric(ScoreTable([0.1, 0.3], [1, 2], [0, 0])))
    assert np.isnan(metric(ScoreTable([0.1, 0.3], [0, 0], [1, 2])))


@pytest.mark.parametrize("metric", NEED_CLASS)
def test_metric_of_the_class_without_it_is_nan(metric: Callable[[ScoreTable], float]) -> None:
    """Precision along the recall of no rows, and their share among the top, are undefined."""
    assert np.isnan(metric(ScoreTable([0.1, 0.3], [0, 0], [1, 2])))


def test_empty_entries_change_nothing() -> None:
    """A table with bins that no row fell into says the same as without them."""
    p, y = [0.1, 0.45, 0.8, 0.85], [0, 1, 0, 1]
    wide, narrow = np.arange(100) / 100, [0.1, 0.45, 0.8, 0.85]
    first, second = (ScoreTable.from_rows(p, y, edges=edges) for edges in (wide, narrow))
    for metric in (*NEED_BOTH, *NEED_CLASS, *NEED_ROWS):
        assert metric(first) == close(metric(second))
    assert precision_recall_curve(first).precision == close(
        precision_recall_curve(second).precision
    )


def test_ranking_metrics_need_no_probabilities_and_calibration_does() -> None:
    """Scorecard points rank; their Brier score would be a number without a meaning."""
    points = ScoreTable([-300.0, 650.0], [0, 1], [1, 0])
    assert (roc_auc(points), kolmogorov_smirnov(points).threshold) == (1.0, 650.0)
    for metric in (brier, log_loss, brier_decomposition, reliability_curve):
        with pytest.raises(InputError, match="needs probabilities"):
            metric(points)


@QUICK
@given(st.lists(st.integers(0, 2), max_size=20), st.integers(0, 2**32 - 1))
def test_averages_over_classes_equal_scikit_learn(drawn: list[int], seed: int) -> None:
    """One-against-the-rest areas, each class counting alike or by its weight."""
    classes = np.array([0, 1, 2, *drawn])
    rng = np.random.default_rng(seed)
    p, w = rng.dirichlet([1, 1, 1], len(classes)), rng.uniform(0.1, 3, len(classes))
    tables = {str(c): ScoreTable.from_rows(p[:, c], classes == c, w) for c in range(3)}
    areas = [roc_auc(table) for table in tables.values()]
    shares = [table.positives.sum() for table in tables.values()]
    for average, weights in (("macro", None), ("weighted", shares)):
        expected = sk.roc_auc_score(classes, p, sample_weight=w, multi_class="ovr", average=average)
        assert np.average(areas, weights=weights) == close(expected)
    expected = sk.average_precision_score(np.eye(3)[classes], p, sample_weight=w)
    assert np.mean([average_precision(table) for table in tables.values()]) == close(expected)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda table: gains(table, [0.5, 1.1]), "shares: 1.1"),
        (lambda table: lift(table, 0.0), "share: 0.0"),
        (lambda table: confusion(table, np.nan), "threshold: NaN"),
        (lambda _: Confusion(1, 1, 1, 1).f_beta(-1), "beta: -1"),
        (lambda table: equal_width_groups(table, 0), "groups: 0"),
    ],
)
def test_argument_out_of_range_is_refused(ask: Callable[[ScoreTable], object], said: str) -> None:
    """The sentence names the argument and the value."""
    with pytest.raises(ConfigError, match=said):
        ask(ScoreTable([0.1, 0.2], [0, 1], [1, 0]))


def test_mean_of_a_bin_just_above_one_is_rounding() -> None:
    """Weights whose sums round up make a mean of ones 1 + 2^-52, which is still a probability."""
    table = ScoreTable([0.5], [3], [1], score_sum=[np.nextafter(4, 5)])
    assert table.mean_score[0] > 1
    assert brier(table) == close(0.25)
    assert 0 <= brier_bound(table) < 1e-7
    assert log_loss(table) == close(-np.log(np.finfo(float).eps) / 4)


def test_complement_scores_that_meet_at_one_are_one_entry() -> None:
    """1e-18 and 2e-18 differ; 1 less either does not."""
    other = ScoreTable([1e-18, 2e-18, 0.5], [1, 3, 2], [4, 2, 5]).complement()
    assert other.score.tolist() == [0.5, 1.0]
    assert other.positives.tolist() == [5.0, 6.0]
    assert other.negatives.tolist() == [2.0, 4.0]
