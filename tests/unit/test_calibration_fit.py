"""Calibration maps against scikit-learn, and against true probabilities where they are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from benchmarks.rightness.calibration import (
    calibrated,
    draw,
    ends,
    excess_cost,
    measure,
    tabulate,
)
from sparkweights.core.errors import ModelError
from sparkweights.probability.calibration import calibrator_from_dict
from sparkweights.probability.calibration_fit import (
    choose_method,
    fit_isotonic,
    fit_sigmoid,
    fit_temperature,
    require_classes,
)

Array = np.ndarray


def _rows(kind: str = "overconfident", rows: int = 4_000, events: int = 400) -> tuple[Array, Array]:
    scores, index, _, _ = draw(np.random.default_rng(11), kind, rows, events)
    return scores, index


def test_sigmoid_equals_scikit_learn_on_the_rows() -> None:
    """The table's cells cost less than 1e-3 in logit, over the whole range of scores."""
    for rows, events in ((60, 20), (4_000, 400)):
        scores, index = _rows(rows=rows, events=events)
        fitted = fit_sigmoid(tabulate(scores, index), 1)
        oracle = _SigmoidCalibration().fit(scores, index)
        assert logit(fitted(scores)) == pytest.approx(-(oracle.a_ * scores + oracle.b_), abs=1e-3)


def test_sigmoid_with_weights_equals_a_weighted_logistic_fit() -> None:
    """Each row counts its weight; Platt's targets count effective rows of the class."""
    scores, index = _rows(rows=500, events=60)
    weight = np.random.default_rng(3).lognormal(0, 1, 500)
    kish = [weight[index == c].sum() ** 2 / (weight[index == c] ** 2).sum() for c in (0, 1)]
    target = np.where(index == 1, (kish[1] + 1) / (kish[1] + 2), 1 / (kish[0] + 2))
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1_000).fit(
        np.r_[scores, scores][:, None],
        np.r_[np.ones(500), np.zeros(500)],
        np.r_[weight * target, weight * (1 - target)],
    )
    fitted = fit_sigmoid(tabulate(scores, index, weight=weight), 1)
    assert logit(fitted(scores)) == pytest.approx(
        oracle.coef_[0, 0] * scores + oracle.intercept_[0], abs=1e-3
    )


@pytest.mark.parametrize("unit", [20.0, 0.001])
def test_calibration_the_unit_of_the_weights_changes_nothing(unit: float) -> None:
    """Twelve events stay twelve when each weighs 20; so do their targets, blocks and choice."""
    scores, index = _rows(rows=240, events=12)
    plain = tabulate(scores, index)
    scaled = tabulate(scores, index, weight=np.full(240, unit))
    for fit in (fit_sigmoid, fit_isotonic):
        assert fit(scaled, 1)(scores) == pytest.approx(fit(plain, 1)(scores), rel=1e-9)
    choices = choose_method("auto", scaled), choose_method("auto", plain)
    assert choices[0].reason == choices[1].reason
    assert choices[0].events == pytest.approx(choices[1].events)


def test_calibration_weight_two_is_the_row_twice() -> None:
    """Up to Platt's targets and the prior, which count effective rows and fade with them."""
    scores, index = _rows("steps", rows=20_000, events=4_000)
    double = np.arange(20_000) % 3 == 0
    by_weight = tabulate(scores, index, weight=np.where(double, 2.0, 1.0))
    by_row = tabulate(np.r_[scores, scores[double]], np.r_[index, index[double]])
    for fit in (fit_sigmoid, fit_isotonic):
        difference = np.abs(fit(by_weight, 1)(scores) - fit(by_row, 1)(scores))
        assert difference.mean() < 1e-3
    temperatures = fit_temperature(by_weight), fit_temperature(by_row)
    assert temperatures[0] == pytest.approx(temperatures[1], rel=1e-9)


def test_isotonic_on_many_events_is_that_of_scikit_learn() -> None:
    """Where the sigmoid does not fit, blocks of many rows have the last word."""
    scores, index = _rows("steps", rows=60_000, events=12_000)
    fitted = fit_isotonic(tabulate(scores, index), 1)(scores)
    oracle = IsotonicRegression().fit(scores, index).predict(scores)
    assert np.abs(fitted - oracle).mean() < 0.002


def test_isotonic_of_a_sampled_class_gives_its_natural_odds() -> None:
    """Every twentieth good row with weight 20 tells the same as all good rows."""
    rng = np.random.default_rng(5)
    scores, index = _rows("flat_top", rows=100_000, events=1_000)
    kept = (index == 1) | (rng.random(100_000) < 0.05)
    weight = np.where(index == 1, 1.0, 20.0)[kept]
    sampled = fit_isotonic(tabulate(scores[kept], index[kept], weight=weight), 1)(scores)
    every = fit_isotonic(tabulate(scores, index), 1)(scores)
    assert sampled.mean() == pytest.approx(index.mean(), rel=0.05)
    assert np.abs(sampled / every - 1).mean() < 0.15


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(-28, 28), st.booleans(), st.sampled_from([0.01, 1.0, 1.0, 30.0]),
        ),
        min_size=2, max_size=80,
    )
)  # fmt: skip
def test_isotonic_map_rises_and_stays_between_0_and_1(
    rows: list[tuple[float, bool, float]],
) -> None:
    """Whatever the rows and their weights, with one of each class at least."""
    scores, events, weight = (np.array(values, float) for values in zip(*rows, strict=True))
    scores = np.r_[scores, 0.5, -0.5]
    events = np.r_[events, 1.0, 0.0]
    fitted = fit_isotonic(tabulate(scores, events, weight=np.r_[weight, 1.0, 1.0]), 1)
    values = np.array(fitted.probabilities)
    assert (np.diff(values) >= 0).all()
    assert values[0] > 0
    assert values[-1] < 1


@pytest.mark.parametrize(("kind", "raw"), [("calibrated", 3.4), ("overconfident", 0.23)])
def test_isotonic_on_few_events_keeps_its_ends_near_the_truth(kind: str, raw: float) -> None:
    """Of 40 events, a limit of 1 / (n + 2) puts the lowest scores off by a factor of three."""
    ratios = {name: np.median(values) for name, values in ends(kind, 40).items()}
    assert ratios["raw_bottom"] == pytest.approx(raw, rel=0.05)
    assert 0.7 < ratios["bottom"] < 1.4
    assert 0.7 < ratios["top"] < 1.4


def test_isotonic_rows_of_the_highest_block_are_not_overstated() -> None:
    """Blocks of two events in three rows claim .67 where the truth is far lower."""
    rng = np.random.default_rng(2)
    claims: dict[str, list[tuple[float, float]]] = {"isotonic": [], "isotonic_raw": []}
    for _ in range(60):
        scores, index, grid, true = draw(rng, "calibrated", 2_000, 100)
        shown = calibrated(scores, index, grid)
        density = np.exp(-0.5 * ((grid - grid.mean()) / 1.5) ** 2)
        for name, own in claims.items():
            at = shown[name] >= 0.5
            own.append((float(density[at] @ shown[name][at]), float(density[at] @ true[at])))
    ratios = {name: np.divide(*np.sum(own, axis=0)) for name, own in claims.items()}
    assert ratios["isotonic_raw"] > 1.2
    assert ratios["isotonic"] < 1.1


@pytest.mark.parametrize("kind", ["calibrated", "saturated"])
def test_auto_on_few_events_costs_less_than_isotonic_blocks(kind: str) -> None:
    """At 30 events of 1,000 rows, blocks cost some percent more than the true probabilities."""
    excess = measure(kind, 1_000, 30, 60)
    assert excess["auto"] < 0.85 * excess["isotonic_raw"]
    better = min(excess["sigmoid"], excess["isotonic"])
    assert (excess["auto"] + 0.002) / (better + 0.002) < 1.25


def test_auto_on_many_events_follows_what_a_sigmoid_cannot() -> None:
    """A score that tells nothing above the mean costs a sigmoid 2 % whatever the rows."""
    excess = measure("flat_top", 20_000, 1_000, 20)
    assert excess["sigmoid"] > 0.015
    assert excess["auto"] < 0.006


@pytest.mark.slow
def test_auto_is_near_the_better_of_both_on_every_distortion() -> None:
    """The benchmark's bar, at full size."""
    from benchmarks.rightness.calibration import run

    def no_engine() -> None:
        raise AssertionError

    _, bars = run(no_engine, quick=False)  # type: ignore[arg-type]
    assert all(bar.holds for bar in bars), bars


def test_auto_counts_effective_rows_of_the_rarest_class() -> None:
    """400 events of which one weighs as much as the others count as four, and are warned of."""
    scores, index = _rows(rows=4_000, events=400)
    table = tabulate(scores, index)
    choice = choose_method("auto", table)
    assert (choice.method, choice.warning) == ("isotonic", None)
    assert choice.events == {"good": 4_000 - index.sum(), "bad": index.sum()}
    assert "'bad'" in choice.reason
    weight = np.ones(4_000)
    weight[np.flatnonzero(index)[0]] = index.sum() - 1
    choice = choose_method("auto", tabulate(scores, index, weight=weight))
    assert choice.method == "sigmoid"
    assert choice.events["bad"] == pytest.approx(4, rel=0.02)
    assert choice.warning is not None
    assert "'bad'" in choice.warning
    assert choose_method("isotonic", table).method == "isotonic"


def test_calibration_table_without_a_fold_is_the_table_of_the_others() -> None:
    """Sums by fold add up to the same fits as rows that were never in the fold."""
    scores, index = _rows()
    fold = np.arange(4_000) % 5
    table = tabulate(scores, index, fold=fold)
    assert table.folds == (0, 1, 2, 3, 4)
    others = tabulate(scores[fold != 2], index[fold != 2])
    for fit in (fit_sigmoid, fit_isotonic):
        assert fit(table.without(2), 1)(scores) == pytest.approx(fit(others, 1)(scores), rel=1e-9)
        every = tabulate(scores, index)
        assert fit(table.without(None), 1)(scores) == pytest.approx(fit(every, 1)(scores), rel=1e-9)


def test_sigmoid_of_a_ranking_worse_than_chance_is_constant() -> None:
    """A negative slope would approve the riskiest; the best monotone map is the base rate."""
    scores, index = _rows()
    fitted = fit_sigmoid(tabulate(-scores, index), 1)
    assert fitted.slope == 0
    assert fitted(scores) == pytest.approx(np.full(4_000, index.mean()), rel=0.01)


def test_sigmoid_scores_of_zero_do_not_turn_the_line() -> None:
    """Leaves without an event score 0; the other rows keep their slope all the same."""
    scores, index = _rows("calibrated")
    low = np.argsort(scores)[:400]
    scores[low[index[low] == 0]] = logit(1e-12)
    assert fit_sigmoid(tabulate(scores, index), 1).slope == pytest.approx(1, abs=0.15)


def test_temperature_is_recovered_and_refused_where_there_is_none() -> None:
    """Scores twice too certain have temperature 2; separated or turned ones have none."""
    rng = np.random.default_rng(9)
    true = rng.normal(0, 2, 20_000)
    index = (rng.random(20_000) < expit(true)).astype(float)
    assert fit_temperature(tabulate(2 * true, index)) == pytest.approx(2, rel=0.04)
    for scores in (-true, np.where(index == 1, 1.0, -1.0)):
        with pytest.raises(ModelError, match="no temperature between"):
            fit_temperature(tabulate(scores, index))


def test_require_classes_names_the_class_that_is_missing() -> None:
    """Nothing can be fitted without a row of each class."""
    with pytest.raises(ModelError, match=r"saw 0 rows of class 'bad' .* 5 others"):
        require_classes("sigmoid", tabulate(np.zeros(5), np.zeros(5)))


@pytest.mark.parametrize(
    "record",
    [
        {"method": "isotonic", "models": 1, "margin": 0.001},
        {"method": "sigmoid", "slopes": [1.0], "intercepts": [0.0]},
    ],
)
def test_calibrator_record_of_an_older_version_is_refused(record: dict[str, object]) -> None:
    """Its numbers lay elsewhere, or meant something else."""
    with pytest.raises(ModelError, match="older version") as refused:
        calibrator_from_dict(record)
    assert refused.value.hint == "train again."


def test_excess_cost_of_the_truth_is_nothing() -> None:
    """The benchmark's measure is 0 at the true probabilities, and above it elsewhere."""
    _, _, _, true = draw(np.random.default_rng(1), "wavy", 1_000, 100)
    assert excess_cost(true, true, 0.1) == pytest.approx(0, abs=1e-12)
    assert excess_cost(true, np.full_like(true, 0.1), 0.1) > 0.01
