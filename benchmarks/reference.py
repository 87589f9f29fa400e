"""The README's configuration beside a careful model of a single machine, on public tables.

Each table is dealt into five stratified folds, each of which is tested once by models of the other
four. The product trains with the settings of the README's ``loan.yaml``: only columns and costs are
the table's. The reference is what a careful modeller does with scikit-learn and XGBoost: logistic
regression (plain or on normal scores, its penalty by cross-validation) or boosted trees (their
depth and number by cross-validation), whichever has the lower cross-validated log loss; no
weights; the cross-validated probabilities left alone, or calibrated by a sigmoid or isotonic curve
as other folds of them prefer; the Bayes decision. Both see the same rows.

Savings are 1 - cost / cost of the best constant decision. Where the law is known, costs are
expected ones under the true probability. Differences are paired by fold.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
import time
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from benchmarks.careful import careful_probabilities
from benchmarks.harness import Bar, figure, report, session
from benchmarks.public_tables import CLASSES, KEY, LABEL, Problem, line, load_problems
from sparkweights import Config
from sparkweights.config.resolve import training_spec
from sparkweights.core.progress import LoggedProgress
from sparkweights.scoring.scorer import natural_probabilities
from sparkweights.storage.location import Location
from sparkweights.training.data import weigh
from sparkweights.training.train import train

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from benchmarks.public_tables import Array, Rows

SPLITS = 5
SMALL = 3_000  # rows; below, a fold's savings are a matter of few decisions
SHORTFALL, SHORTFALL_SMALL, AUC_SHORTFALL = 0.005, 0.02, 0.005
BASE_RATE = 0.03
# Tables tried unless others are asked for: of every size and origin, in half an hour.
USUAL = (
    "a line, 1,000",
    "card applicants",
    "staff turnover",
    "digits",
    "mortgages",
    "consumer loans",
    "a curved law, 20,000",
    "direct marketing",
    "store cards",
    "give me some credit",
)
README = Path(__file__).parents[1] / "README.md"


@dataclass(frozen=True)
class Outcome:
    """What one model is worth on one fold: savings, AUC, and mean probability / share of events."""

    savings: float
    auc: float
    ratio: float
    seconds: float


def main() -> int:
    """Run the benchmark."""
    parser = ArgumentParser(prog="python -m benchmarks.reference", description=__doc__)
    parser.add_argument("--splits", type=int, default=SPLITS, help=f"folds tried of {SPLITS}")
    parser.add_argument("--table", action="append", help="tables whose name holds this")
    parser.add_argument("--all", action="store_true", help="all eighteen tables, not the usual ten")
    parser.add_argument("--quick", action="store_true", help="one small draw, one fold: it runs?")
    given = parser.parse_args()
    spark = session("reference")
    settings = readme_settings()
    problems = [line(1_000, 1, share=0.2)] if given.quick else load_problems()
    if not given.all:
        parts = given.table or USUAL
        problems = [p for p in problems if any(part in p.name for part in parts)]
    figures: dict[str, Any] = {}
    bars: list[Bar] = []
    for problem in problems:
        folds = 1 if given.quick else given.splits
        found = compare(spark, problem, settings, splits=folds)
        figures |= _figures(problem, *found)
        bars += _bars(problem, *found)
    return report("reference", figures, bars)


def readme_settings() -> dict[str, Any]:
    """Return the README's example configuration without what belongs to its table."""
    found = re.search(r"```yaml\n(name: loan_risk.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert found is not None
    settings: dict[str, Any] = yaml.safe_load(found[1])
    for section in ("tables", "columns", "costs", "checks", "artifacts"):
        settings.pop(section, None)
    return settings


def compare(
    spark: SparkSession, problem: Problem, settings: Mapping[str, Any], *, splits: int
) -> tuple[list[Outcome], list[Outcome]]:
    """Return the outcomes of the reference and of the product, by fold."""
    dealt = StratifiedKFold(SPLITS, shuffle=True, random_state=0)
    folds = list(dealt.split(problem.frame, problem.label))[:splits]
    theirs, ours = [], []
    for fold, (train_rows, test_rows) in enumerate(folds):
        begun = time.monotonic()
        chosen, p = careful_probabilities(problem, train_rows, test_rows, seed=fold)
        costs = problem.matrix()[test_rows]
        expected = np.einsum("rdc,rc->rd", costs, np.stack([1 - p, p], axis=1))
        decisions = expected.argmin(axis=1)
        theirs.append(_outcome(problem, test_rows, p, decisions, time.monotonic() - begun))
        begun = time.monotonic()
        p, decisions = product(spark, problem, settings, train_rows, test_rows, seed=fold)
        ours.append(_outcome(problem, test_rows, p, decisions, time.monotonic() - begun))
        print(f"{problem.name}, fold {fold}: {chosen}: {theirs[-1]}", file=sys.stderr)
        print(f"{problem.name}, fold {fold}: product: {ours[-1]}", file=sys.stderr, flush=True)
    return theirs, ours


def product(
    spark: SparkSession,
    problem: Problem,
    settings: Mapping[str, Any],
    train_rows: Rows,
    test_rows: Rows,
    *,
    seed: int,
) -> tuple[Array, Rows]:
    """Return the product's probabilities of the event, and the places of its decisions."""
    config = Config(
        **{
            **settings,
            "seed": seed,
            "columns": {
                "keys": [KEY],
                "label": LABEL,
                "classes": CLASSES,
                "numeric": problem.numeric,
                "categorical": problem.categorical,
            },
            "costs": problem.costs,
            # The figures judge, not the gate.
            "decision": {**settings.get("decision", {}), "base_rate_tolerance": 1.0},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        placed = config.model_copy(update={"folder": Location.of(folder)})
        labelled, asked = problem.frame.iloc[train_rows], problem.frame.iloc[test_rows]
        train_df: DataFrame = spark.createDataFrame(labelled).repartition(2).cache()
        spec = training_spec(placed, train_df.columns)
        trained = train(train_df, spec, weigh(train_df, spec), LoggedProgress())
        matrix, scorer = placed.matrix, trained.scorer
        natural = natural_probabilities(scorer)
        chosen = spec.problem.policy.decide(natural)
        test_df: DataFrame = spark.createDataFrame(asked)
        scored_df = scorer.score(test_df)
        scored = scored_df.select(KEY, natural[1].alias("p"), chosen.alias("decision")).toPandas()
        train_df.unpersist()
    scored = scored.set_index(KEY).loc[asked[KEY]]
    places = scored["decision"].map({name: d for d, name in enumerate(matrix.decisions)})
    return np.asarray(scored["p"], np.float64), np.asarray(places, np.int64)


def _outcome(
    problem: Problem, test_rows: Rows, p: Array, decisions: Rows, seconds: float
) -> Outcome:
    label, costs = problem.label[test_rows], problem.matrix()[test_rows]
    event = label if problem.truth is None else problem.truth[test_rows]
    by_decision = np.einsum("rdc,rc->rd", costs, np.stack([1 - event, event], axis=1))
    paid = by_decision[np.arange(len(label)), decisions].sum()
    return Outcome(
        savings=float(1 - paid / by_decision.sum(axis=0).min()),
        auc=float(roc_auc_score(label, p)),
        ratio=float(p.sum() / label.sum()),
        seconds=seconds,
    )


def _differences(theirs: Sequence[float], ours: Sequence[float]) -> list[float]:
    return [own - other for own, other in zip(ours, theirs, strict=True)]


def _figures(
    problem: Problem, theirs: Sequence[Outcome], ours: Sequence[Outcome]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for measure in ("savings", "auc", "ratio", "seconds"):
        values = [[getattr(one, measure) for one in outcomes] for outcomes in (theirs, ours)]
        paired = _differences(*values)
        error = statistics.stdev(paired) / len(paired) ** 0.5 if len(paired) > 1 else None
        for who, own in (("reference", values[0]), ("product", values[1])):
            mean = round(statistics.mean(own), 4)
            found[f"{problem.name}: {measure}, {who}"] = {**figure(own, measure), "mean": mean}
        found[f"{problem.name}: {measure}, difference"] = {
            **figure(paired, measure),
            "mean": round(statistics.mean(paired), 4),
            "standard_error": None if error is None else round(error, 4),
        }
    return found


def _bars(problem: Problem, theirs: Sequence[Outcome], ours: Sequence[Outcome]) -> list[Bar]:
    saved = statistics.mean(_differences([o.savings for o in theirs], [o.savings for o in ours]))
    ranked = statistics.mean(_differences([o.auc for o in theirs], [o.auc for o in ours]))
    base = abs(statistics.mean(o.ratio for o in ours) - 1)
    limit = SHORTFALL_SMALL if len(problem.frame) < SMALL else SHORTFALL
    return [
        Bar(f"{problem.name}: savings less the reference's", saved, -limit, at_most=False),
        Bar(f"{problem.name}: AUC less the reference's", ranked, -AUC_SHORTFALL, at_most=False),
        Bar(f"{problem.name}: mean probability over base rate, from 1", base, BASE_RATE),
    ]


if __name__ == "__main__":
    sys.exit(main())
