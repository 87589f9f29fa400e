"""`tune`: folds, oracles, what it writes, and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from conftest import Shop, history
from pyspark.sql import functions as F
from sklearn.linear_model import LogisticRegression

from sparkweights.config.load import load_config
from sparkweights.config.resolve import training_spec
from sparkweights.sampling.split import FIT, UNUSED, fold
from sparkweights.training.data import PART, divide, learn_plan, split_order, weigh
from sparkweights.training.folds import divide_forward, held_out_roles, learn_fold_plans
from sparkweights.training.tune import _fold

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TUNE: dict[str, Any] = {"ratio": [1, 9], "points": 3, "folds": 2}
PLAIN = {"calibration": "none"}


def _tuned(shop: Shop, **changes: Any) -> dict[str, Any]:
    config = shop.config("tune.yaml", artifacts="out/tuned", **changes)
    assert shop.run("tune", config, "--quiet") == 0
    record: dict[str, Any] = json.loads(
        (shop.folder / "out" / "tuned" / "tuning" / "tuning.json").read_text(encoding="utf-8")
    )
    return record


@pytest.fixture(scope="module")
def tuned(shop: Shop) -> dict[str, Any]:
    """Tune once: three ratios, two folds, the configured scheme beside them."""
    return _tuned(shop, tune=TUNE, weights__scheme="cost_by_row")


def test_tune_tries_every_ratio_and_the_configured_scheme(tuned: dict[str, Any]) -> None:
    """Three ratios and the scheme whose weights differ by row and are no ratio."""
    assert [trial["ratio"] for trial in tuned["trials"]] == [1.0, 3.0, 9.0, None]
    assert all(len(trial["fold_costs"]) == 2 for trial in tuned["trials"])
    assert tuned["chosen"] in tuned["trials"]
    assert tuned["best"]["cost"] == min(trial["cost"] for trial in tuned["trials"])
    assert tuned["rows"] == pytest.approx(0.6 * 3_000, abs=5)


def test_tune_writes_a_table_and_a_curve(tuned: dict[str, Any], shop: Shop) -> None:
    """One row per candidate; the curve is an SVG with its texts as texts."""
    folder = shop.folder / "out" / "tuned" / "tuning"
    table = pd.read_parquet(folder / "tuning.parquet")
    assert table["cost"].tolist() == [trial["cost"] for trial in tuned["trials"]]
    root = ET.parse(folder / "curve.svg").getroot()  # noqa: S314 (our own file)
    texts = {text for node in root.iter() if (text := (node.text or "").strip())}
    assert "cost of a held-out row" in texts
    assert {"none", "balanced", "cost"} <= texts


def test_tune_leaves_the_model_in_use_alone(tuned: dict[str, Any], shop: Shop) -> None:
    """Its only output is its own folder."""
    assert tuned
    assert [path.name for path in (shop.folder / "out" / "tuned").iterdir()] == ["tuning"]


def _kept(shop: Shop, spark: SparkSession) -> pd.DataFrame:
    """Return the fit rows with their features and folds, as `tune` deals them."""
    config = load_config(shop.config("kept.yaml", weights={"scheme": "none"}))
    df = spark.read.parquet(str(shop.folder / "data" / "history"))
    spec = training_spec(config, df.columns)
    split, divided_df = divide(df, spec, weigh(df, spec), folds=2)
    own = fold(split, config.roles, split_order(df, spec))
    plan = learn_plan(divided_df, spec)
    kept = divided_df.filter(F.col(PART) == FIT).select(
        own.alias("fold"), plan.vector().alias("x"), "outcome", "amount"
    )
    return kept.toPandas()


@pytest.mark.slow
def test_tune_unweighted_cost_equals_scikit_learns(shop: Shop, spark: SparkSession) -> None:
    """Without penalty and calibration, each fold costs what sklearn's fit would have cost."""
    one = {**TUNE, "ratio": [1, 1], "points": 1}
    record = _tuned(
        shop, tune=one, decision=PLAIN, weights={"scheme": "none"}, model__params={"regParam": 0.0}
    )
    kept = _kept(shop, spark)
    features = np.stack([np.asarray(row) for row in kept["x"]])
    bad, amount = (kept["outcome"] == "bad").to_numpy(), kept["amount"].to_numpy()
    for number, cost in enumerate(record["trials"][0]["fold_costs"]):
        held = (kept["fold"] == number).to_numpy()
        scale = features[~held].std(axis=0)
        scale[scale == 0] = 1
        model = LogisticRegression(C=1e8, tol=1e-8, max_iter=2_000)
        p = model.fit(features[~held] / scale, bad[~held]).predict_proba(features[held] / scale)
        declined = p[:, 1] * 0.75 * amount[held] > p[:, 0] * (0.1 * amount[held] + 20)
        lost = np.where(bad[held], 0.75 * amount[held], 0.1 * amount[held] + 20)
        assert cost == pytest.approx(np.mean(np.where(declined != bad[held], lost, 0)), rel=0.01)


def test_tune_folds_are_stratified_by_class(shop: Shop, spark: SparkSession) -> None:
    """Each class is halved, exactly up to the steps that the order is counted in."""
    kept = _kept(shop, spark)
    for _, rows in kept.groupby("outcome"):
        first, second = rows["fold"].value_counts().sort_index()
        assert abs(first - second) <= 0.06 * len(rows)


@pytest.mark.slow  # sixteen fits on three times the rows
def test_tune_picks_the_parameter_that_works(shop: Shop) -> None:
    """A lasso that leaves nothing but the intercept loses, whatever the weights."""
    record = _tuned(
        shop,
        tables__labelled={"format": "parquet", "location": shop.table("longer", history(9_000))},
        tune={
            "folds": 4,
            "points": 1,
            "ratio": [1, 1],
            "params": {"elasticNetParam": [1.0], "regParam": [100.0, 0.001]},
        },
        costs={
            "approve": {"repaid": 0, "defaulted": "0.75 * amount"},
            "decline": {"repaid": "0.25 * amount", "defaulted": 0},
        },
    )  # fmt: skip
    assert record["chosen"]["params"] == {"elasticNetParam": 1.0, "regParam": 0.001}
    assert record["settings"]["model"]["params"]["regParam"] == 0.001


@pytest.mark.parametrize("where", ["tune", "split"])
def test_tune_group_keeps_its_rows_together(shop: Shop, spark: SparkSession, where: str) -> None:
    """All fit rows of an age are held out in one fold, and every fold holds some ages.

    So with ``split.group``, whose fit rows are those of the lower hashes.
    """
    stated = {"tune": {"folds": 3}, where: {"folds": 3} | {"group": ["age"]}}
    if where == "split":
        stated[where].pop("folds")
    config = load_config(shop.config("grouped.yaml", **stated))
    labelled_df = spark.read.parquet(str(shop.folder / "data" / "history"))
    spec = training_spec(config, labelled_df.columns)
    split, divided_df = divide(labelled_df, spec, weigh(labelled_df, spec), folds=3)
    held_out = _fold(labelled_df, spec, split).alias("fold")
    dealt = divided_df.filter(F.col(PART) == FIT).select("age", held_out).distinct().toPandas()
    assert dealt["age"].is_unique
    assert set(dealt["fold"]) == {0, 1, 2}


@pytest.mark.slow
def test_tune_forward_in_time_learns_from_earlier_rows_only(shop: Shop) -> None:
    """A relation that turns round half way: the past misleads the future, both folds show it."""
    frame = history(6_000)
    frame["month"] = np.arange(len(frame)) // 100
    late = frame["month"] >= 24  # the last part of the fit rows
    worst = frame["late payments"].max()
    frame.loc[late, "late payments"] = worst - frame.loc[late, "late payments"]
    shop.table("turning", frame)
    record = _tuned(
        shop,
        tune={**TUNE, "points": 1, "ratio": [1, 1]},
        tables__labelled={"format": "parquet", "location": "data/turning"},
        split={"by": "month"},
        decision=PLAIN,
        costs={
            "approve": {"repaid": 0, "defaulted": "0.75 * amount"},
            "decline": {"repaid": "0.25 * amount", "defaulted": 0},
        },
    )
    first, second = record["trials"][0]["fold_costs"]
    assert record["folds"] == {"number": 2, "by": "month"}
    assert second > 1.2 * first


def test_tune_forward_fold_calibrates_before_it(shop: Shop, spark: SparkSession) -> None:
    """By hand: of 36 months to fit, three spans of 12; the latest quarter before each calibrates.

    Months 0 to 8 fit, 9 to 11 calibrate and 12 to 23 are held out; then 0 to 17, 18 to 23 and 24
    to 35.
    """
    frame = history(6_000)
    frame["month"] = np.arange(len(frame)) // 100
    shop.table("forward", frame)
    config = load_config(
        shop.config("forward.yaml", split={"by": "month"}, tune={**TUNE, "folds": 2})
    )
    forward_df = spark.read.parquet(str(shop.folder / "data" / "forward"))
    divided_df, roles = divide_forward(forward_df, training_spec(config, forward_df.columns), 2)
    months = divided_df.select("month", PART, *[own.alias(f"{k}") for k, own in enumerate(roles)])
    found = months.toPandas()
    spans = [(9, 12, 24), (18, 24, 36)]
    for k, (fitted, calibrated, ended) in enumerate(spans):
        month = found["month"]
        truth = np.where(month < fitted, "fit", np.where(month < calibrated, "calibrate", "test"))
        assert (found[f"{k}"].fillna("") == np.where(month < ended, truth, "")).all()
    assert (found[PART] == np.repeat(["fit", "calibrate", "test"], [3_600, 1_200, 1_200])).all()


def test_tune_forward_fold_leaves_a_gap(shop: Shop, spark: SparkSession) -> None:
    """The folds above with a gap of two months: those before the next part are in no part."""
    frame = history(6_000)
    frame["month"] = np.arange(len(frame)) // 100
    shop.table("gapped", frame)
    split = {"by": "month", "gap": 2}
    config = load_config(shop.config("gapped.yaml", split=split, tune={**TUNE, "folds": 2}))
    gapped_df = spark.read.parquet(str(shop.folder / "data" / "gapped"))
    divided_df, roles = divide_forward(gapped_df, training_spec(config, gapped_df.columns), 2)
    months = divided_df.select("month", PART, *[own.alias(f"{k}") for k, own in enumerate(roles)])
    found = months.distinct().orderBy("month").toPandas().fillna("")
    parts = {"fit": "f", "calibrate": "c", "test": "t", "": "-", UNUSED: "-"}
    assert ["".join(found[name].map(parts)) for name in ("0", "1", PART)] == [
        "f" * 7 + "--" + "c" + "--" + "t" * 12 + "-" * 36,
        "f" * 16 + "--" + "c" * 4 + "--" + "t" * 12 + "-" * 24,
        "f" * 34 + "--" + "c" * 10 + "--" + "t" * 12,
    ]


@pytest.mark.slow
def test_tune_encodings_do_not_know_the_outcomes_of_held_out_rows(shop: Shop) -> None:
    """Codes without any part in the risk, three rows each: by their log odds nothing is saved."""
    frame = history()
    frame["code"] = np.random.default_rng(3).permutation(np.arange(len(frame)) // 3).astype(str)
    shop.table("codes", frame)
    record = _tuned(
        shop,
        tune={**TUNE, "points": 1, "ratio": [1, 1]},
        tables__labelled={"format": "parquet", "location": "data/codes"},
        columns__numeric=["amount"],
        columns__categorical=["code"],
        features={"categorical": "target"},
        weights={"scheme": "none"},
        decision=PLAIN,
        costs={
            "approve": {"repaid": 0, "defaulted": "0.75 * amount"},
            "decline": {"repaid": "0.25 * amount", "defaulted": 0},
        },
    )
    assert record["trials"][0]["savings"] < 0.02


def test_fold_plans_are_learned_from_the_rows_that_the_fold_fits_on(
    shop: Shop, spark: SparkSession
) -> None:
    """By hand: the log odds of a level, shrunk, from a fold's fit rows alone."""
    config = load_config(
        shop.config("target.yaml", features={"categorical": "target"}, tune={**TUNE, "folds": 2})
    )
    df = spark.read.parquet(str(shop.folder / "data" / "history"))
    spec = training_spec(config, df.columns)
    split, divided_df = divide(df, spec, weigh(df, spec), folds=2)
    own = fold(split, config.roles, split_order(df, spec))
    roles = held_out_roles(own, 2)
    plan = learn_plan(divided_df, spec)
    plans = learn_fold_plans(divided_df, spec, plan, roles)
    fitted = divided_df.filter(roles[1] == FIT).select("card type", "outcome").toPandas()
    encoder = next(one for one in plans[1].encoders if one.kind == "target")
    bad = fitted["outcome"] == "bad"
    for place, level in enumerate(encoder.levels):
        here = fitted["card type"] == level
        share = (bad[here].sum() + 20 * bad.mean()) / (here.sum() + 20)
        assert encoder.table[place][0] == pytest.approx(np.log(share / (1 - share)))
    assert plans[0].encoders != plans[1].encoders != plan.encoders
    assert len(plans[0].folds) == len(plan.folds)


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"tune": {"ratio": [9, 1]}}, 2, "runs backwards"),
        ({"tune": {"folds": 1}}, 2, "tune.folds"),
        ({"tune": {"params": {"maxDepht": [2]}}}, 2, "tune.params: logistic has no Param"),
        ({"tune": {"params": {"regParam": [-1]}}}, 2, "tune.params.regParam: -1"),
        ({"tune": {"group": ["age"]}, "split": {"by": "amount"}}, 2, "define folds in two ways"),
        ({"tune": {"group": ["agge"]}}, 4, "no column 'agge'"),
        ({"tune": {"points": 100, "folds": 20}}, 2, "at most 1,000 are allowed"),
        ({"resample": {"method": "under"}}, 2, "resample would change the rows"),
        ({"tune": {"group": ["card type"], "folds": 20}}, 4, "lower tune.folds"),
    ],
)
def test_tune_refuses_with_a_sentence(
    shop: Shop, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], code: int, text: str
) -> None:
    """What, the value, what is allowed, the next step; no stack trace."""
    config = shop.config("refused.yaml", artifacts="out/refused", **changes)
    assert shop.run("tune", config, "--quiet") == code
    told = capsys.readouterr().err
    assert text in told
    assert "Traceback" not in told
