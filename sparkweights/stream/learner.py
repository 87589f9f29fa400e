"""The learner of a stream: steps of the mini-batch learner along the outcomes of a micro-batch.

Its parameters are those of standardised features, as in training. They give the probabilities of
reweighted rows, q_c(x) proportional to w_c p_c(x), p being natural to the shares pi of the model's
training. Two changes of scale add a constant to each class's margin, and change no p:

- When the window's weights change, log w_c does.
- The class shares of the rows may have moved by factors r_c since (see
  `sparkweights.stream.current_prior`). The steps are made on the scale q_c r_c, of the rows as they
  are, and the factors are then taken back. They move the slopes alone: intercepts are what the
  factors are estimated for, at each micro-batch and without a rate of learning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sparkweights.core.errors import ConfigError, ModelError
from sparkweights.models.choices import UNIFORM
from sparkweights.models.losses import ClassLoss
from sparkweights.models.optimizers import Adam, Clipping, Schedule, State
from sparkweights.models.rounds import RoundSettings, combine
from sparkweights.stream.current_prior import smoothed_shares
from sparkweights.weights.rule import WeightRule
from sparkweights.weights.schemes import bounded_weights, raw_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkweights.models.rounds import BlockResult
    from sparkweights.probability.score_cells import Array
    from sparkweights.stream.window import Bucket
    from sparkweights.weights.spec import WeightSpec

    # From weights per class, a state, the number of the round and its settings.
    Run = Callable[[Array, State, int, RoundSettings], Sequence[BlockResult]]


@dataclass(frozen=True, eq=False)
class OnlineLearner:
    """The parameters of a stream's model, and what the optimizer remembers.

    Attributes
    ----------
    state
        ``[margin, position + 1]`` and the moments of gradients, of standardised features.
    rule
        The weights w_c of the rows that the parameters are of; constant per class.
    """

    state: State
    rule: WeightRule

    @property
    def weights(self) -> Array:
        """w_c, in index order."""
        return np.array(self.rule.constants)

    def reweighted(self, rule: WeightRule) -> OnlineLearner:
        """Return the parameters of rows of other weights; natural probabilities stay."""
        moved = replace(self, rule=rule)
        return replace(moved, state=_moved(self.state, np.log(moved.weights / self.weights)))

    def partial_fit(
        self, batch: LabelledBatch, factors: Array | None, settings: LearnerSettings, run: Run
    ) -> OnlineLearner:
        """Return the learner after one round of steps on the rows of a micro-batch.

        Parameters
        ----------
        factors
            r_c; None where they are not estimated, so that intercepts are learned as well.
        run
            Returns the results of `sparkweights.models.rounds.block_round` for every block of rows,
            given the weights per class, a state, the number of the round and its settings.

        Raises
        ------
        ModelError
            If the parameters are no longer finite.
        """
        rounds = settings.round(batch, self.weights)
        logs = np.zeros(len(self.weights)) if factors is None else np.log(factors)
        start = _moved(self.state, logs)
        after, _ = combine(
            run(self.weights, start, batch.number, rounds), start, batch.number, rounds
        )
        if not np.isfinite(after.parameters).all():
            raise ModelError(
                f"The model's parameters are not finite after micro-batch {batch.number}; the "
                "steps are too long.",
                hint="choose a smaller stream.learn.learning_rate; the batch was not committed.",
            )
        parameters = _moved(after, -logs).parameters
        if factors is not None:
            parameters[:, -1] = self.state.parameters[:, -1]
        return replace(self, state=replace(after, parameters=parameters))

    def to_dict(self) -> dict[str, object]:
        """Return it ready for JSON; `from_dict` reads it back."""
        return {
            "parameters": self.state.parameters.tolist(),
            "first": self.state.first.tolist(),
            "second": self.state.second.tolist(),
            "steps": self.state.steps,
            "rule": self.rule.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> OnlineLearner:
        """Read what `to_dict` wrote."""
        parameters, first, second = (
            np.array(record[name], dtype=float) for name in ("parameters", "first", "second")
        )
        state = State(parameters, first, second, record["steps"])
        return cls(state, WeightRule.from_dict(record["rule"]))


@dataclass(frozen=True, eq=False)
class LabelledBatch:
    """What a learner needs to know of a micro-batch beside its rows.

    Attributes
    ----------
    number
        Of the micro-batch.
    rows
        How many have an outcome.
    class_weight
        Sum of their sample weights per class.
    blocks
        In how many blocks they are kept.
    """

    number: int
    rows: int
    class_weight: Array
    blocks: int = 1


@dataclass(frozen=True)
class LearnerSettings:
    """How steps are made.

    Attributes
    ----------
    rate, batch_rows, passes
        See `sparkweights.spec.stream.StreamLearner`.
    l2, clip_norm
        As in the model's training.
    seed
        Of the order of rows.
    """

    rate: float
    batch_rows: int
    passes: int
    l2: float
    clip_norm: float | None
    seed: int

    def round(self, batch: LabelledBatch, weights: Array) -> RoundSettings:
        """Return the settings of a round on a micro-batch."""
        steps = max(1, round(batch.rows / batch.blocks / self.batch_rows))
        return RoundSettings(
            classes=len(weights),
            loss=ClassLoss(),
            l2=self.l2,
            batch_rows=self.batch_rows,
            steps=steps * self.passes,
            passes=self.passes,
            sampling=UNIFORM,
            optimizer=Adam(),
            schedule=Schedule(self.rate),
            clipping=Clipping(norm=self.clip_norm),
            weight=float(batch.class_weight @ weights),
            rows=batch.rows,
            seed=self.seed,
        )


def _moved(state: State, logs: Array) -> State:
    """Return the state whose margins are larger by a number per class."""
    margins = len(state.parameters)
    parameters = state.parameters.copy()
    parameters[:, -1] += logs[1:] - logs[:1] if margins == 1 else logs - logs.mean()
    return replace(state, parameters=parameters)


def combined_weights(rules: Sequence[WeightRule], classes: Sequence[str]) -> WeightRule:
    """Return the rule of the weights that the rows of a training had in all.

    Raises
    ------
    ConfigError
        If a weight differs from row to row.
    """
    weights = np.ones(len(classes))
    for rule in rules:
        if rule.constants is None:
            raise ConfigError(
                f"stream.learn: the model was trained with {rule.scheme} weights that differ from "
                "row to row; those of a stream depend on the class alone.",
                hint="train with weights per class, or set stream.learn: null.",
            )
        weights = weights * np.array(rule.constants)
    return WeightRule.fixed("training", dict(zip(classes, weights.tolist(), strict=True)))


def window_weights(spec: WeightSpec, window: Bucket, prior: Mapping[str, float]) -> WeightRule:
    """Return the weights of a scheme by the classes and the costs of the window.

    The class shares are smoothed, so that a class without rows has a weight.

    Parameters
    ----------
    prior
        The shares that smoothing draws them to.
    """
    classes = tuple(prior)
    shares = smoothed_shares(window.frequencies.weight, np.array(list(prior.values())))
    regrets = _mean_regrets(window) if spec.by_cost else ()
    if spec.by_cost and max(regrets, default=0.0) <= 0:
        regrets = (1.0,) * len(classes)
    raw = raw_weights(spec, classes, shares, regrets)
    weights = bounded_weights(raw, shares, spec.floor, spec.cap)
    return WeightRule.fixed(spec.scheme, dict(zip(classes, weights.tolist(), strict=True)))


def _mean_regrets(window: Bucket) -> tuple[float, ...]:
    """Return per class the mean cost of the other decisions above the cheapest one, at least 0."""
    rows = window.frequencies.weight
    means = np.divide(
        window.costs, rows[:, None], out=np.zeros_like(window.costs), where=rows[:, None] > 0
    )
    regrets = (means - means.min(axis=1, keepdims=True)).sum(axis=1) / (means.shape[1] - 1)
    return tuple(regrets.tolist())
