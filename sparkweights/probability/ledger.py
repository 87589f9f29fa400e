"""The ledger: what bent the data away from the population, and what of it has been undone.

A ledger describes a set of probabilities. Training adds bends (class weights, per-row weights,
resampling); undoing takes them off; calibration confirms the natural prior; a target prior moves
the probabilities to another population. Each step returns a new ledger and refuses what would
count a thing twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from sparkweights.core.errors import ConfigError, ModelError, listed
from sparkweights.probability.odds import bend, unbend
from sparkweights.probability.settings import require_prior
from sparkweights.weights.rule import WeightRule
from sparkweights.weights.spark import class_weight_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column

WEIGHTS, RESAMPLING = "weights", "resampling"


@dataclass(frozen=True)
class Bend:
    """One thing that made class c count w_c(x) times in training.

    Attributes
    ----------
    kind
        ``weights`` or ``resampling``.
    rule
        w_c(x) per class: the weight, or the rate at which rows of the class were kept.
    undone
        Whether the probabilities have been corrected for it.
    """

    kind: str
    rule: WeightRule
    undone: bool = False

    @property
    def held(self) -> bool:
        """Whether the probabilities still carry it."""
        return not self.undone and not self.rule.even


@dataclass(frozen=True)
class Ledger:
    """The history of a set of probabilities.

    Attributes
    ----------
    prior
        The natural share of each class in the labelled table.
    bends
        What bent the training data, in the order of training.
    calibration
        The method fitted on held-out rows without class weights, or ``none``.
    target_prior
        The shares of the population that the probabilities speak of, where they are not ``prior``.

    Examples
    --------
    A model trained elsewhere, by hand:

    >>> ledger = Ledger.by_hand({"repay": 0.9, "default": 0.1}, {"repay": 1, "default": 9})
    >>> ledger.after_undoing().held
    ()
    """

    prior: Mapping[str, float]
    bends: tuple[Bend, ...] = ()
    calibration: str = "none"
    target_prior: Mapping[str, float] | None = field(default=None)

    @classmethod
    def by_hand(
        cls, prior: Mapping[str, float], weights: Mapping[str, float] | WeightRule | None = None
    ) -> Ledger:
        """Return the ledger of a model that was trained elsewhere.

        Parameters
        ----------
        prior
            Natural share per class, in index order; the shares sum to 1.
        weights
            The class weights of its training, or a rule for per-row weights; None if it had none.

        Raises
        ------
        ConfigError
            If shares do not sum to 1, or the weights miss a class or are not finite and > 0.
        """
        require_prior(prior, tuple(prior), where="prior")
        ledger = cls(dict(prior))
        if weights is None:
            return ledger
        if isinstance(weights, WeightRule):
            return ledger.after_bending(WEIGHTS, weights)
        for name in prior:
            value = weights.get(name)
            if value is None or not 0 < value < math.inf:
                raise ConfigError(
                    f"weights: class '{name}' has the weight {value}; each class of the prior "
                    f"({listed(prior)}) needs a finite number > 0.",
                    hint="write 1 for the class that the others are compared with.",
                )
        rule = WeightRule.fixed("by hand", {name: weights[name] for name in prior})
        return ledger.after_bending(WEIGHTS, rule)

    @property
    def held(self) -> tuple[Bend, ...]:
        """The bends that the probabilities still carry."""
        return tuple(entry for entry in self.bends if entry.held)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that undoing reads."""
        return tuple(dict.fromkeys(name for entry in self.bends for name in entry.rule.columns))

    def after_bending(self, kind: str, rule: WeightRule) -> Ledger:
        """Return the ledger of a model trained on data that was bent once more.

        Raises
        ------
        ModelError
            If the rule speaks of other classes, or the probabilities were corrected already.
        """
        if tuple(rule.classes) != tuple(self.prior):
            raise ModelError(
                f"The {kind} speak of the classes {listed(rule.classes)}; the prior has "
                f"{listed(self.prior)}.",
                hint="name the same classes in the same order.",
            )
        corrected = self.calibration != "none" or self.target_prior is not None
        if corrected or any(entry.undone for entry in self.bends):
            raise ModelError(
                f"These probabilities were corrected already; {kind} bend training data, before "
                "any correction.",
                hint="record what bent the training first, then undo and calibrate.",
            )
        return replace(self, bends=(*self.bends, Bend(kind, rule)))

    def after_undoing(self) -> Ledger:
        """Return the ledger of the probabilities with every bend undone.

        Raises
        ------
        ModelError
            If they were undone before: correcting twice bends the other way.
        """
        done = [entry for entry in self.bends if entry.undone]
        if done:
            raise ModelError(
                f"The {done[0].rule.scheme} {done[0].kind} of these probabilities were undone "
                "already; undoing them twice would bend the probabilities the other way.",
                hint="use the probabilities as they are.",
            )
        return replace(self, bends=tuple(replace(entry, undone=True) for entry in self.bends))

    def after_calibrating(self, method: str) -> Ledger:
        """Return the ledger of probabilities calibrated to the natural prior.

        Raises
        ------
        ModelError
            If they still carry a bend, or speak of another population.
        """
        self.require_natural()
        self._require_own_population("calibrated to the natural prior")
        return replace(self, calibration=method)

    def after_shift(self, target_prior: Mapping[str, float]) -> Ledger:
        """Return the ledger of probabilities moved to a population with other class shares.

        Raises
        ------
        ModelError
            If they still carry a bend, or were moved before.
        ConfigError
            If the target prior does not name each class with a share > 0, summing to 1.
        """
        self.require_natural()
        self._require_own_population("moved to another target prior")
        require_prior(target_prior, tuple(self.prior), where="target_prior")
        return replace(self, target_prior={name: target_prior[name] for name in self.prior})

    def _require_own_population(self, action: str) -> None:
        if self.target_prior is not None:
            raise ModelError(
                f"These probabilities were moved to the target prior {_shares(self.target_prior)} "
                f"already; {action}, they would be corrected twice.",
                hint="start from the model's own probabilities.",
            )

    def require_natural(self) -> None:
        """Refuse to price probabilities that still carry weights or resampling.

        Raises
        ------
        ModelError
            Because costs would count twice: weights of C_FN and C_FP *and* a cut at
            C_FP / (C_FP + C_FN) really cut at 1 / (1 + w^2), w being C_FN / C_FP.
        """
        if self.held:
            what = " and ".join(f"{entry.rule.scheme} {entry.kind}" for entry in self.held)
            raise ModelError(
                f"These probabilities still carry the {what} of the training; pricing them with "
                "the costs as well would count the costs twice (with weights of ratio w it cuts "
                "at 1 / (1 + w^2) instead of 1 / (1 + w)).",
                hint="undo them first.",
            )

    def undo(self, probabilities: Sequence[Column]) -> list[Column]:
        """Return the natural probabilities behind probabilities that carry every bend.

        Parameters
        ----------
        probabilities
            q_c(x) per class, in index order.

        Returns
        -------
        list of Column
            p_c(x) per class; null where a weight is.
        """
        natural = list(probabilities)
        for entry in self.bends:
            if not entry.rule.even:
                natural = unbend(natural, class_weight_columns(entry.rule))
        return natural

    def shift(self, probabilities: Sequence[Column]) -> list[Column]:
        """Return natural probabilities moved to the target prior, if there is one."""
        if self.target_prior is None:
            return list(probabilities)
        shares = self.prior.items()
        factors = [F.lit(self.target_prior[name] / share) for name, share in shares]
        return bend(probabilities, factors)

    def sentences(self) -> list[str]:
        """Return the history in words, one step a sentence."""
        told = [f"Natural class shares: {_shares(self.prior)}."]
        for entry in self.bends:
            state = "undone" if entry.undone else "still held"
            nothing = " (all equal, so nothing bends)" if entry.rule.even else ""
            told.append(f"Training used {entry.rule.scheme} {entry.kind}{nothing}: {state}.")
        if self.calibration != "none":
            told.append(f"Calibrated by {self.calibration} on held-out rows without weights.")
        if self.target_prior is not None:
            told.append(f"Moved to a population of {_shares(self.target_prior)}.")
        return told

    def to_dict(self) -> dict[str, Any]:
        """Return the ledger ready for JSON; `from_dict` reads it back."""
        return {
            "prior": dict(self.prior),
            "bends": [
                {"kind": entry.kind, "rule": entry.rule.to_dict(), "undone": entry.undone}
                for entry in self.bends
            ],
            "calibration": self.calibration,
            "target_prior": None if self.target_prior is None else dict(self.target_prior),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Ledger:
        """Read a ledger that `to_dict` wrote."""
        return cls(
            prior=record["prior"],
            bends=tuple(
                Bend(entry["kind"], WeightRule.from_dict(entry["rule"]), entry["undone"])
                for entry in record["bends"]
            ),
            calibration=record["calibration"],
            target_prior=record["target_prior"],
        )


def _shares(prior: Mapping[str, float]) -> str:
    return listed(f"{name} {share:.2%}" for name, share in prior.items())
