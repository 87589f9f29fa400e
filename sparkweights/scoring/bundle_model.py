"""A loaded bundle as a model that transforms DataFrames, without a configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from sparkweights.bundle import bundle as bundles
from sparkweights.core.errors import InputError, ModelError, join_names
from sparkweights.scoring.plan import ScoringContext, ScoringPlan, append_status
from sparkweights.scoring.schema_checks import require_model
from sparkweights.scoring.scorer import Scorer
from sparkweights.spec.outputs import decided_columns
from sparkweights.spec.scoring import ScoringSpec

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.spec.problem import DecisionProblem
    from sparkweights.storage.location import AnyLocation


@dataclass(frozen=True)
class BundleModel:
    """A trained model that appends probabilities, expected costs and decisions to rows.

    `load_bundle` gives one. Rows are not checked by a suite, not set aside and not reviewed: a
    scoring run chooses whom to review among all rows of its table.

    Attributes
    ----------
    bundle
        The fitted model with all that scoring needs.
    problem
        What is decided, at the costs of the training, without review.
    """

    bundle: ModelBundle
    problem: DecisionProblem

    @property
    def version(self) -> str:
        """The version of the bundle."""
        return self.bundle.version

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in index order."""
        return self.problem.classes

    @property
    def decisions(self) -> tuple[str, ...]:
        """The decisions, in declared order."""
        return self.problem.decisions

    def transform(self, dataset: DataFrame) -> DataFrame:
        """Append what a scoring run writes about each row; no Spark job is run.

        Parameters
        ----------
        dataset
            Rows with the columns that the model, its weights and the costs read.

        Returns
        -------
        DataFrame
            With ``probability_<class>`` (natural, calibrated), ``expected_cost_<decision>``,
            ``expected_cost``, ``score_status`` and ``decision``, as in the scored table. A row
            that cannot be scored has null numbers, the decision ``unscorable``, and the reason in
            ``score_status``.

        Raises
        ------
        InputError
            If a column is missing, of another type than in training, or has the name of one that
            is added.
        """
        added = decided_columns(self.classes, self.decisions)
        self._require_free(dataset, added)
        # Every column is kept, as a run keeps the keys.
        roles = replace(self.problem.roles, keys=tuple(dataset.columns))
        plan = ScoringPlan(ScoringSpec(replace(self.problem, roles=roles), seed=0))
        scorer = Scorer.of(self.bundle)
        require_model(
            dataset.schema,
            plan.spec.problem,
            scorer,
            self.bundle.manifest.schema,
            table="input of BundleModel",
        )
        context = ScoringContext(scorer)
        return append_status(plan.decide(plan.price(dataset, scorer), context))

    def _require_free(self, dataset: DataFrame, added: list[str]) -> None:
        reserved = {name.casefold() for name in added}
        for name in dataset.columns:
            if name.casefold() in reserved or name.startswith("__"):
                raise InputError(
                    f"The rows have a column '{name}'; transform adds {join_names(added)}, and "
                    "names with two underscores in front are its own.",
                    hint="rename or drop the column.",
                )


def load_bundle(
    location: AnyLocation, version: str | None = None, *, key: bytes | None = None
) -> BundleModel:
    """Load a model bundle, to score DataFrames in a notebook without a configuration.

    Every file is verified by its checksum. Classes, features and costs are those of the training.

    Parameters
    ----------
    location
        The folder of all versions, ``artifacts`` of the configuration.
    version
        A version's name, or None for the current one.
    key
        With which its signature is verified; None if none is asked for.

    Raises
    ------
    ConfigError
        If the server of a Spark Connect session does not share the folder.
    ModelError
        If there is no bundle, it is altered, its signature is missing or wrong, or it was written
        by a newer Spark or an older release that kept no specification; or if no Spark session is
        running.
    """
    try:
        SparkSession.active()
    except PySparkException:
        raise ModelError(
            f"The bundle in '{location}' is loaded by Spark, and no session is running.",
            hint="make one by SparkSession.builder.getOrCreate(), or open the bundle without "
            "Spark by sparkweights.load_classifier.",
        ) from None
    bundle = bundles.load_bundle(location, version, key=key)
    problem = replace(bundle.manifest.problem, review=None)
    return BundleModel(bundle, problem)
