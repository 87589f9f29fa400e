"""`monitor` is silent where nothing changed, and exits 7 where something did."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import RUN_DATE
from pyspark.sql import functions as F

from sparkweights.cli.main import main
from sparkweights.demo import clients
from sparkweights.evaluation.drift import collect_bins, count_bins, stability_index
from sparkweights.probability.label_shift import collect_histogram

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import SparkSession

HALF = {"kind": "logistic", "params": {"regParam": 0.001}}


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory, spark: object) -> tuple[Path, pd.DataFrame]:
    """Train on a random half of the demo's clients; return the folder and the other half."""
    folder = tmp_path_factory.mktemp("halves")
    rows = clients().to_pandas().assign(times=1.0)
    mine = np.random.default_rng(6).random(len(rows)) < 0.5
    shipped = resources.files("sparkweights.demo") / "credit_card.yaml"
    config = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    config |= {"model": HALF, "features": {"numeric": "plain"}, "checks": {}, "tables": {
        name: {"format": "parquet", "location": f"data/{name}"} for name in ("labelled", "incoming")
    }}  # fmt: skip
    del config["reasons"]
    config["columns"]["weight"] = "times"
    (folder / "half.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "data" / "labelled").mkdir(parents=True)
    rows[mine].to_parquet(folder / "data" / "labelled" / "part-0.parquet", index=False)
    assert main(["train", "--config", str(folder / "half.yaml"), "--quiet"]) == 0
    return folder, rows[~mine]


def _put(folder: Path, incoming: pd.DataFrame) -> None:
    """Write tonight's table."""
    place = folder / "data" / "incoming"
    place.mkdir(exist_ok=True)
    incoming.to_parquet(place / "part-0.parquet", index=False)


def _thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out every second default."""
    bad = rows["defaulted"] == 1
    return rows[~bad | (bad.cumsum() % 2 == 0)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda rows: rows, 0, ""),
        (
            lambda rows: rows.assign(credit_limit=rows["credit_limit"] * 2),
            7,
            "column credit_limit has a stability index",
        ),
    ],
    ids=["the other half", "limits doubled"],
)
def test_monitor_tells_a_change_from_none(
    halves: tuple[Path, pd.DataFrame],
    capsys: pytest.CaptureFixture[str],
    change: Callable[[pd.DataFrame], pd.DataFrame],
    code: int,
    words: str,
) -> None:
    """On the half that training has not seen, without outcomes."""
    folder, rows = halves
    unknown = change(rows).drop(columns="defaulted")
    _put(folder, unknown)
    capsys.readouterr()
    options = ["--config", str(folder / "half.yaml"), "--run-date", RUN_DATE, "--quiet", "--json"]
    assert main(["monitor", *options]) == code
    told = capsys.readouterr()
    record = json.loads(told.out)
    assert record["rows"] == len(unknown)
    assert bool(record["exceeded"]) == (code == 7)
    assert any(words in sentence for sentence in record["exceeded"]) or not words
    assert "Traceback" not in told.err
    report = next((folder / "out" / "runs").glob("*/monitor.html")).read_text(encoding="utf-8")
    assert "Verdict: which limits are exceeded?" in report


def test_monitor_known_outcomes_and_overrides_are_judged(
    halves: tuple[Path, pd.DataFrame], capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the defaults gone: predicted and observed part; overrides against a constant."""
    folder, rows = halves
    _put(folder, _thinned(rows).assign(taken="approve"))
    config = yaml.safe_load((folder / "half.yaml").read_text(encoding="utf-8"))
    config["monitor"] = {"decided": "taken", "overrides": 0.05}
    (folder / "known.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert main(["monitor", "--config", str(folder / "known.yaml"), "--quiet", "--json"]) == 7
    record = json.loads(capsys.readouterr().out)
    found = record["calibration"]["default"]
    bad = _thinned(rows)["defaulted"]
    assert found["share"] == pytest.approx(bad.mean())
    assert found["mean_probability"] > 1.2 * found["share"]
    assert 0.05 < record["overrides"] < 0.6
    told_of = record["diagnosis"]["default"]
    assert "the mix of rows drifted" in told_of
    for told in ("the share of default is estimated at", "mean probability", "overridden"):
        assert any(told in sentence for sentence in record["exceeded"]), told


@pytest.mark.slow
def test_monitor_counts_rows_by_their_weight_and_doubts_by_effective_rows(
    halves: tuple[Path, pd.DataFrame], capsys: pytest.CaptureFixture[str]
) -> None:
    """Weight 3 is the row three times in shares, means and indices, and no more evidence."""
    folder, rows = halves
    times = np.random.default_rng(7).choice([1, 3], len(rows))
    records = []
    for table in (rows.assign(times=times.astype(float)), rows.loc[rows.index.repeat(times)]):
        _put(folder, table)
        main(["monitor", "--config", str(folder / "half.yaml"), "--quiet", "--json"])
        records.append(json.loads(capsys.readouterr().out))
    weighted, repeated = records
    for name, own in weighted["calibration"].items():
        other = repeated["calibration"][name]
        assert own["share"] == pytest.approx(other["share"])
        assert own["mean_probability"] == pytest.approx(other["mean_probability"])
        assert own["rows"] == len(rows)
    assert weighted["scores"] == pytest.approx(repeated["scores"])
    assert weighted["drift"]["columns"] == pytest.approx(repeated["drift"]["columns"])
    kish = times.sum() ** 2 / (times**2).sum()
    assert weighted["label_shift"]["effective_rows"] == pytest.approx(kish)
    assert repeated["label_shift"]["effective_rows"] == pytest.approx(times.sum())


@pytest.mark.slow
def test_monitor_rows_without_a_decision_say_nothing_of_shares(
    halves: tuple[Path, pd.DataFrame], capsys: pytest.CaptureFixture[str]
) -> None:
    """Shares and calibration are those of the rows that can be scored, whatever joins them."""
    folder, rows = halves
    worse = rows[rows["defaulted"] == 1].head(400)
    worse = worse.assign(client_id=-worse["client_id"], credit_limit=np.inf, bill_april=-np.inf)
    records = []
    for table in (rows, pd.concat([rows, worse])):
        _put(folder, table)
        main(["monitor", "--config", str(folder / "half.yaml"), "--quiet", "--json"])
        records.append(json.loads(capsys.readouterr().out))
    alone, joined = records
    assert joined["rows"] == alone["rows"] + 400
    assert joined["label_shift"] == alone["label_shift"]
    assert joined["calibration"]["default"]["rows"] == len(rows)
    assert joined["calibration"] == {
        name: pytest.approx(found) for name, found in alone["calibration"].items()
    }


def test_the_reference_counts_a_row_as_often_as_its_weight_says(spark: SparkSession) -> None:
    """Weight 2 is the row twice and weight 0 no row, for the bins of a column and of the scores."""
    rng = np.random.default_rng(4)
    bad = rng.random(600) < 0.3
    frame = pd.DataFrame({
        "x": rng.normal(size=600),
        "card": rng.choice(["gold", "basic"], 600),
        "y": bad.astype(int),
        "p1": np.where(bad, 0.6, 0.2) + 0.1 * rng.random(600),
        "w": rng.integers(0, 4, 600),
    })  # fmt: skip
    frame["p0"] = 1 - frame["p1"]
    weighted_df = spark.createDataFrame(frame)
    repeated_df = spark.createDataFrame(frame.loc[frame.index.repeat(frame["w"])])
    bins = collect_bins(weighted_df, ["x"], ["card"])
    counted = count_bins(weighted_df, bins, F.col("w"))
    repeated = count_bins(repeated_df, bins)
    assert [own.counts for own in counted] == [own.counts for own in repeated]
    assert [own.counts for own in counted] != [own.counts for own in bins]
    ours = collect_histogram(weighted_df, ["p0", "p1"], index=F.col("y"), weight=F.col("w"))
    twice = collect_histogram(repeated_df, ["p0", "p1"], index=F.col("y"))
    assert ours.rows.tolist() == twice.rows.tolist()
    assert ours.weight_squares is not None
    squares = [(frame["w"] ** 2)[frame["y"] == c].sum() for c in (0, 1)]
    assert ours.weight_squares.sum(axis=0).tolist() == squares
    assert counted[0].weight_square_sum == sum(squares)
    assert ours.probabilities == pytest.approx(twice.probabilities)


def test_stability_index_is_the_symmetric_divergence() -> None:
    """By hand: (0.2 - 0.5) ln(0.2 / 0.5) + (0.8 - 0.5) ln(0.8 / 0.5); the same both ways."""
    by_hand = -0.3 * np.log(0.4) + 0.3 * np.log(1.6)
    assert stability_index([50, 50], [20, 80]) == pytest.approx(by_hand)
    assert stability_index([20, 80], [50, 50]) == pytest.approx(by_hand)
    assert stability_index([10, 0, 90], [100, 0, 900]) == pytest.approx(0)
    assert np.isfinite(stability_index([10, 0, 90], [90, 10, 0]))
    assert np.isnan(stability_index([1, 2], [0, 0]))
