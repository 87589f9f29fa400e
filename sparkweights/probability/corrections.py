"""The ledger: what moved probabilities away from the population, and which corrections were made.

A ledger describes a set of probabilities. Training adds reweightings (class weights, per-row
weights, resampling) and a loss that is not proper; each is inverted once; calibration confirms the
natural prior; a prior shift moves the probabilities to another population. Each step returns a new
ledger, and refuses what would correct twice or price too early.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from pyspark.sql import functions as F

from sparkweights.core.errors import ConfigError, ModelError, join_names
from sparkweights.probability.focal import Functions, invert_focal
from sparkweights.probability.odds import invert_reweighting, reweight
from sparkweights.probability.settings import require_prior
from sparkweights.weights.rule import WeightRule
from sparkweights.weights.spark import class_weight_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column

WEIGHTS, RESAMPLING, FOCAL = "weights", "resampling", "focal"
_COLUMNS = Functions(
    F.log,
    F.log1p,
    F.exp,
    lambda first, second: F.greatest(first, F.lit(second)),
    lambda holds, then, otherwise: F.when(holds, then).otherwise(otherwise),
)


class Correction(Protocol):
    """One step between the probabilities that were learned and those that are priced."""

    @property
    def kind(self) -> str:
        """Its kind, as records name it."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""

    def invert(self, probabilities: Sequence[Column]) -> list[Column]:
        """Return the probabilities before it, one Column per class in index order."""

    def to_dict(self) -> dict[str, object]:
        """Return it ready for JSON."""


@dataclass(frozen=True)
class Reweighting:
    """Class c counted w_c(x) times in training.

    Attributes
    ----------
    kind
        ``weights`` or ``resampling``.
    rule
        w_c(x) per class: the weight, or the rate at which rows of the class were kept.
    inverted
        Whether the probabilities have been corrected for it.
    """

    kind: str
    rule: WeightRule
    inverted: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the rule reads."""
        return self.rule.columns

    @property
    def name(self) -> str:
        """The scheme and the kind."""
        return f"{self.rule.scheme} {self.kind}"

    @property
    def is_uncorrected(self) -> bool:
        """Whether the probabilities still carry it."""
        return not self.inverted and not self.rule.is_uniform

    def invert(self, probabilities: Sequence[Column]) -> list[Column]:
        """Return p_c(x) proportional to q_c(x) / w_c(x); null where a weight is."""
        if self.rule.is_uniform:
            return list(probabilities)
        return invert_reweighting(probabilities, class_weight_columns(self.rule))

    def to_dict(self) -> dict[str, object]:
        """Return it ready for JSON."""
        return {"kind": self.kind, "rule": self.rule.to_dict(), "undone": self.inverted}


@dataclass(frozen=True)
class FocalLoss:
    """The model minimises the focal loss, which is not proper.

    Attributes
    ----------
    gamma
        >= 0; see `sparkweights.probability.focal`.
    alpha
        A factor > 0 per class, in index order; None for 1 each.
    inverted
        Whether the probabilities have been corrected for it.
    """

    gamma: float
    alpha: tuple[float, ...] | None = None
    inverted: bool = False
    kind = FOCAL
    columns: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The loss and its gamma."""
        return f"focal loss of gamma {self.gamma:g}"

    @property
    def is_uncorrected(self) -> bool:
        """Whether the probabilities still carry it."""
        return not self.inverted

    def invert(self, probabilities: Sequence[Column]) -> list[Column]:
        """Return the probabilities of the classes, of which the loss learned a distortion."""
        return invert_focal(probabilities, self.gamma, self.alpha, functions=_COLUMNS)

    def to_dict(self) -> dict[str, object]:
        """Return it ready for JSON."""
        alpha = None if self.alpha is None else list(self.alpha)
        return {"gamma": self.gamma, "alpha": alpha, "inverted": self.inverted}


@dataclass(frozen=True)
class PriorShift:
    """The probabilities were moved to a population with other class shares.

    Attributes
    ----------
    prior, target
        Class name -> its share before and after, in index order.
    """

    prior: Mapping[str, float]
    target: Mapping[str, float]
    kind = "prior_shift"
    columns: tuple[str, ...] = ()

    def apply(self, probabilities: Sequence[Column]) -> list[Column]:
        """Return p'_c proportional to p_c target_c / prior_c."""
        return reweight(probabilities, self._factors())

    def invert(self, probabilities: Sequence[Column]) -> list[Column]:
        """Return the probabilities of the population before."""
        return invert_reweighting(probabilities, self._factors())

    def _factors(self) -> list[Column]:
        return [F.lit(self.target[name] / share) for name, share in self.prior.items()]

    def to_dict(self) -> dict[str, object]:
        """Return it ready for JSON."""
        return dict(self.target)


@dataclass(frozen=True)
class Ledger:
    """The history of a set of probabilities.

    Attributes
    ----------
    prior
        The natural share of each class in the labelled table.
    reweightings
        What reweighted the training data, in the order of training.
    loss
        A loss that is not proper; None where the learner's is.
    calibration
        The method fitted on held-out rows without class weights, or ``none``. Its map is stored
        with the model, and does not move the mean probabilities away from the prior.
    shift
        The shift, where the probabilities are of a population with other shares; else None.

    Examples
    --------
    A model trained elsewhere, by hand:

    >>> ledger = Ledger.by_hand({"repay": 0.9, "default": 0.1}, {"repay": 1, "default": 9})
    >>> ledger.with_weights_inverted().uncorrected
    ()
    """

    prior: Mapping[str, float]
    reweightings: tuple[Reweighting, ...] = ()
    calibration: str = "none"
    shift: PriorShift | None = None
    loss: FocalLoss | None = None

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
            return ledger.with_reweighting(WEIGHTS, weights)
        for name in prior:
            value = weights.get(name)
            if value is None or not 0 < value < math.inf:
                raise ConfigError(
                    f"weights: class '{name}' has the weight {value}; each class of the prior "
                    f"({join_names(prior)}) needs a finite number > 0.",
                    hint="write 1 for the class that the others are compared with.",
                )
        rule = WeightRule.fixed("by hand", {name: weights[name] for name in prior})
        return ledger.with_reweighting(WEIGHTS, rule)

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """The steps that can be inverted, in their order."""
        return (*self._of_training, *([] if self.shift is None else [self.shift]))

    @property
    def _of_training(self) -> tuple[Reweighting | FocalLoss, ...]:
        return (*self.reweightings, *([] if self.loss is None else [self.loss]))

    @property
    def target_prior(self) -> Mapping[str, float] | None:
        """The shares of the population that the probabilities are of, if not `prior`."""
        return None if self.shift is None else self.shift.target

    @property
    def uncorrected(self) -> tuple[Reweighting | FocalLoss, ...]:
        """What the probabilities still carry of the training."""
        return tuple(step for step in self._of_training if step.is_uncorrected)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that corrections read."""
        return tuple(dict.fromkeys(name for step in self.corrections for name in step.columns))

    def with_reweighting(self, kind: str, rule: WeightRule) -> Ledger:
        """Return the ledger of a model trained on data that was reweighted once more.

        Raises
        ------
        ModelError
            If the rule has other classes, or the probabilities were corrected already.
        """
        if tuple(rule.classes) != tuple(self.prior):
            raise ModelError(
                f"The {kind} are of the classes {join_names(rule.classes)}; the prior has "
                f"{join_names(self.prior)}.",
                hint="name the same classes in the same order.",
            )
        self._require_uncorrected(f"{kind} reweight training data, before any correction")
        return replace(self, reweightings=(*self.reweightings, Reweighting(kind, rule)))

    def with_focal_loss(self, gamma: float, alpha: Mapping[str, float] | None = None) -> Ledger:
        """Return the ledger of a model that minimises the focal loss.

        Parameters
        ----------
        gamma
            Of the loss; 0 with no ``alpha`` is the cross-entropy, which is proper, and changes
            nothing.
        alpha
            Class name -> its factor in the loss; None for 1 each.

        Raises
        ------
        ModelError
            If the probabilities were corrected already, or have a loss already.
        ConfigError
            If gamma is not finite and >= 0, or ``alpha`` misses a class or is not finite and > 0.
        """
        if not 0 <= gamma < math.inf:
            raise ConfigError(f"gamma: {gamma}; allowed: a finite number >= 0.")
        if gamma == 0 and alpha is None:
            return self
        for name in self.prior if alpha is not None else ():
            value = (alpha or {}).get(name)
            if value is None or not 0 < value < math.inf:
                raise ConfigError(
                    f"alpha: class '{name}' has the factor {value}; each class of the prior "
                    f"({join_names(self.prior)}) needs a finite number > 0.",
                    hint="write 1 for the class that the others are compared with.",
                )
        self._require_uncorrected("a loss acts in training, before any correction")
        if self.loss is not None:
            raise ModelError(
                f"These probabilities have the {self.loss.name} already; a model has one loss.",
                hint="record the loss once.",
            )
        factors = None if alpha is None else tuple(alpha[name] for name in self.prior)
        return replace(self, loss=FocalLoss(gamma, factors))

    def _require_uncorrected(self, reason: str) -> None:
        corrected = self.calibration != "none" or self.shift is not None
        if corrected or any(step.inverted for step in self._of_training):
            raise ModelError(
                f"These probabilities were corrected already; {reason}.",
                hint="record what training did first, then invert it and calibrate.",
            )

    def with_weights_inverted(self) -> Ledger:
        """Return the ledger of the probabilities with loss and reweightings inverted.

        Raises
        ------
        ModelError
            If they were corrected before: correcting twice moves them the other way.
        """
        done = [step for step in self._of_training if step.inverted]
        if done:
            raise ModelError(
                f"The effect of the {done[0].name} on these probabilities was inverted already; "
                "inverting it twice would move the probabilities the other way.",
                hint="use the probabilities as they are.",
            )
        inverted = tuple(replace(step, inverted=True) for step in self.reweightings)
        loss = None if self.loss is None else replace(self.loss, inverted=True)
        return replace(self, reweightings=inverted, loss=loss)

    def with_calibration(self, method: str) -> Ledger:
        """Return the ledger of probabilities calibrated to the natural prior.

        Raises
        ------
        ModelError
            If they still carry a reweighting, or are of another population.
        """
        self.require_natural()
        self._require_own_population("calibrated to the natural prior")
        return replace(self, calibration=method)

    def with_prior_shift(self, target_prior: Mapping[str, float]) -> Ledger:
        """Return the ledger of probabilities moved to a population with other class shares.

        Raises
        ------
        ModelError
            If they still carry a reweighting, or were moved before.
        ConfigError
            If the target prior does not name each class with a share > 0, summing to 1.
        """
        self.require_natural()
        self._require_own_population("moved to another target prior")
        require_prior(target_prior, tuple(self.prior), where="target_prior")
        target = {name: target_prior[name] for name in self.prior}
        return replace(self, shift=PriorShift(self.prior, target))

    def _require_own_population(self, action: str) -> None:
        if self.shift is not None:
            raise ModelError(
                f"These probabilities were moved to the target prior {_shares(self.shift.target)} "
                f"already; {action}, they would be corrected twice.",
                hint="start from the model's own probabilities.",
            )

    def require_natural(self) -> None:
        """Refuse to price probabilities that still carry weights or resampling.

        Raises
        ------
        ModelError
            Because costs would count twice: weights of C_FN and C_FP *and* a threshold at
            C_FP / (C_FP + C_FN) really decide at 1 / (1 + w^2), w being C_FN / C_FP.
        """
        if self.uncorrected:
            what = " and ".join(step.name for step in self.uncorrected)
            raise ModelError(
                f"These probabilities still carry the {what} of the training; pricing them with "
                "the costs as well would count the costs twice (with weights of ratio w the "
                "threshold is 1 / (1 + w^2) instead of 1 / (1 + w)).",
                hint="invert them first.",
            )

    def invert_weights(self, probabilities: Sequence[Column]) -> list[Column]:
        """Return the natural probabilities behind probabilities that carry all of the training.

        The loss is inverted first: what it distorts are the probabilities of the reweighted rows.

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
        for step in reversed(self._of_training):
            natural = step.invert(natural)
        return natural

    def apply_shift(self, probabilities: Sequence[Column]) -> list[Column]:
        """Return natural probabilities moved to the target prior, if there is one."""
        return list(probabilities) if self.shift is None else self.shift.apply(probabilities)

    def sentences(self) -> list[str]:
        """Return the history in words, one step a sentence."""
        lines = [f"Natural class shares: {_shares(self.prior)}."]
        for step in self.reweightings:
            state = "inverted" if step.inverted else "not inverted"
            nothing = " (all equal, so nothing changes)" if step.rule.is_uniform else ""
            lines.append(f"Training used {step.rule.scheme} {step.kind}{nothing}: {state}.")
        if self.loss is not None:
            state = "inverted" if self.loss.inverted else "not inverted"
            lines.append(f"The model minimises the {self.loss.name}: {state}.")
        if self.calibration != "none":
            lines.append(f"Calibrated by {self.calibration} on held-out rows without weights.")
        if self.shift is not None:
            lines.append(f"Moved to a population of {_shares(self.shift.target)}.")
        return lines

    def to_dict(self) -> dict[str, object]:
        """Return the ledger ready for JSON; `from_dict` reads it back."""
        return {
            "prior": dict(self.prior),
            "bends": [step.to_dict() for step in self.reweightings],
            "calibration": self.calibration,
            "target_prior": None if self.shift is None else self.shift.to_dict(),
            **({} if self.loss is None else {"loss": self.loss.to_dict()}),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Ledger:
        """Read a ledger that `to_dict` wrote."""
        prior, target, loss = record["prior"], record["target_prior"], record.get("loss")
        return cls(
            prior=prior,
            reweightings=tuple(
                Reweighting(entry["kind"], WeightRule.from_dict(entry["rule"]), entry["undone"])
                for entry in record["bends"]
            ),
            calibration=record["calibration"],
            shift=None if target is None else PriorShift(prior, target),
            loss=None if loss is None else _focal_loss(loss),
        )


def _focal_loss(record: Mapping[str, Any]) -> FocalLoss:
    alpha = record["alpha"]
    return FocalLoss(record["gamma"], None if alpha is None else tuple(alpha), record["inverted"])


def _shares(prior: Mapping[str, float]) -> str:
    return join_names(f"{name} {share:.2%}" for name, share in prior.items())
