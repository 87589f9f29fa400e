"""From rows on one machine to natural probabilities, expected costs and decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sparkweights.core.errors import ModelError, join_names
from sparkweights.local.corrections import calibrate, invert_weights, shift_prior
from sparkweights.local.costs import RowCosts
from sparkweights.local.encoders import LocalPlan
from sparkweights.local.models import SavedModel, open_model
from sparkweights.probability.focal import invert_focal
from sparkweights.spec.outputs import UNSCORABLE
from sparkweights.weights.rule import WeightRule

if TYPE_CHECKING:
    from sparkweights.bundle.integrity import VerifiedBundle
    from sparkweights.costs.matrix import CostMatrix
    from sparkweights.local.columns import Array, Flags, InputColumns, Numbers, Texts
    from sparkweights.local.models import LocalModel
    from sparkweights.records.training import TrainingRecord
    from sparkweights.spec.problem import DecisionProblem


@dataclass(frozen=True)
class PricedRows:
    """Rows with their expected costs.

    Attributes
    ----------
    decisions
        In declared order.
    probabilities
        ``[row, class]``, see `LocalScorer.probabilities`.
    costs
        Of each decision and class.
    expected
        ``[row, decision]``; NaN on rows that cannot be scored.
    """

    decisions: tuple[str, ...]
    probabilities: Array
    costs: RowCosts
    expected: Array

    @property
    def is_scored(self) -> Flags:
        """Whether a row can be scored."""
        return np.asarray(~np.isnan(self.expected).any(axis=1))

    def decision(self) -> Texts:
        """Return the decision of least expected cost; a tie goes to the one declared first."""
        names = np.array([*self.decisions, UNSCORABLE], dtype=object)
        return np.asarray(names[np.where(self.is_scored, self._least(), len(names) - 1)])

    def realised_cost(self, class_index: Numbers) -> Array:
        """Return the cost of each row's decision, given its true class; NaN where there is none."""
        cells = np.asarray(self.costs.cells)
        realised = cells[self._least(), class_index, np.arange(len(class_index))]
        return np.where(self.is_scored, realised, np.nan)

    def _least(self) -> Numbers:
        """Return the position of the decision of least expected cost; 0 where it is unknown."""
        return np.asarray(np.where(self.is_scored[:, None], self.expected, 0.0).argmin(axis=1))


@dataclass(frozen=True)
class LocalScorer:
    """A bundle as a function of rows on one machine; `sparkweights.scoring.scorer` is Spark's.

    Attributes
    ----------
    version
        The bundle's.
    manifest
        The record of its training.
    problem
        What is decided, as it was trained.
    plan
        How rows become feature vectors.
    model
        The fitted model.
    rules
        The reweightings of the training, which are inverted.
    """

    version: str
    manifest: TrainingRecord
    problem: DecisionProblem
    plan: LocalPlan
    model: LocalModel
    rules: tuple[WeightRule, ...]

    @classmethod
    def of(cls, bundle: VerifiedBundle) -> LocalScorer:
        """Open the files of a bundle.

        Raises
        ------
        ModelError
            If they need Spark, or are those of another release.
        ConfigError
            If the library of the learner is missing.
        """
        manifest = bundle.manifest
        uncorrected = manifest.ledger.uncorrected
        if uncorrected:
            raise ModelError(
                f"The ledger of the model '{bundle.version}' does not invert its "
                f"{join_names(uncorrected)}; costs would count twice.",
                hint="train again.",
            )
        rules = [step.rule.to_dict() for step in manifest.ledger.reweightings]
        saved = SavedModel(bundle.files, len(manifest.classes)).below("model")
        return cls(
            version=bundle.version,
            manifest=manifest,
            problem=manifest.problem,
            plan=LocalPlan.from_dict(manifest.features),
            model=open_model(manifest.model.kind, saved),
            rules=tuple(map(WeightRule.from_dict, rules)),
        )

    @property
    def matrix(self) -> CostMatrix:
        """cost[decision][class]."""
        return self.problem.matrix

    @property
    def feature_kinds(self) -> dict[str, str | None]:
        """Column -> kind of the columns that probabilities are made from; None is any kind."""
        kinds: dict[str, str | None] = {}
        for rule in self.rules:
            if not rule.is_uniform:
                grouping = () if rule.groups is None else rule.groups.grouping.columns
                kinds |= dict.fromkeys(rule.columns, "number") | dict.fromkeys(grouping)
        return {**kinds, **self.manifest.schema}

    @property
    def cost_kinds(self) -> dict[str, str | None]:
        """Column -> kind of the columns that decisions read besides."""
        return dict.fromkeys(self.matrix.columns, "number")

    def probabilities(self, columns: InputColumns) -> Array:
        """Return ``[row, class]``: natural, calibrated probabilities.

        A row with an infinite number, or without a weight, has NaN.
        """
        usable = self.plan.is_usable(columns)
        rows = self.plan.matrix(columns)
        rows[~usable] = 0.0  # so that no library meets infinity; NaN replaces the result below
        natural = self.correct(list(self.model.probabilities(rows).T), columns)
        probabilities = np.stack(natural, axis=1)
        usable &= np.isfinite(probabilities).all(axis=1)
        probabilities[~usable] = np.nan
        return probabilities

    def correct(self, learned: list[Array], columns: InputColumns) -> list[Array]:
        """Return natural, calibrated probabilities, per class, from those that the model learned.

        Parameters
        ----------
        learned
            Per class, the probability of each row.
        columns
            Of the rows, which weights that differ by row read.
        """
        natural = learned
        loss = self.manifest.ledger.loss
        if loss is not None:
            natural = invert_focal(natural, loss.gamma, loss.alpha)
        for rule in self.rules:
            natural = invert_weights(natural, rule, columns)
        if self.manifest.calibration is not None:
            natural = calibrate(self.manifest.calibration.to_dict(), natural)
        ledger = self.manifest.ledger
        if ledger.target_prior is not None:
            natural = shift_prior(natural, ledger.prior, ledger.target_prior)
        return natural

    def price(self, columns: InputColumns) -> PricedRows:
        """Return probabilities, costs and expected costs of rows."""
        probabilities = self.probabilities(columns)
        costs = RowCosts.of(self.matrix, columns)
        expected = costs.expected(probabilities)
        expected[~costs.is_usable] = np.nan
        return PricedRows(self.matrix.decisions, probabilities, costs, expected)
