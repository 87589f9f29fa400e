"""From an opened bundle to a formula: columns in, steps, probabilities, costs and a decision out.

Every export writes this formula down in its language, so that all of them compute the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparkweights.core.errors import ModelError, join_names
from sparkweights.costs.expression import Call, Expression, Name, Number, Operation, constant
from sparkweights.export.features import every_position, is_infinite, linear, positions_of
from sparkweights.export.terms import (
    LARGEST,
    MAX_EXPONENT,
    MISSING,
    Constant,
    Term,
    Value,
    apply,
    as_term,
    case,
    clip,
    expit,
    extreme,
    interpolate,
    is_missing,
    plain,
    total,
)
from sparkweights.local.columns import InputColumns
from sparkweights.local.models import LocalLogistic, LocalShares
from sparkweights.probability.calibration_fit import (
    MIN_PROBABILITY,
    IsotonicMap,
    SigmoidMap,
)
from sparkweights.probability.odds import reweight
from sparkweights.spec.outputs import UNSCORABLE, expected_col, probability_col
from sparkweights.spec.settings import MAX_EXPORTED_LEAVES
from sparkweights.trees.pruning import LEAF

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkweights.costs.matrix import CostMatrix
    from sparkweights.local.columns import Array
    from sparkweights.local.scorer import LocalScorer
    from sparkweights.trees.flat_trees import FlatTree

NUMBER, TEXT = "number", "text"
_MAX_LOG_ODDS = math.log((1 - MIN_PROBABILITY) / MIN_PROBABILITY)
_STEP = "__"  # begins the name of a step that is no output; tables hold no such columns


@dataclass(frozen=True)
class ScoringFormula:
    """A model, its corrections and the decision as steps of arithmetic.

    Attributes
    ----------
    version
        Of the bundle.
    keys
        The columns that identify a row.
    inputs
        Column -> ``number`` or ``text``. Booleans are numbers 0 and 1; NaN is missing.
    steps
        Name -> its term, which reads inputs and earlier steps.
    outputs
        The steps that are the result: probabilities, expected costs, and ``decision``.
    """

    version: str
    keys: tuple[str, ...]
    inputs: Mapping[str, str]
    steps: Mapping[str, Term]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, scorer: LocalScorer) -> ScoringFormula:
        """Return the formula of a bundle.

        Raises
        ------
        ModelError
            If its model is no linear one and no small tree, or its weights differ by row.
        """
        if scorer.manifest.ledger.loss is not None:
            raise ModelError(
                f"The model '{scorer.version}' was trained with a focal loss, which exports do not "
                "invert.",
                hint="choose a student with cross-entropy: leave focal_gamma out.",
            )
        if any(rule.constants is None for rule in scorer.rules):
            raise ModelError(
                f"The weights of the model '{scorer.version}' differ by row; exports invert "
                "weights per class.",
                hint="choose a scheme of one weight per class, such as weights.scheme: balanced.",
            )
        steps = _Steps()
        natural = _natural_probabilities(scorer, steps)
        classes, decisions = scorer.problem.classes, scorer.matrix.decisions
        probabilities = [
            steps.add(probability_col(name), term)
            for name, term in zip(classes, natural, strict=True)
        ]
        expected = _expected_costs(scorer.matrix, probabilities, steps)
        steps.add("expected_cost", extreme(expected, expected, MISSING))
        stated = [as_term(name) for name in decisions]
        steps.add("decision", extreme(expected, stated, as_term(UNSCORABLE)))
        kinds = {**scorer.feature_kinds, **scorer.cost_kinds}
        return cls(
            version=scorer.version,
            keys=scorer.problem.roles.keys,
            inputs={name: TEXT if kind == TEXT else NUMBER for name, kind in kinds.items()},
            steps=steps.terms,
            outputs=(
                *map(probability_col, classes),
                *map(expected_col, decisions),
                "expected_cost",
                "decision",
            ),
        )

    def to_dict(self) -> dict[str, object]:
        """Return the formula, ready for JSON."""
        return {
            "version": self.version,
            "inputs": dict(self.inputs),
            "steps": {name: plain(term) for name, term in self.steps.items()},
            "outputs": list(self.outputs),
        }


@dataclass
class _Steps:
    """Steps as they are added."""

    terms: dict[str, Term] = field(default_factory=dict)

    def add(self, name: str, term: Term) -> Value:
        """Add a step, and return its value."""
        self.terms[name] = term
        return Value(name)

    def add_each(self, name: str, terms: Sequence[Term]) -> list[Term]:
        """Add a step per class, and return their values."""
        return [self.add(f"{_STEP}{name}_{c}", term) for c, term in enumerate(terms)]


def _natural_probabilities(scorer: LocalScorer, steps: _Steps) -> list[Term]:
    positions = positions_of(scorer.plan, scorer.manifest.schema)
    infinite = steps.add(f"{_STEP}infinite", is_infinite(scorer.plan))
    model = scorer.model
    match model:
        case LocalLogistic(slopes, intercepts):
            shifts = _log_weights(scorer, len(slopes))
            scores = [
                linear(positions, slope, intercept)
                for slope, intercept in zip(slopes, (intercepts - shifts).tolist(), strict=True)
            ]
            named = steps.add_each("score", scores)
            calibrated = _two_classes if len(slopes) == 1 else _many_classes
            natural = calibrated(scorer, named, steps)
        case LocalShares(trees) if len(trees) == 1:
            natural = _tree(scorer, trees[0], every_position(positions), steps)
        case _:
            raise ModelError(
                f"The model '{scorer.version}' of kind '{scorer.manifest.model.kind}' has no "
                "export; linear models and single trees have one.",
                hint="distill it into such a model: see distill.model.",
            )
    is_usable = apply("=", infinite, 0.0)
    return [case((is_usable, term), otherwise=MISSING) for term in natural]


def _log_weights(scorer: LocalScorer, scores: int) -> Array:
    """Return what the weights of the training added to each score of a linear model."""
    logs = [np.log(rule.constants) for rule in scorer.rules if rule.constants is not None]
    by_class = np.sum(logs, axis=0) if logs else np.zeros(len(scorer.problem.classes))
    return np.asarray(by_class[1:] - by_class[:1] if scores == 1 else by_class)


def _two_classes(scorer: LocalScorer, scores: Sequence[Term], steps: _Steps) -> list[Term]:
    """Return natural probabilities, from the uncalibrated natural log odds of the second class."""
    (score,), record, factors = scores, _calibration(scorer), _prior_factors(scorer)
    match record:
        case None:
            log_odds = clip(score, -MAX_EXPONENT, MAX_EXPONENT)
        case {"method": "isotonic"}:
            p = steps.add(f"{_STEP}calibrated", _maps(record)[0](score))
            return _reweighted([1.0 - p, p], factors)
        case {"method": "temperature", "temperature": temperature}:
            log_odds = clip(score, -_MAX_LOG_ODDS, _MAX_LOG_ODDS) / temperature
        case _:
            log_odds = _maps(record)[0](score)
    if factors is not None:
        log_odds = log_odds + math.log(factors[1] / factors[0])
    log_odds = steps.add(f"{_STEP}log_odds", log_odds)
    return [expit(-log_odds), expit(log_odds)]


def _many_classes(scorer: LocalScorer, scores: Sequence[Term], steps: _Steps) -> list[Term]:
    """Return natural probabilities, from scores whose differences are natural log odds.

    Engines may insert a step wherever it is read, so that steps are few and seldom read.
    """
    record, factors = _calibration(scorer), _prior_factors(scorer)
    if record is None or record["method"] == "temperature":
        temperature = 1.0 if record is None else record["temperature"]
        logs = [0.0] * len(scores) if factors is None else [math.log(f) for f in factors]
        shifted = [score / temperature + log for score, log in zip(scores, logs, strict=True)]
        return [1.0 / (1.0 + _odds_against(shifted, c)) for c in range(len(shifted))]
    against = [_odds_against(scores, c) for c in range(len(scores))]
    log_odds = steps.add_each("log_odds", [-apply("log", odds) for odds in against])
    mapped = [curve(value) for curve, value in zip(_maps(record), log_odds, strict=True)]
    if record["method"] != "isotonic":
        mapped = [expit(value) for value in mapped]
    mapped = steps.add_each("calibrated", mapped)
    return _reweighted(mapped, factors or [1.0] * len(mapped))


def _reweighted(probabilities: list[Term], factors: Sequence[float] | None) -> list[Term]:
    if factors is None:
        return probabilities
    return reweight(probabilities, list(map(as_term, factors)))


def _odds_against(scores: Sequence[Term], c: int) -> Term:
    return total([
        apply("exp", clip(score - scores[c], -MAX_EXPONENT, MAX_EXPONENT))
        for k, score in enumerate(scores)
        if k != c
    ])  # fmt: skip


def _largest(terms: Sequence[Term]) -> Term:
    return -extreme([-term for term in terms], [-term for term in terms], MISSING)


def _calibration(scorer: LocalScorer) -> dict[str, Any] | None:
    calibration = scorer.manifest.calibration
    return None if calibration is None else calibration.to_dict()


def _prior_factors(scorer: LocalScorer) -> list[float] | None:
    prior, target = scorer.manifest.ledger.prior, scorer.manifest.ledger.target_prior
    return None if target is None else [target[name] / share for name, share in prior.items()]


def _maps(record: Mapping[str, object]) -> list[Callable[[Term], Term]]:
    """Return the calibration's functions of log odds: to a probability, or to log odds."""
    maps = record["maps"]
    if not isinstance(maps, (list, tuple)):
        raise TypeError(type(maps).__name__)
    kind = _isotonic if record["method"] == "isotonic" else _sigmoid
    return [partial(kind, entry) for entry in maps]


def _isotonic(record: Mapping[str, Any], score: Term) -> Term:
    curve = IsotonicMap.from_dict(record)
    knots = [curve.low + curve.step * k for k in range(len(curve.probabilities))]
    return interpolate(score, knots, curve.probabilities)


def _sigmoid(record: Mapping[str, Any], score: Term) -> Term:
    curve = SigmoidMap.from_dict(record)
    bound = min(curve.bound, _MAX_LOG_ODDS)
    return curve.slope * clip(score, -bound, bound) + curve.intercept


def _tree(
    scorer: LocalScorer, by_class: Sequence[FlatTree], positions: Sequence[Term], steps: _Steps
) -> list[Term]:
    """Return the natural probabilities of a tree, which are constants of its leaves."""
    shape = by_class[0]
    leaves = [node for node, left in enumerate(shape.left) if left == LEAF]
    if len(leaves) > MAX_EXPORTED_LEAVES:
        raise ModelError(
            f"The tree of the model '{scorer.version}' has {len(leaves)} leaves; exports state at "
            f"most {MAX_EXPORTED_LEAVES}.",
            hint="state distill.model.max_leaves, and train the student again.",
        )
    number = {node: float(k) for k, node in enumerate(leaves)}

    def below(node: int) -> Term:
        if shape.left[node] == LEAF:
            return Constant(number[node])
        goes_left = positions[shape.feature[node]] <= float(shape.threshold[node])
        return case((goes_left, below(shape.left[node])), otherwise=below(shape.right[node]))

    leaf = steps.add(f"{_STEP}leaf", below(0))
    shares = np.stack([tree.value[leaves] for tree in by_class], axis=1)
    shares = shares / shares.sum(axis=1, keepdims=True)
    natural = scorer.correct(list(shares.T), _rows(len(leaves)))
    return [_by_leaf(leaf, values) for values in natural]


def _by_leaf(leaf: Term, values: Array) -> Term:
    *first, last = values.tolist()
    return case(
        *((apply("=", leaf, float(k)), value) for k, value in enumerate(first)), otherwise=last
    )


def _rows(count: int) -> InputColumns:
    """Return rows without a column, which weights of classes do not read."""
    return InputColumns(pd.DataFrame(index=range(count)))


def _expected_costs(matrix: CostMatrix, probabilities: Sequence[Term], steps: _Steps) -> list[Term]:
    """Return the expected cost of each decision; missing where a cost of the row is no amount."""
    cells = [
        [
            steps.add(f"{_STEP}cost_{decision}_{name}", _cost(cell))
            if constant(cell) is None
            else _cost(cell)
            for name, cell in zip(matrix.classes, row, strict=True)
        ]
        for decision, row in zip(matrix.decisions, matrix.cells, strict=True)
    ]
    checked = [cost for row in cells for cost in row if isinstance(cost, Value)]
    faults = [
        fault
        for cost in checked
        for fault in (is_missing(cost), cost < 0.0, apply("<", LARGEST, cost))
    ]
    invalid = steps.add(f"{_STEP}invalid", case(*((f, 1.0) for f in faults), otherwise=0.0))
    has_costs = apply("=", invalid, 0.0)
    expected = []
    for decision, row in zip(matrix.decisions, cells, strict=True):
        parts = [p * cost for p, cost in zip(probabilities, row, strict=True)]
        valid = case((has_costs, total(parts)), otherwise=MISSING)
        expected.append(steps.add(expected_col(decision), valid))
    return list(expected)


def _cost(tree: Expression) -> Term:
    """Return the arithmetic of a cost; see `sparkweights.costs.expression.evaluate`."""
    match tree:
        case Number(value):
            return as_term(float(value))
        case Name(name, _):
            return Value(name)
        case Operation(operator, left, right):
            return apply(operator, _cost(left), _cost(right))
        case Call("coalesce", arguments):
            return apply("coalesce", *map(_cost, arguments))
        case Call("min", arguments):
            terms = list(map(_cost, arguments))
            return extreme(terms, terms, MISSING)
        case Call(_, arguments):
            return _largest(list(map(_cost, arguments)))


def describe(formula: ScoringFormula) -> str:
    """Return a sentence for the head of an export."""
    return (
        f"Model {formula.version} of sparkweights: natural probabilities, expected costs and the "
        f"decision of least expected cost; reads {join_names(formula.inputs)}."
    )
