"""Constraints on effects: read off fitted trees, and stated by column name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from xgboost import DMatrix, train

from sparkweights.config.load import load_config
from sparkweights.core.errors import ConfigError, QualityGateError
from sparkweights.models.constraints import Constraints
from sparkweights.trees.shape import direction_violations, interaction_violations

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 3_000


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Draw rows whose first feature acts by the sign of the second; a tenth is missing."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(ROWS, 4))
    y = (rng.random(ROWS) < 1 / (1 + np.exp(-(x[:, 0] * x[:, 1] + x[:, 2])))).astype(float)
    x[rng.random(x.shape) < 0.1] = np.nan
    return x, y


def _model(rows: tuple[np.ndarray, np.ndarray], **params: Any) -> tuple[Any, bytes]:
    stated = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1, "seed": 1, **params}
    booster = train(stated, DMatrix(*rows), 15)
    return booster, bytes(booster.save_raw("json"))


@pytest.mark.parametrize("policy", ["depthwise", "lossguide"])
def test_direction_violations_constrained_model_has_none(
    rows: tuple[np.ndarray, np.ndarray], policy: str
) -> None:
    """With missing values, and both directions at once; a grid over each feature agrees."""
    booster, model = _model(rows, monotone_constraints="(1,0,-1,0)", grow_policy=policy)
    assert not list(direction_violations(model, (1, 0, -1, 0)))
    for feature, sign in ((0, 1), (2, -1)):
        grid = np.repeat(rows[0][:50], 80, axis=0)
        grid[:, feature] = np.tile(np.linspace(-4, 4, 80), 50)
        margin = booster.inplace_predict(grid, predict_type="margin").reshape(50, 80)
        assert (sign * np.diff(margin, axis=1) >= -1e-5).all()


def test_direction_violations_free_model_names_the_splits(
    rows: tuple[np.ndarray, np.ndarray],
) -> None:
    """The product of two features rises in the first one here and falls there."""
    booster, model = _model(rows)
    found = list(direction_violations(model, (1, 0, 0, 0)))
    assert found
    assert {one.features for one in found} == {(0,)}
    grid = np.repeat(np.array([[0.0, 1.5, 0, 0], [0.0, -1.5, 0, 0]]), 40, axis=0)
    grid[:, 0] = np.tile(np.linspace(-2, 2, 40), 2)
    margin = booster.inplace_predict(grid, predict_type="margin").reshape(2, 40)
    assert margin[0, -1] > margin[0, 0]
    assert margin[1, -1] < margin[1, 0]
    assert not list(direction_violations(model, (0, 0, 0, 0)))


def test_interaction_violations_paths_stay_within_a_group(
    rows: tuple[np.ndarray, np.ndarray],
) -> None:
    """Constrained to {0, 2} and {1, 3}, no path holds others; a feature of no group acts alone."""
    _, model = _model(rows, interaction_constraints="[[0, 2], [1, 3]]")
    assert not list(interaction_violations(model, [(0, 2), (1, 3)]))
    found = list(interaction_violations(model, [(0, 2)]))
    assert {one.features for one in found} == {(1, 3)}
    _, free = _model(rows)
    assert (0, 1) in {one.features[:2] for one in interaction_violations(free, [(0, 2), (1, 3)])}


def _plan() -> Any:
    """Stand for a plan: a number with its flag, a number, and a category of two positions."""
    return SimpleNamespace(
        names=("late", "late is missing", "income", "card = a", "card = b"),
        sources=("late", "late", "income", "card", "card"),
        increasing=(True, False, True, False, False),
    )


def test_constraints_columns_become_positions() -> None:
    """A flag of missing values is free; a column of no group keeps its positions together."""
    found = Constraints.of(_plan(), {"late": 1}, [["late", "income"]])
    assert found is not None
    assert found.directions == (1, 0, 0, 0, 0)
    assert found.groups == ((0, 1, 2), (3, 4))
    assert found.params() == {
        "monotone_constraints": "(1,0,0,0,0)",
        "interaction_constraints": "[[0, 1, 2], [3, 4]]",
    }
    assert Constraints.of(_plan(), {}) is None
    with pytest.raises(ConfigError, match="encoding of card does not keep the order"):
        Constraints.of(_plan(), {"card": 1})


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        (Constraints(("a", "b", "c", "d"), (1, 0, 0, 0)), "breaks model.monotone: tree 0.*on a"),
        (Constraints(("a", "b", "c", "d"), (0,) * 4, ((0, 2),)), "breaks model.interactions"),
    ],
)
def test_require_kept_refuses_a_model_that_breaks_a_constraint(
    rows: tuple[np.ndarray, np.ndarray], stated: Constraints, words: str
) -> None:
    """A model that was fitted without the constraint is not published under its name."""
    _, model = _model(rows)
    with pytest.raises(QualityGateError, match=words):
        stated.require_kept(model)


CONFIG = """\
name: loans
tables: {labelled: {location: data/history}}
columns:
  keys: [id]
  label: outcome
  classes: {repaid: 0, defaulted: 1, ANOTHER}
  numeric: [income, late_payments]
  categorical: [card]
costs:
  approve: {repaid: 0, defaulted: income}
  decline: {repaid: 100, defaulted: 0}
weights: {scheme: WEIGHTS}
features: {FEATURES}
model: {kind: KIND, MODEL}
"""


def _load(folder: Path, model: str, **changes: str) -> Any:
    stated = {
        ", ANOTHER": "", "WEIGHTS": "balanced", "FEATURES": "", "KIND": "xgboost", "MODEL": model,
        **changes,
    }  # fmt: skip
    text = CONFIG
    for name, value in stated.items():
        text = text.replace(name, value)
    path = folder / "loan.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_load_config_constraints_by_name(tmp_path: Path) -> None:
    """As the documentation writes them."""
    model = "monotone: {income: -1, late_payments: 1}, interactions: [[income, card]]"
    config = _load(tmp_path, model)
    assert config.model.monotone == {"income": -1, "late_payments": 1}
    assert config.model.interactions == (("income", "card"),)


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        ("monotone: {incme: 1}", {}, "'incme' is no feature; .*Did you mean 'income'"),
        ("interactions: [[income, crd]]", {}, "'crd' is no feature; .*Did you mean 'card'"),
        ("monotone: {card: 1}", {}, "model.monotone: card is a category"),
        ("monotone: {income: 1}", {"KIND": "logistic"}, "model.monotone: needs kind xgboost"),
        ("monotone: {income: 2}", {}, "model.monotone"),
        ("interactions: [[income]]", {"KIND": "boosted_trees"}, "needs kind xgboost"),
        ("monotone: {income: 1}", {"FEATURES": "numeric: binned"}, "does not keep the order"),
        ("params: {}", {"KIND": "logistic", "FEATURES": "impute: none"}, "needs kind xgboost"),
    ],
)
def test_load_config_constraint_that_cannot_hold_is_refused(
    tmp_path: Path, model: str, changes: dict[str, str], words: str
) -> None:
    """With the key and the next step."""
    with pytest.raises(ConfigError, match=words):
        _load(tmp_path, model, **changes)


def test_load_config_monotone_of_three_classes_is_refused(tmp_path: Path) -> None:
    """A direction is that of one probability."""
    changes = {", ANOTHER": ", late: 2", "income}": "income, late: 1}", "defaulted: 0}": (
        "defaulted: 0, late: 0}")}  # fmt: skip
    with pytest.raises(ConfigError, match="needs two classes; there are 3"):
        _load(tmp_path, "monotone: {income: 1}", **changes)
