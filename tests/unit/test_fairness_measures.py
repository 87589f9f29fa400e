"""Fairness of decisions equals fairlearn's, and its intervals and alarms keep their levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    demographic_parity_ratio,
    equalized_odds_difference,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from statsmodels.stats.proportion import proportions_ztest

from sparkweights.config.load import load_config
from sparkweights.core.errors import ConfigError
from sparkweights.evaluation.fairness import (
    FALSE_POSITIVE,
    TRUE_POSITIVE,
    UNKNOWN,
    Cells,
    equality_p_value,
    measure_column,
    unfair_differences,
)
from sparkweights.evaluation.fairness_cells import quartile_edges, range_labels
from sparkweights.records.fairness import FairnessSummary
from sparkweights.report.fairness_sections import fairness_sections

if TYPE_CHECKING:
    from pathlib import Path

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]
MEASURES = {
    "acceptance": selection_rate,
    "true_positive_rate": true_positive_rate,
    "false_positive_rate": false_positive_rate,
}


def _cells(group: Array, accepted: Array, outcome: Array, weight: Array) -> dict[str, Cells]:
    """Count rows as the Spark pass does."""
    found = {}
    for name in np.unique(group):
        cells = Cells.empty()
        for d in (0, 1):
            for y in range(3):
                own = weight[(group == name) & (accepted == d) & (outcome == y)]
                cells.rows[d, y], cells.weight[d, y] = len(own), own.sum()
                cells.square[d, y] = (own**2).sum()
        found[str(name)] = cells
    return found


def _two(n: int, k: float, m: int, j: float, outcome: int = UNKNOWN) -> dict[str, Cells]:
    """Return groups of n and m rows, of which k and j are accepted."""
    found = {}
    for name, (rows, accepted) in {"a": (n, k), "b": (m, j)}.items():
        counts = np.zeros((2, 3))
        counts[:, outcome] = rows - accepted, accepted
        found[name] = Cells(counts, counts, counts)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_fairness_of_random_tables_is_that_of_fairlearn(seed: int) -> None:
    """Every rate of every group, the ratio, and the differences, with sample weights."""
    rng = np.random.default_rng(seed)
    rows = 3_000
    group = rng.choice(list("abcd"), rows, p=[0.5, 0.3, 0.15, 0.05])
    outcome = (rng.random(rows) < 0.8).astype(int)
    accepted = (rng.random(rows) < 0.3 + 0.4 * outcome + 0.05 * (group == "b")).astype(int)
    weight = rng.gamma(2.0, size=rows) if seed % 2 else np.ones(rows)
    found = measure_column("sex", _cells(group, accepted, outcome, weight), min_rows=1)
    told: Any = {"sensitive_features": group, "sample_weight": weight}
    frame = MetricFrame(
        metrics=MEASURES,
        y_true=outcome,
        y_pred=accepted,
        sensitive_features=group,
        sample_params={name: {"sample_weight": weight} for name in MEASURES},
    )
    for own in found.groups:
        for rate in MEASURES:
            assert own.rates[rate].value == pytest.approx(frame.by_group[rate][own.group])
            reference = frame.by_group[rate][found.reference]
            assert own.differences[rate].value == pytest.approx(own.rates[rate].value - reference)
    both = (outcome, accepted)
    gap = found.gaps["acceptance"]
    assert gap.ratio.value == pytest.approx(demographic_parity_ratio(*both, **told))
    assert gap.difference.value == pytest.approx(demographic_parity_difference(*both, **told))
    assert min(own.ratio.value for own in found.groups) == pytest.approx(gap.ratio.value)
    assert found.equalized_odds_difference == pytest.approx(
        equalized_odds_difference(*both, **told)
    )
    for rate in MEASURES:
        assert found.gaps[rate].difference.value == pytest.approx(frame.difference()[rate])


def test_equality_p_value_is_that_of_statsmodels() -> None:
    """A z-test of two proportions with the pooled variance, times the pairs of groups."""
    cells = _two(150, 40, 420, 160)
    _, expected = proportions_ztest([40, 160], [150, 420])
    shares = [own.share("acceptance") for own in cells.values()]
    assert equality_p_value(*shares) == pytest.approx(expected)
    three = {**cells, "c": _two(200, 70, 1, 1)["a"]}
    gap = measure_column("sex", three, min_rows=1).gaps["acceptance"]
    assert (gap.low, gap.high) == ("a", "b")
    assert gap.p_value == pytest.approx(3 * expected)


def test_fairness_weight_is_rows_for_values_and_kish_for_intervals() -> None:
    """All weights 2: the values and the intervals of weight 1, and not those of twice the rows."""
    rng = np.random.default_rng(3)
    group, accepted = rng.choice(["a", "b"], 600), rng.integers(0, 2, 600)
    outcome = rng.integers(0, 2, 600)
    single, double = (
        measure_column("x", _cells(group, accepted, outcome, np.full(600, w)), min_rows=1)
        for w in (1.0, 2.0)
    )
    for ours, theirs in zip(double.groups, single.groups, strict=True):
        assert ours.ratio == pytest.approx(theirs.ratio)
    twice = measure_column(
        "x", _cells(*(np.repeat(x, 2) for x in (group, accepted, outcome)), np.ones(1_200)),
        min_rows=1,
    )  # fmt: skip
    gaps = [found.gaps["acceptance"].difference for found in (double, twice)]
    widths = [gap.high - gap.low for gap in gaps]
    assert gaps[0].value == pytest.approx(gaps[1].value)
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(2), rel=0.05)


def test_small_groups_are_counted_and_not_measured() -> None:
    """Below min_rows, and without weight; fewer than ten outcomes leave their rate out."""
    cells = {**_two(99, 90, 300, 100, outcome=0), "c": _two(100, 50, 1, 1, outcome=0)["a"]}
    cells["b"].rows[1, 1] = cells["b"].weight[1, 1] = cells["b"].square[1, 1] = 9
    found = measure_column("sex", cells, min_rows=100)
    assert found.small == {"a": 99}
    assert [own.group for own in found.groups] == ["b", "c"]
    assert np.isnan(found.groups[0].rates[TRUE_POSITIVE].value)
    assert found.groups[0].rates[FALSE_POSITIVE].value == pytest.approx(1 / 3)
    assert TRUE_POSITIVE not in found.gaps
    [section] = fairness_sections(_record(found))
    assert "Of sex, a have fewer than 100 rows (99 in all): counted, not measured." in section.body
    nobody = measure_column("sex", cells, min_rows=1_000)
    assert nobody.groups == ()
    [section] = fairness_sections(_record(nobody))
    assert section.sentence == "No column has two groups of enough rows to compare."


def test_groups_of_fewer_than_ten_rows_are_counted_together_and_not_named() -> None:
    """A value that a few rows have tells of persons; a group of ten has its name."""
    cells = {**_two(99, 90, 300, 100), **{f"name {i}": _two(i, 0, 1, 0)["a"] for i in (1, 9, 10)}}
    found = measure_column("town", cells, min_rows=100)
    assert found.small == {"a": 99, "name 10": 10, "others": 1 + 9}
    cells["others"] = _two(20, 0, 1, 0)["a"]  # a value of this name
    assert measure_column("town", cells, min_rows=100).small["others"] == 20 + 1 + 9
    measured = measure_column("town", cells, min_rows=9)  # the configuration asks for it
    assert "name 9" in {own.group for own in measured.groups}
    assert measured.small == {"others": 1}


def _record(found: Any) -> FairnessSummary:
    return FairnessSummary.from_dict({
        "favourable": "approve", "positive": ["repaid"], "min_rows": 100,
        "limits": {"ratio": 0.8, "difference": 0.1}, "columns": [found.to_dict()],
        "unmeasured": {}, "exceeded": [],
    })  # fmt: skip


def test_fairness_interval_of_nobody_accepted_is_no_point() -> None:
    """0 of 60 is no proof of 0: the interval's end is near the exact one (Clopper-Pearson .060)."""
    found = measure_column("sex", _two(60, 0, 1_000, 500), min_rows=1, reference="b").groups[0]
    assert found.ratio.value == found.ratio.low == 0
    assert found.rates["acceptance"].high == pytest.approx(0.045, abs=0.015)
    assert found.ratio.high == pytest.approx(2 * found.rates["acceptance"].high, rel=0.1)


def test_unfair_differences_ask_for_size_and_for_significance() -> None:
    """.75 of 2,000 rows passes the four-fifths limit, .75 of 40 may be chance, .85 is allowed."""
    limits = {"ratio": 0.8, "difference": 0.1}

    def told(n: int, k: float, m: int, j: float, outcome: int = UNKNOWN) -> list[str]:
        found = measure_column("sex", _two(n, k, m, j, outcome), min_rows=1)
        return unfair_differences(found, "approve", **limits)

    [sentence] = told(2_000, 900, 2_000, 1_200)
    assert sentence.startswith("sex a gets approve at 0.75 times the rate of sex b (95 % interval")
    assert sentence.endswith("the limit is 0.8")
    assert told(40, 18, 40, 24) == []
    assert told(20_000, 10_200, 20_000, 12_000) == []
    [rate] = told(2_000, 1_700, 2_000, 1_990, outcome=1)
    assert rate.startswith("the true positive rate of sex b exceeds that of sex a by 0.145")


def test_unfair_differences_of_equal_groups_alarm_rarely() -> None:
    """Five groups of 100 rows with one rate of .3: below .8 by chance in most tables, told in few.

    The largest of ten differences is tested, so without the correction a third would be told.
    """
    rng = np.random.default_rng(5)
    below = alarms = 0
    for _ in range(150):
        counts = rng.binomial(100, 0.3, 5)
        cells = {f"g{i}": _two(100, k, 1, 1)["a"] for i, k in enumerate(counts)}
        found = measure_column("sex", cells, min_rows=1)
        below += found.gaps["acceptance"].ratio.value < 0.8
        alarms += bool(unfair_differences(found, "approve", ratio=0.8, difference=0.1))
    assert below > 100
    assert alarms <= 10


CASES = {
    "common": (400, 0.7, 2_000, 0.8),
    "rare": (200, 0.05, 2_000, 0.08),
    "nearly all": (150, 0.97, 600, 0.99),
    "weighted": (400, 0.3, 2_000, 0.4),
}


def _coverage(case: str, tables: int) -> float:
    """Return how often the interval of the adverse-impact ratio holds the true one."""
    n, p, m, q = CASES[case]
    rng, held = np.random.default_rng(17), 0
    group = np.repeat(["a", "b"], [n, m])
    for _ in range(tables):
        weight = rng.lognormal(0, 0.5, n + m) if case == "weighted" else np.ones(n + m)
        accepted = (rng.random(n + m) < np.where(group == "a", p, q)).astype(int)
        cells = _cells(group, accepted, np.full(n + m, UNKNOWN), weight)
        found = measure_column("x", cells, min_rows=1, reference="b").groups[0].ratio
        held += found.low <= p / q <= found.high
    return held / tables


@pytest.mark.slow
@pytest.mark.parametrize("case", list(CASES))
def test_adverse_impact_interval_covers_the_truth_as_often_as_it_says(case: str) -> None:
    """In 1,500 tables the 95 % interval holds the true ratio in 92.5 to 97.5 %."""
    assert 0.925 <= _coverage(case, 1_500) <= 0.975


def test_adverse_impact_interval_of_a_rare_decision_covers_the_truth() -> None:
    """The hardest case in 150 tables: 95 % but for the noise of so few."""
    assert 0.89 <= _coverage("rare", 150) <= 0.99


def test_ranges_are_named_and_quartiles_split_rows_evenly() -> None:
    """An edge belongs to the range above it; a value that many share is one edge."""
    assert range_labels((25, 40)) == ("below 25", "25 to below 40", "40 and above")
    assert quartile_edges({float(age): 10 for age in range(20, 60)}) == (30.0, 40.0, 50.0)
    assert quartile_edges({0.0: 900, 1.0: 50, 2.0: 50}) == (1.0,)


CONFIG = """\
name: loans
columns:
  keys: [id]
  label: outcome
  classes: {repaid: 0, defaulted: 1}
  numeric: [income]
  sensitive: [SENSITIVE]
costs:
  approve: {repaid: 0, defaulted: 5}
  decline: {repaid: 1, defaulted: 0}
fairness: {FAIRNESS}
"""


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ("favourable: aprove", "'aprove' is no decision; .*Did you mean 'approve'"),
        ("columns: [id]", "fairness.columns: id is a key or the label"),
        ("ranges: {age: [40, 25]}", r"fairness.ranges.age: \[40.0, 25.0\]; edges must ascend"),
        ("ranges: {agee: [40]}", "'agee' is not among the columns.*Did you mean 'age'"),
        ("reference: {race: x}", "'race' is not among the columns that are compared"),
        ("ratio: 1.5", "fairness.ratio"),
    ],
)
def test_load_config_fairness_mistake_is_one_helpful_sentence(
    tmp_path: Path, stated: str, words: str
) -> None:
    """With the key, the value and what is allowed."""
    path = tmp_path / "loan.yaml"
    path.write_text(CONFIG.replace("SENSITIVE", "sex, age").replace("FAIRNESS", stated))
    with pytest.raises(ConfigError, match=words):
        load_config(path)
    path.write_text(CONFIG.replace("SENSITIVE", "").replace("FAIRNESS", "ratio: 0.7"))
    with pytest.raises(ConfigError, match="no column is named"):
        load_config(path)
