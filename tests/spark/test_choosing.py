from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from sparkweights import Config
from sparkweights.errors import ConfigError
from sparkweights.pipeline import choosing
from sparkweights.pipeline.choosing import candidates, held_out_loss, require_named_kind
from sparkweights.pipeline.preparing import weigh
from sparkweights.pipeline.progress import LoggedProgress
from sparkweights.pipeline.training import train

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession


def _config(**sections: Any) -> Config:
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
    config.check()
    return config


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
    config = _config(train={"folds": 2}).model_copy(update={"folder": tmp_path})
    trained = train(df, config, weigh(df, config), LoggedProgress())
    choice = trained.learner_choice
    assert choice is not None
    assert (choice.kind, trained.scorer.kind) == (kind, kind)
    assert set(choice.losses) == {"logistic", "xgboost"}
    assert choice.losses[kind] == min(choice.losses.values())


def test_auto_tries_logistic_on_normal_scores_and_the_boosting_there_is(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XGBoost's in a classic session that has it, else MLlib's; a stated encoding is kept."""
    logistic, boosting = candidates(_config(), spark)
    assert (logistic.model.kind, logistic.features.numeric) == ("logistic", "quantile")
    assert (boosting.model.kind, boosting.features.numeric) == ("xgboost", "auto")
    connected: Any = SimpleNamespace()
    assert candidates(_config(), connected)[1].model.kind == "boosted_trees"
    monkeypatch.setattr(choosing, "find_spec", lambda _: None)
    assert candidates(_config(), spark)[1].model.kind == "boosted_trees"
    plain, _ = candidates(_config(features={"numeric": "plain"}), spark)
    assert plain.features.numeric == "plain"


def test_auto_candidates_pass_the_checks_of_a_configuration(spark: SparkSession) -> None:
    """What training chooses from is what a user might have written."""
    for one in candidates(_config(), spark):
        one.check()


def test_held_out_loss_sums_the_classes() -> None:
    """The mean log losses of one class against the rest, added up."""
    evaluation: Any = SimpleNamespace(
        classes={"a": SimpleNamespace(log_loss=0.25), "b": SimpleNamespace(log_loss=0.5)}
    )
    assert held_out_loss(evaluation) == 0.75


def test_auto_refuses_parameters_and_verbs_of_one_learner() -> None:
    """Parameters belong to a learner; so do tuning and a backtest."""
    with pytest.raises(ConfigError, match="regParam given, but kind 'auto' chooses the learner"):
        _config(model={"kind": "auto", "params": {"regParam": 0.1}})
    with pytest.raises(ConfigError, match="`tune` fits one learner"):
        require_named_kind(_config(), "tune")
    require_named_kind(_config(model={"kind": "logistic"}), "tune")
