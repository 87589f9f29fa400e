from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F

from sparkweights import Config
from sparkweights.config.resolve import training_spec
from sparkweights.core.errors import ConfigError
from sparkweights.core.progress import LoggedProgress
from sparkweights.training.choose_learner import (
    candidates,
    compare_losses,
    paired_losses,
    require_named_kind,
    simplest_adequate,
)
from sparkweights.training.cross_fit import CrossFittedScorer, score_by_fold
from sparkweights.training.data import FOLD, weigh
from sparkweights.training.train import train

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.spec.training import TrainingSpec


def _spec(**sections: Any) -> TrainingSpec:
    config = Config(
        name="choice",
        seed=3,
        columns={
            "keys": ["id"],
            "label": "y",
            "classes": {"repaid": 0, "defaulted": 1},
            "numeric": ["a", "b"],
        },
        costs={
            "approve": {"repaid": 0, "defaulted": 4},
            "decline": {"repaid": 1, "defaulted": 0},
        },
        **{"model": {"kind": "auto"}, **sections},
    )
    return training_spec(config, ["id", "a", "b", "y"])


def _table(law: str, rows: int = 1_500) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    a, b = rng.standard_normal((2, rows))
    risk = 1.2 * a - 0.8 * b if law == "line" else 2.0 * np.sign(a) * np.sign(b)
    y = (rng.random(rows) < 1 / (1 + np.exp(1.4 - risk))).astype(int)
    return pd.DataFrame({"id": np.arange(rows), "a": a, "b": b, "y": y})


@pytest.mark.slow
@pytest.mark.parametrize(("law", "kind"), [("line", "logistic"), ("interaction", "xgboost")])
def test_auto_takes_the_learner_that_the_law_asks_for(
    spark: SparkSession, tmp_path: Path, law: str, kind: str
) -> None:
    """Log odds on a line: logistic regression. Their sign by a product of signs: trees."""
    df = spark.createDataFrame(_table(law)).coalesce(1).cache()
    spec = replace(_spec(train={"folds": 2}), scratch=str(tmp_path))
    trained = train(df, spec, weigh(df, spec), LoggedProgress())
    choice = trained.learner_choice
    assert choice is not None
    assert (choice.kind, trained.scorer.kind) == (kind, kind)
    assert list(choice.losses)[:2] == ["logistic", "xgboost"]
    assert len(choice.losses) == (3 if kind == "xgboost" else 2)
    gain = choice.losses["logistic"] - choice.losses["xgboost"]
    assert choice.standard_error > 0
    assert kind == "xgboost" or gain <= choice.standard_error


def test_auto_tries_logistic_on_normal_scores_and_the_boosting_there_is(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XGBoost's in a classic session that has it, else MLlib's; a stated encoding is kept."""
    logistic, boosting, larger = candidates(_spec(), spark).values()
    assert (logistic.model.kind, logistic.features.numeric) == ("logistic", "quantile")
    assert (boosting.model.kind, boosting.features.numeric) == ("xgboost", "auto")
    assert (larger.model.kind, larger.model.params) == (
        "xgboost",
        {"n_estimators": 400, "max_depth": 4},
    )
    connected: Any = SimpleNamespace()
    assert list(candidates(_spec(), connected)) == ["logistic", "boosted_trees"]
    monkeypatch.setattr("sparkweights.core.extras.find_spec", lambda _: None)
    assert list(candidates(_spec(), spark)) == ["logistic", "boosted_trees"]
    plain = candidates(_spec(features={"numeric": "plain"}), spark)["logistic"]
    assert plain.features.numeric == "plain"


@pytest.mark.parametrize(
    ("losses", "kept", "tried"),
    [
        ((0.5, 0.5, 0.1), "small", 2),
        ((0.5, 0.4, 0.4), "medium", 3),
        ((0.5, 0.4, 0.3), "large", 3),
        ((0.5, 0.6, 0.1), "small", 2),
    ],
)
def test_the_search_ends_with_the_first_that_is_not_clearly_better(
    losses: tuple[float, ...], kept: str, tried: int
) -> None:
    """Nothing is trained after it, and the losses of what was trained are told in order."""
    names = ("small", "medium", "large")
    specs: Any = dict(zip(names, losses, strict=True))
    trained: list[float] = []

    def train_one(loss: Any) -> Any:
        trained.append(loss)
        wave = np.tile([0.01, -0.01], 10)  # rows differ, so that an equal loss is no better one
        return SimpleNamespace(
            evaluation=SimpleNamespace(
                block_weights=np.ones(20), block_losses=loss + (wave if len(trained) % 2 else -wave)
            )
        )

    found = simplest_adequate(specs, train_one)
    assert found.name == kept
    assert list(found.losses) == list(names[:tried])
    assert tuple(found.losses.values()) == pytest.approx(losses[:tried])
    assert trained == list(losses[:tried])
    assert found.trained.evaluation.block_losses.mean() == pytest.approx(specs[kept])
    assert found.standard_error == pytest.approx(0.02 * np.sqrt(20 / 19) / np.sqrt(20))


def test_trees_must_be_better_by_more_than_a_standard_error() -> None:
    """Four blocks of one row: the difference is .1 on average, and its standard error known."""
    first, second = np.array([0.7, 0.5, 0.9, 0.7]), np.array([0.4, 0.6, 0.8, 0.6])
    found = paired_losses(np.column_stack([np.ones(4), first, second]))
    assert found.losses == pytest.approx((0.7, 0.6))
    assert found.standard_error == pytest.approx(np.std(first - second, ddof=1) / 2)
    assert found.second_is_better == (np.std([0.3, -0.1, 0.1, 0.1], ddof=1) / 2 < 0.1)
    close = paired_losses(np.column_stack([np.ones(4), first, first - [0.3, -0.2, 0.2, -0.1]]))
    assert close.losses[1] < close.losses[0]
    assert not close.second_is_better


def test_a_row_of_weight_two_counts_as_twice_in_its_block() -> None:
    """Sums over blocks are all that the comparison knows."""
    once = paired_losses(np.array([[2.0, 1.4, 1.0], [1.0, 0.2, 0.3]]))
    twice = paired_losses(np.array([[1.0 + 1.0, 0.7 + 0.7, 0.5 + 0.5], [1.0, 0.2, 0.3]]))
    assert once == twice
    assert once.losses == pytest.approx((1.6 / 3, 1.3 / 3))


def test_evaluations_are_compared_by_blocks_that_hold_rows() -> None:
    """Blocks without rows, as of a small table, count for nothing."""
    weights = np.array([2.0, 0.0, 1.0])
    first, second = (
        SimpleNamespace(block_weights=weights, block_losses=losses)
        for losses in (np.array([1.4, 0.0, 0.2]), np.array([1.0, 0.0, 0.3]))
    )
    expected = paired_losses(np.array([[2.0, 1.4, 1.0], [1.0, 0.2, 0.3]]))
    assert compare_losses(first, second) == expected  # type: ignore[arg-type]


def test_crossed_models_score_rows_fold_by_fold(spark: SparkSession) -> None:
    """Each row by the models of its fold; the plan reads the rows once per fold, not per pair."""
    rows, folds = 60, 3
    rng = np.random.default_rng(6)
    names = [f"{scorer}{fold}" for scorer in "pq" for fold in range(folds)]
    table = pd.DataFrame(rng.random((rows, 2 * folds)), columns=names)
    table[FOLD] = rng.integers(0, folds, rows)
    scorers: Any = [
        CrossFittedScorer(tuple(_given(f"{name}{fold}", name) for fold in range(folds)))  # type: ignore[arg-type]
        for name in "pq"
    ]

    def append(fold_df: DataFrame, of_fold: Any) -> DataFrame:
        return of_fold[1].score(of_fold[0].score(fold_df))

    df = score_by_fold(spark.createDataFrame(table), scorers, append)
    for row in df.collect():
        assert (row["p"], row["q"]) == (row[f"p{row[FOLD]}"], row[f"q{row[FOLD]}"])
    plan = df._jdf.queryExecution().analyzed().toString()
    assert plan.count("LogicalRDD") + plan.count("LocalRelation") == folds


def _given(name: str, output: str) -> Any:
    """Return a scorer whose probability is a column of the table."""

    def score(df: DataFrame) -> DataFrame:
        return df.withColumn(output, F.col(name))

    return SimpleNamespace(score=score)


def test_auto_refuses_parameters_and_verbs_of_one_learner() -> None:
    """Parameters belong to a learner; so do tuning and a backtest."""
    with pytest.raises(ConfigError, match="regParam given, but kind 'auto' chooses the learner"):
        _spec(model={"kind": "auto", "params": {"regParam": 0.1}})
    with pytest.raises(ConfigError, match="`tune` fits one learner"):
        require_named_kind(_spec(), "tune")
    require_named_kind(_spec(model={"kind": "logistic"}), "tune")
