"""What a small tree keeps of a large model's savings, beside the same tree without a teacher.

The demo's card clients, five random splits 60/20/20. The teacher is XGBoost with the product's
parameters; each student is one tree of at most 32 leaves on the teacher's probabilities, with the
clients of the incoming table as rows without outcome, and with or without class weights. The same
tree is fitted to outcomes. All are calibrated, priced by the Bayes decision and tested on the same
rows. Recall is the share of the defaults among the fifth of the clients with the highest
probabilities.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
from scipy import stats

from benchmarks.harness import Bar, arguments, figure, report, session
from sparkweights import Runner
from sparkweights.config.load import load_config
from sparkweights.demo import RUN_DATE, write_demo
from sparkweights.evaluation.discrimination import gains
from sparkweights.spec.settings import Distill, Model, Train, Weights
from sparkweights.spec.tables import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import SparkSession

    from sparkweights import Config
    from sparkweights.storage.location import Location
    from sparkweights.training.train import TrainingResult

TEACHER, OUTCOMES, STUDENT, WEIGHTED = (
    "teacher",
    "tree of outcomes",
    "student",
    "student with balanced weights",
)
# So many rows in a leaf that its share of defaults is known to some hundredths.
TREE = Model(
    kind="tree",
    params={"maxDepth": 8, "maxBins": 128, "minInstancesPerNode": 100},
    max_leaves=32,
)
CLASS, SHARE = "default", 0.2
KEPT = 0.95  # of the teacher's savings


@dataclass(frozen=True)
class Tested:
    """What a model saves on the test rows, and the share of defaults in its riskiest fifth."""

    savings: float
    recall: float

    @classmethod
    def of(cls, trained: TrainingResult) -> Tested:
        """Return the measures of an evaluation."""
        evaluation = trained.evaluation
        (recall,) = gains(evaluation.tables[CLASS], np.array([SHARE]))
        return cls(evaluation.savings("ours"), float(recall))


def main() -> int:
    """Run the benchmark."""
    given = arguments(__doc__, rows=24_000, repeat=5, quick_rows=4_000)
    spark = session("distill")
    tested: dict[str, list[Tested]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = write_demo(name)
        history = str(folder / "data" / "history" / "part-0.parquet")
        pq.write_table(pq.read_table(history).slice(0, given.rows), history)
        for seed in range(max(given.repeat, 1)):
            for model, measures in split(spark, folder, seed).items():
                tested.setdefault(model, []).append(measures)
                text = f"{model}: saves {measures.savings:.4f}, recall {measures.recall:.4f}"
                print(f"split {seed}: {text}", file=sys.stderr)
    return report("distill", *verdict(tested))


def split(spark: SparkSession, folder: Location, seed: int) -> dict[str, Tested]:
    """Train a teacher, its students, and a tree of outcomes on one split."""

    def config(artifacts: str, model: Model, scheme: str = "none") -> Config:
        stated = load_config(folder / "credit_card.yaml")
        student = Distill(model=TREE, weights=Weights(scheme=scheme), artifacts=f"out/{scheme}")
        tables = stated.tables.model_copy(update={"unlabelled": Table(location="data/incoming")})
        return stated.model_copy(
            update={
                "seed": seed, "artifacts": artifacts, "model": model, "distill": student,
                "tables": tables, "weights": Weights(), "train": Train(refit="none"),
                "reasons": None,
                # The figures judge, not the gates.
                "decision": stated.decision.model_copy(
                    update={"base_rate_tolerance": 1.0, "cost_tolerance": 1.0}
                ),
            }
        )  # fmt: skip

    teacher = Model(kind="xgboost")
    return {
        TEACHER: Tested.of(Runner(spark, config("out/models", teacher), RUN_DATE).train().value),
        OUTCOMES: Tested.of(Runner(spark, config("out/outcomes", TREE), RUN_DATE).train().value),
        **{
            name: Tested.of(
                Runner(spark, config("out/models", teacher, scheme), RUN_DATE)
                .distill()
                .value.trained
            )
            for name, scheme in ((STUDENT, "none"), (WEIGHTED, "balanced"))
        },
    }


def verdict(
    tested: Mapping[str, Sequence[Tested]],
) -> tuple[dict[str, dict[str, float]], list[Bar]]:
    """Return figures and bars from the measures of each split."""
    savings = {name: [one.savings for one in every] for name, every in tested.items()}
    recall = {name: [one.recall for one in every] for name, every in tested.items()}
    figures = {f"savings, {name}": figure(values, "savings") for name, values in savings.items()}
    figures |= {f"recall, {name}": figure(values, "share") for name, values in recall.items()}
    gained = [one - other for one, other in zip(savings[STUDENT], savings[OUTCOMES], strict=True)]
    caught = [one - other for one, other in zip(recall[WEIGHTED], recall[STUDENT], strict=True)]
    for name, values in (("savings by the teacher", gained), ("recall by the weights", caught)):
        low, high = interval(values)
        figures[name] = {**figure(values, "difference"), "low": low, "high": high}
    kept = statistics.mean(savings[STUDENT]) / statistics.mean(savings[TEACHER])
    return figures, [
        Bar("share of the teacher's savings", kept, KEPT, at_most=False),
        Bar("savings by the teacher, low end", interval(gained)[0], 0.0, at_most=False),
        Bar("recall by the weights, mean", statistics.mean(caught), 0.0, at_most=False),
    ]


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of a paired mean difference by Student's t; of one, itself."""
    mean, count = statistics.mean(differences), len(differences)
    if count < 2:
        return mean, mean
    half_width = float(stats.t.ppf(0.975, count - 1)) * statistics.stdev(differences) / count**0.5
    return round(mean - half_width, 4), round(mean + half_width, 4)


if __name__ == "__main__":
    sys.exit(main())
