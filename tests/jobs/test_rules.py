"""On the demo's clients: roads to a decision that must meet, and one that must be closed."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import yaml
from pyspark.sql import functions as F

from sparkweights.bundle.bundle import load_bundle
from sparkweights.cli.main import main
from sparkweights.config.load import load_config
from sparkweights.core.errors import ModelError
from sparkweights.costs.policy import DecisionPolicy
from sparkweights.demo import clients
from sparkweights.probability.label_shift import collect_histogram, estimate_shift
from sparkweights.sampling.hashing import uniform
from sparkweights.sampling.split import TEST, Split, part
from sparkweights.scoring.scorer import Scorer

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.config.schema import Config
    from sparkweights.probability.priors import ScoreHistogram

CLASSES = ["repay", "default"]


@dataclass(frozen=True)
class Lender:
    """The demo's configuration, with its weighted model and one without weights."""

    config: Config
    weighted: Scorer
    unweighted: Scorer
    reference: ScoreHistogram
    test_df: DataFrame


def _variant(demo: Path, name: str, **sections: object) -> Path:
    record = yaml.safe_load((demo / "credit_card.yaml").read_text(encoding="utf-8"))
    record |= {"artifacts": f"out/{name}", "runs": f"out/runs_{name}", **sections}
    record["tables"]["scored"]["location"] = f"out/scored_{name}"
    record["tables"]["quarantine"]["location"] = f"out/quarantine_{name}"
    path = demo / f"{name}.yaml"
    path.write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def lender(spark: SparkSession, demo: Path) -> Lender:
    """Train once more on the same rows without weights, and take the test rows of both."""
    # Fewer trees, longer steps: what is compared are decisions, and they are there early.
    model = {"kind": "boosted_trees", "params": {"maxIter": 30, "maxDepth": 3, "stepSize": 0.3}}
    plain = _variant(demo, "plain", weights={"scheme": "none"}, model=model)
    assert main(["train", "--config", str(plain), "--quiet"]) == 0
    config = load_config(demo / "credit_card.yaml")
    bundle = load_bundle(config.path(config.artifacts))
    cuts = {name: tuple(found) for name, found in bundle.manifest.split.boundaries.items()}
    history_df = spark.read.parquet(str(demo / "data" / "history"))
    own = part(Split(None, cuts), config.roles, uniform(config.roles.keys, config.seed))
    return Lender(
        config,
        Scorer.of(bundle),
        Scorer.of(load_bundle(demo / "out" / "plain")),
        bundle.reference.scores,
        history_df.filter(own == TEST).cache(),
    )


def _scored(lender: Lender, scorer: Scorer, *, carrying_weights: bool = False) -> pd.DataFrame:
    """Return the test rows with our decision and what it cost, in the table's order."""
    names = scorer.weighted_cols if carrying_weights else scorer.probability_cols
    decision = DecisionPolicy(lender.config.matrix).decide([F.col(f"`{name}`") for name in names])
    scored_df = scorer.score(lender.test_df).withColumn("d", decision)
    columns = ["client_id", "credit_limit", "defaulted", "d", *scorer.weighted_cols]
    return scored_df.select(*columns).toPandas().sort_values("client_id", ignore_index=True)


def _cost(frame: pd.DataFrame, decision: pd.Series) -> float:
    limit, bad = frame["credit_limit"], frame["defaulted"] == 1
    lost = np.where(bad, 0.75 * limit * (decision == "approve"), 0.0)
    margin = np.where(~bad, (0.18 * limit + 2_000) * (decision == "decline"), 0.0)
    return float((lost + margin).sum())


def _savings(frame: pd.DataFrame, decision: pd.Series) -> float:
    constant = [_cost(frame, pd.Series(name, index=frame.index)) for name in ("approve", "decline")]
    return 1 - _cost(frame, decision) / min(constant)


@pytest.mark.slow
def test_rules_cost_weights_cut_by_the_rows_costs_are_the_bayes_decision(lender: Lender) -> None:
    """Weights undone, then priced, and weighted odds cut by the row's costs over the mean ones.

    A row of mean costs is cut at odds of 1, a probability of 1/2.
    """
    bare = replace(lender.weighted, calibrator=None)
    ours = _scored(lender, bare)
    (weights,) = lender.weighted.ledger.reweightings
    of_repay, of_default = weights.rule.constants or ()
    limit, q = ours["credit_limit"], ours["__weighted_default"]
    odds = (0.18 * limit + 2_000) / of_repay / (0.75 * limit / of_default)
    cut = np.where(q / (1 - q) > odds, "decline", "approve")
    assert len(ours) > 4_500
    assert (ours["d"] == cut).all()
    assert {"approve", "decline"} == set(cut)


@pytest.mark.slow
def test_rules_without_weights_the_bayes_decision_is_nearly_the_same(lender: Lender) -> None:
    """Weights change the fit a little, and the decisions on fewer than one row in ten."""
    ours, plain = _scored(lender, lender.weighted), _scored(lender, lender.unweighted)
    assert (ours["d"] == plain["d"]).mean() >= 0.9
    assert abs(_savings(ours, ours["d"]) - _savings(plain, plain["d"])) <= 0.02


@pytest.mark.slow
def test_rules_double_count_loses_a_sixth_and_is_refused(lender: Lender) -> None:
    """Pricing probabilities that carry the cost weights is costly, and the ledger says why."""
    ours = _scored(lender, lender.weighted)
    twice = _scored(lender, lender.weighted, carrying_weights=True)
    assert _savings(ours, ours["d"]) - _savings(twice, twice["d"]) >= 1 / 6
    held = replace(
        lender.weighted.ledger,
        calibration="none",
        reweightings=tuple(
            replace(step, inverted=False) for step in lender.weighted.ledger.reweightings
        ),
    )
    with pytest.raises(ModelError, match="would count the costs twice"):
        held.require_natural()


@pytest.mark.slow
def test_rules_review_lowers_the_expected_cost_within_capacity(demo: Path) -> None:
    """At 3,000 a look and time for one client in twenty, the night is cheaper."""
    config = _variant(
        demo,
        "reviewed",
        artifacts="out/models",
        review={"cost": 3_000, "capacity": 0.05},
        checks={"incoming": "expectations/incoming.json"},  # the other knows no third decision
    )
    assert main(["score", "--config", str(config), "--run-date", "2005-10-01", "--quiet"]) == 0
    usual, reviewed = (
        json.loads((demo / "out" / runs / "run_date=2005-10-01" / "manifest.json").read_text())
        for runs in ("runs", "runs_reviewed")
    )
    assert reviewed["expected_cost"]["decisions_taken"] < (
        0.95 * usual["expected_cost"]["decisions_taken"]
    )
    rows = reviewed["rows"]["incoming"] - reviewed["rows"]["quarantined"]
    assert reviewed["decisions"]["review"] == pytest.approx(0.05 * rows, abs=0.005 * rows)


@pytest.fixture(scope="module")
def strangers(lender: Lender, spark: SparkSession, demo: Path) -> pd.DataFrame:
    """Score the clients of the incoming table, whose outcomes we know and the model does not."""
    incoming_df = spark.read.parquet(str(demo / "data" / "incoming"))
    columns = ["client_id", "credit_limit", "probability_repay", "probability_default"]
    scored = lender.weighted.score(incoming_df).select(*columns).toPandas()
    outcome = clients().select(["client_id", "defaulted"]).to_pandas()
    return scored.merge(outcome, on="client_id").dropna()


def _thinned(frame: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """Drop rows of one class until the other has the share that is wanted."""
    bad, good = frame[frame["defaulted"] == 1], frame[frame["defaulted"] == 0]
    bads = min(len(bad), round(len(good) * share / (1 - share)))
    goods = min(len(good), round(bads * (1 - share) / share))
    return pd.concat([bad.sample(bads, random_state=seed), good.sample(goods, random_state=seed)])


@pytest.mark.slow
def test_shift_recovers_the_prior_of_thinned_clients_and_saves_money(
    lender: Lender, strangers: pd.DataFrame, spark: SparkSession
) -> None:
    """Priors of 2, 5, 10 and 40 %, 5 draws each: both estimates, their intervals, the money."""
    covered = {"bbse": 0, "saerens_em": 0}
    prior = lender.weighted.ledger.prior
    for share in (0.02, 0.05, 0.10, 0.40):
        found: dict[str, list[tuple[float, float]]] = {"bbse": [], "saerens_em": []}
        adapted, unadapted = 0.0, 0.0
        for seed in range(5):
            frame = _thinned(strangers, share, seed)
            target = collect_histogram(
                spark.createDataFrame(frame), lender.weighted.probability_cols
            )
            shift = estimate_shift(lender.reference, target, prior, max_shift=20)
            for estimate in shift.estimates:
                found[estimate.method].append((estimate.shares[1], estimate.standard_errors[1]))
                low, high = estimate.interval()[1]
                covered[estimate.method] += low <= share <= high
            unadapted += _cost(frame, _decided(frame, prior, prior))
            adapted += _cost(frame, _decided(frame, prior, shift.target_prior() or prior))
        for method, draws in found.items():
            mean, error = (float(np.mean(values)) for values in zip(*draws, strict=True))
            assert abs(mean - share) <= max(0.1 * share, 2 * error), (method, share, mean, error)
        assert adapted < unadapted, share
    assert min(covered.values()) >= 17, covered


def _decided(frame: pd.DataFrame, prior: dict[str, float], target: dict[str, float]) -> pd.Series:
    odds = frame["probability_default"] / frame["probability_repay"]
    odds = odds * (target["default"] / prior["default"]) / (target["repay"] / prior["repay"])
    limit = frame["credit_limit"]
    decline = odds * 0.75 * limit > 0.18 * limit + 2_000
    return decline.map({True: "decline", False: "approve"})
