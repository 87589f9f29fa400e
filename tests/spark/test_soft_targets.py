"""Soft targets and fidelity as Spark computes them, against numbers by hand and numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F

from sparkweights.core.roles import ColumnRoles
from sparkweights.costs.matrix import CostMatrix
from sparkweights.evaluation.fidelity import Predicted, collect_fidelity
from sparkweights.models.base import FEATURES, LABEL, WEIGHT
from sparkweights.spec.problem import DecisionProblem
from sparkweights.spec.training import TrainingSpec
from sparkweights.training.targets import SoftTargets, without_labelled
from sparkweights.weights.rule import WeightRule

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

ROLES = ColumnRoles(("loan.id",), "y", {"a": 0, "b": 1}, ("x",), (), weight="w")
RULE = WeightRule.fixed("manual", {"a": 0.5, "b": 4.0})


def test_expanded_rows_weigh_target_times_class_weight_times_sample_weight(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Temperature 2 and a quarter of the outcome, by hand; a class of target 0 has no row."""
    matrix = CostMatrix.zero_one(ROLES.class_names)
    spec = TrainingSpec(DecisionProblem(ROLES, matrix), 1, str(tmp_path))
    labelled_df = spark.createDataFrame(
        [(0, 1.0, 2.0, [0.8, 0.2]), (1, 2.0, 1.0, [0.8, 0.2]), (0, 3.0, 1.0, [1.0, 0.0])],
        "y int, x double, w double, p array<double>",
    )
    new_df = spark.createDataFrame([(4.0, 3.0, [0.8, 0.2])], "x double, w double, p array<double>")
    targets = SoftTargets(cast("Any", None), (cast("Any", _Scored()),), 2.0, 0.25, new_df)
    vector = F.array("x")
    prepared_df = targets.append(labelled_df).select(
        vector.alias(FEATURES),
        *[value.alias(name) for name, value in targets.columns(spec, RULE).items()],
    )
    with targets.keep_unlabelled({FEATURES: vector}, spec, RULE) as kept:
        rows = kept.expand(prepared_df, -1).collect()
    found = {(row[FEATURES][0], row[LABEL]): row[WEIGHT] for row in rows}
    second = 0.2**0.5 / (0.8**0.5 + 0.2**0.5)  # 1/3
    assert second == pytest.approx(1 / 3)
    assert len(rows) == len(found)
    assert found == pytest.approx({
        (1.0, 0.0): (0.75 * 2 / 3 + 0.25) * 0.5 * 2, (1.0, 1.0): 0.75 / 3 * 4 * 2,
        (2.0, 0.0): 0.75 * 2 / 3 * 0.5, (2.0, 1.0): (0.75 / 3 + 0.25) * 4,
        (3.0, 0.0): 0.5,
        (4.0, 0.0): 2 / 3 * 0.5 * 3, (4.0, 1.0): 1 / 3 * 4 * 3,
    })  # fmt: skip


class _Scored:
    """A teacher whose probabilities the rows have already."""

    probability_cols = ("p_a", "p_b")

    def score(self, df: Any) -> Any:
        """Append the probabilities as columns."""
        return df.withColumns({"p_a": F.col("p")[0], "p_b": F.col("p")[1]})


def test_rows_with_outcomes_are_no_rows_without(spark: SparkSession) -> None:
    """Keys are compared as texts, so that a key may be of another type of number."""
    labelled_df = spark.createDataFrame([(1,), (2,)], "`loan.id` int")
    unlabelled_df = spark.createDataFrame(
        [(2, "x"), (3, "y"), (None, "z")], "`loan.id` bigint, v string"
    )
    kept = without_labelled(unlabelled_df, labelled_df, ROLES.keys).collect()
    assert sorted(row["v"] for row in kept) == ["y", "z"]


def test_fidelity_equals_numpy(spark: SparkSession) -> None:
    """Every measure on all rows, on the rarest class and by segment, with sample weights."""
    rng, rows = np.random.default_rng(5), 400
    teacher = rng.beta(1, 4, rows)
    student = np.clip(teacher + rng.normal(0, 0.05, rows), 0.01, 0.99)
    frame = pd.DataFrame({
        "t": teacher, "s": student, "y": (rng.random(rows) < teacher).astype(int),
        "w": rng.integers(1, 4, rows).astype(float), "town": rng.choice(["x", "y"], rows),
    })  # fmt: skip
    frame["td"], frame["sd"] = (frame[name] > 0.2 for name in ("t", "s"))
    costs = pd.DataFrame({
        name: np.where(frame[name], 1.0 - frame["y"], 5.0 * frame["y"]) for name in ("td", "sd")
    })  # fmt: skip
    df = spark.createDataFrame(frame.assign(tc=costs["td"], sc=costs["sd"]))
    models = [
        Predicted([1 - F.col(p), F.col(p)], F.col(d), F.col(c))
        for p, d, c in (("t", "td", "tc"), ("s", "sd", "sc"))
    ]
    result = collect_fidelity(
        df, *models, index=F.col("y"), rare=1, weight=F.col("w"), by=["town"],
        constant_costs=[5.0 * F.col("y"), 1.0 - F.col("y")],
    )  # fmt: skip
    chosen = {
        "all": (np.ones(rows, dtype=bool), result.overall),
        "rare": (frame["y"].to_numpy() == 1, result.rare_class),
        **{town: (frame["town"].to_numpy() == town, result.segments[town,]) for town in "xy"},
    }
    for at, found in chosen.values():
        part, w = frame[at], frame["w"][at]
        p, q = part["t"], part["s"]
        divergence = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
        losses = [-np.log(np.where(part["y"] == 1, x, 1 - x)) for x in (p, q)]
        cost = [np.average(costs[name][at], weights=w) for name in ("td", "sd")]
        best = min(np.average(part["y"] * 5.0, weights=w), np.average(1.0 - part["y"], weights=w))
        assert found.rows == at.sum()
        assert found.mean_difference == pytest.approx(np.average(np.abs(p - q), weights=w))
        assert found.divergence == pytest.approx(np.average(divergence, weights=w))
        assert (found.teacher_loss, found.student_loss) == pytest.approx(
            tuple(np.average(loss, weights=w) for loss in losses)
        )
        assert found.equal_decisions == pytest.approx(
            np.average(part["td"] == part["sd"], weights=w)
        )
        assert (found.teacher_cost, found.student_cost) == pytest.approx(tuple(cost))
        savings = 1 - np.array(cost) / best if best > 0 else [np.nan] * 2
        assert (found.teacher_savings, found.student_savings) == pytest.approx(
            tuple(savings), nan_ok=True
        )
        exact = np.corrcoef(*[np.repeat(x.rank(), w.astype(int)) for x in (p, q)])[0, 1]
        assert found.rank_correlation == pytest.approx(exact, abs=0.04)  # bins of log odds
