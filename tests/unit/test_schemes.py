"""Weighting schemes against scikit-learn, hand-computed rows and their own promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from sparkweights.core.errors import ConfigError, InputError
from sparkweights.costs.expression import render
from sparkweights.costs.matrix import CostMatrix
from sparkweights.weights.choose import weigh_frequencies
from sparkweights.weights.class_frequencies import ClassFrequency
from sparkweights.weights.diagnostics import WeightSums, diagnose
from sparkweights.weights.rule import GroupFactors, Grouping, WeightRule
from sparkweights.weights.schemes import bounded_weights, regret_cells
from sparkweights.weights.spec import BY_COST, SCHEMES, WeightSpec

COUNTS = st.lists(st.integers(1, 10_000), min_size=2, max_size=6)


def _frequencies(counts: list[int]) -> list[ClassFrequency]:
    return [ClassFrequency(f"c{i}", n, float(n), float(n)) for i, n in enumerate(counts)]


def _weights(counts: list[int], spec: WeightSpec) -> tuple[float, ...]:
    found = weigh_frequencies(_frequencies(counts), spec).rule.constants
    assert found is not None
    return found


@given(COUNTS)
def test_balanced_any_counts_equal_scikit_learn(counts: list[int]) -> None:
    """Balanced weights are compute_class_weight("balanced")."""
    labels = np.repeat(np.arange(len(counts)), counts)
    oracle = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    assert _weights(counts, WeightSpec("balanced")) == pytest.approx(oracle)


@given(COUNTS)
def test_balanced_any_counts_share_the_risk_equally(counts: list[int]) -> None:
    """Under balanced weights each class carries the same share of the risk."""
    found = weigh_frequencies(_frequencies(counts), WeightSpec("balanced")).diagnostics
    assert found.share_after == pytest.approx([1 / len(counts)] * len(counts))


@given(COUNTS, st.floats(0, 1))
def test_tempered_lies_between_none_and_balanced(counts: list[int], power: float) -> None:
    """The weights' ratio is the shares' ratio to the power, so powers 0, 1/2, 1 have names."""
    found = _weights(counts, WeightSpec("tempered", power=power))
    for n, w in zip(counts, found, strict=True):
        assert w / found[0] == pytest.approx((counts[0] / n) ** power)
    for named, exponent in (("none", 0.0), ("inverse_sqrt", 0.5), ("balanced", 1.0)):
        same = _weights(counts, WeightSpec("tempered", power=exponent))
        assert _weights(counts, WeightSpec(named)) == pytest.approx(same)


@given(COUNTS, st.sampled_from([0.0, 0.5, 0.9, 0.99, 0.9999, 1 - 1e-9]))
def test_effective_number_equals_the_published_formula(counts: list[int], beta: float) -> None:
    """Ratios are those of (1 - beta) / (1 - beta^n), summed as a geometric series."""
    found = _weights(counts, WeightSpec("effective_number", beta=beta))
    numbers = [math.fsum(beta**i for i in range(n)) for n in counts]
    for number, w in zip(numbers, found, strict=True):
        assert w / found[0] == pytest.approx(numbers[0] / number, rel=1e-9)


@given(
    COUNTS,
    st.lists(st.floats(0.001, 1000), min_size=6, max_size=6),
    st.floats(0, 1),
    st.floats(1, 60),
)
def test_bounded_weights_any_bounds_keep_the_mean_at_one(
    counts: list[int], raw: list[float], floor: float, cap: float
) -> None:
    """Whatever the bounds, the mean is 1, no weight passes them, free ones keep their ratios."""
    raw = raw[: len(counts)]
    values = bounded_weights(raw, counts, floor, cap)
    mean = sum(v * n for v, n in zip(values, counts, strict=True)) / sum(counts)
    assert mean == pytest.approx(1)
    assert floor * (1 - 1e-12) <= min(values) <= max(values) <= cap * (1 + 1e-12)
    free = [v / r for v, r in zip(values, raw, strict=True) if floor < v < cap]
    assert free == pytest.approx(free[:1] * len(free))


def test_bounded_weights_that_underflow_are_refused() -> None:
    """A weight that becomes 0 cannot be undone."""
    with pytest.raises(InputError, match="smallest would be 0"):
        bounded_weights([1e-320, 1e300], [1, 1], 0, math.inf)


def test_manual_weights_are_scaled_ratios() -> None:
    """20 : 1 over 90 and 10 rows has mean (90 + 200) / 100 = 2.9."""
    found = _weights([90, 10], WeightSpec("manual", manual={"c0": 1, "c1": 20}))
    assert found == pytest.approx((1 / 2.9, 20 / 2.9))


@pytest.mark.parametrize("weight", [0, -1, math.nan, math.inf])
def test_manual_impossible_weight_is_refused(weight: float) -> None:
    """A class weight is a finite number above 0."""
    with pytest.raises(ConfigError, match=r"weights\.manual\.c1"):
        _weights([5, 5], WeightSpec("manual", manual={"c0": 1, "c1": weight}))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scheme": "balance"}, ["weights.scheme", "Did you mean 'balanced'?"]),
        ({"scheme": "tempered"}, ["needs power"]),
        ({"scheme": "balanced", "power": 0.5}, ["weights.power", "do not go together"]),
        ({"scheme": "tempered", "power": 1.5}, ["weights.power: 1.5", "0 <= power <= 1"]),
        ({"scheme": "tempered", "power": math.nan}, ["weights.power: nan"]),
        ({"scheme": "effective_number", "beta": 1.0}, ["weights.beta: 1.0", "0 <= beta < 1"]),
        ({"scheme": "manual"}, ["needs manual"]),
        ({"scheme": "manual", "manual": {"c0": 1}}, ["no weight for class c1"]),
        ({"scheme": "manual", "manual": {"c0": 1, "c2": 1}}, ["unknown class 'c2'"]),
        ({"cap": 0.5}, ["weights.cap: 0.5", "not below 1"]),
        ({"cap": math.nan}, ["weights.cap: nan"]),
        ({"floor": 1.5}, ["weights.floor: 1.5"]),
        ({"floor": -0.1}, ["weights.floor: -0.1"]),
        ({"scheme": "cost", "grouping": Grouping(("country",))}, ["weights.by", "balanced"]),
        ({"scheme": "cost_by_row", "grouping": Grouping(("x",))}, ["weights.by", "cost_balanced"]),
        ({"scheme": "cost"}, ["mean regret of each class", "0 were given for 2 classes"]),
    ],
)
def test_weight_spec_impossible_wish_is_refused(
    settings: dict[str, object], words: list[str]
) -> None:
    """Each setting is refused with its value and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        _weights([5, 5], WeightSpec(**settings))  # type: ignore[arg-type]
    for word in words:
        assert word in str(caught.value)


def test_weigh_frequencies_class_without_rows_is_refused() -> None:
    """One class only cannot be weighted against another."""
    with pytest.raises(InputError, match="No rows of class c1"):
        _weights([5, 0], WeightSpec("balanced"))


@pytest.mark.parametrize("scheme", [s for s in SCHEMES if s not in BY_COST])
def test_weigh_frequencies_sample_weights_equal_repeated_rows(scheme: str) -> None:
    """A class of 4 rows of weight 3 weighs as one of 12 rows of weight 1, in every scheme."""
    extra = {"tempered": {"power": 0.3}, "effective_number": {"beta": 0.9}}
    manual = {"manual": {"manual": {"a": 2.0, "b": 5.0}}}
    spec = WeightSpec(scheme, **{**extra, **manual}.get(scheme, {}))  # type: ignore[arg-type]
    weighted = [ClassFrequency("a", 50, 50.0, 50.0), ClassFrequency("b", 4, 12.0, 36.0)]
    repeated = [ClassFrequency("a", 50, 50.0, 50.0), ClassFrequency("b", 12, 12.0, 12.0)]
    found = [weigh_frequencies(f, spec) for f in (weighted, repeated)]
    assert found[0].rule == found[1].rule
    assert found[0].diagnostics.gradient_variance == pytest.approx(
        found[1].diagnostics.gradient_variance
    )


def test_balanced_with_a_cap_says_which_share_the_rare_class_carries() -> None:
    """Of 9,995 and 5 rows balanced weights would be 1,000; a cap of 50 leaves 2.5 %, not half."""
    found = weigh_frequencies(_frequencies([9_995, 5]), WeightSpec("balanced", cap=50))
    effect = found.diagnostics
    assert effect.share_after[1] == pytest.approx(50 * 5 / 10_000)
    assert effect.share_aimed == pytest.approx((0.5, 0.5))
    (short,) = found.warnings
    for words in ("'c1' carries 2.5 %", "the 50 % of scheme balanced", "mean weight of 1,000"):
        assert words in short


def test_a_bound_that_takes_next_to_nothing_is_no_warning() -> None:
    """A cap just below the weight of the rare class costs it less than 2 % of its share."""
    free = weigh_frequencies(_frequencies([90, 10]), WeightSpec("balanced"))
    near = weigh_frequencies(_frequencies([90, 10]), WeightSpec("balanced", cap=4.96))
    assert free.diagnostics.share_after == free.diagnostics.share_aimed
    assert near.diagnostics.share_after[1] < near.diagnostics.share_aimed[1]
    assert free.warnings == near.warnings == ()


def test_weigh_frequencies_hundred_thousand_classes() -> None:
    """Many classes need no more than arithmetic: each keeps the same share of the risk."""
    counts = [1 + i % 997 for i in range(100_000)]
    found = weigh_frequencies(_frequencies(counts), WeightSpec("balanced", cap=100))
    assert found.diagnostics.mean_weight == pytest.approx(1)
    assert found.diagnostics.largest_weight == pytest.approx(100)


def test_regret_cells_of_per_row_costs_are_the_price_of_the_mistake() -> None:
    """With a free right decision the regret is the wrong one's cost."""
    matrix = CostMatrix.parse(
        {
            "approve": {"repay": 0, "default": "0.75 * limit"},
            "decline": {"repay": "0.18 * limit + 2000", "default": 0},
        },
        ["repay", "default"],
    )
    assert [render(cell) for cell in regret_cells(matrix)] == [
        "0.18 * limit + 2000",
        "0.75 * limit",
    ]


def test_regret_cells_of_three_decisions_average_the_wrong_ones() -> None:
    """Class a: costs 1, 3, 8, best 1: mean of 2 and 7; class b: 5, 0, 1: mean of 5 and 1."""
    matrix = CostMatrix.parse(
        {"x": {"a": 1, "b": 5}, "y": {"a": 3, "b": 0}, "z": {"a": 8, "b": 1}}, ["a", "b"]
    )
    assert [render(cell) for cell in regret_cells(matrix)] == ["4.5", "3"]


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(1, 9)), min_size=2, max_size=5),
)
def test_kish_ess_integer_weights_equal_repeated_rows(classes: list[tuple[int, int]]) -> None:
    """ESS <= n, with equality for equal weights only; a weight is what repeating a row does."""
    sums = np.array([(n * w, n * w * w, n * w * w, w, w) for n, w in classes], dtype=float)
    weighted = WeightSums(*sums.T)
    before = sums[:, 0] / sums[:, 4]
    found = diagnose(sum(n for n, _ in classes), before, weighted, weighted.weight)
    rows = sum(n for n, _ in classes)
    assert found.kish_ess <= rows * (1 + 1e-12)
    assert (found.kish_ess == pytest.approx(rows)) == (len({w for _, w in classes}) == 1)
    repeated = sum(n * w for n, w in classes)
    assert found.share_after == pytest.approx([n * w / repeated for n, w in classes])
    assert found.gradient_variance == pytest.approx(rows / found.kish_ess)


def test_weight_rule_round_trips_through_json() -> None:
    """A ledger read back weighs rows as the one written."""
    rule = WeightRule("cost", ("a", "b"), regret_cells(CostMatrix.zero_one(["a", "b"])), 2, 0.1, 9)
    assert WeightRule.from_dict(rule.to_dict()) == rule
    groups = GroupFactors(Grouping(("x",), "t", "month"), {'["1"]': (1.0, 2.0)}, (1.0, 3.0))
    free = WeightRule("balanced", ("a", "b"), rule.cells, groups=groups)
    assert WeightRule.from_dict(free.to_dict()) == free
    assert free.constants is None
    assert free.columns == ("x", "t")
