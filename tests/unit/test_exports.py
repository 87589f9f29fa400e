"""Exports of a model compute what the model computes: SQL in SQLite, Python alone, and ONNX.

The truth is `LocalScorer`, which other tests compare with Spark row by row.
"""

from __future__ import annotations

import ast
import json
import math
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweights.core.errors import ModelError
from sparkweights.core.roles import ColumnRoles
from sparkweights.costs.matrix import CostMatrix
from sparkweights.export import standalone
from sparkweights.export.formula import ScoringFormula
from sparkweights.export.onnx_graph import MISSING_TEXT, to_onnx
from sparkweights.export.sql import DIALECTS, to_sql
from sparkweights.export.terms import Constant, interpolate, names, plain
from sparkweights.local.columns import InputColumns
from sparkweights.local.encoders import (
    LocalBins,
    LocalBlock,
    LocalCategory,
    LocalCode,
    LocalEncoder,
    LocalNumber,
    LocalPlan,
    LocalTarget,
)
from sparkweights.local.models import LocalBoosting, LocalLogistic, LocalModel, LocalShares
from sparkweights.local.scorer import LocalScorer
from sparkweights.spec.problem import DecisionProblem
from sparkweights.trees.flat_trees import FlatTree
from sparkweights.weights.rule import WeightRule

if TYPE_CHECKING:
    from collections.abc import Callable

    ByOnnx = Callable[[bytes, pd.DataFrame], pd.DataFrame]

KINDS = {"in come": "number", "n": "number", "town": "text", "flag": "boolean", "code": "number"}
TOWNS = ["oslo", "ber'gen", None, "unseen", 'a"b\\c', "oslo"]
NUMBERS = [None, math.nan, 0.0, -1.5, 3.0, math.inf, 250.0, -1e6, 2.0, 1e-3]
TABLE: tuple[tuple[float, ...], ...] = ((0.5,), (-1.25,), (0.1,), (2.0,))


@dataclass(frozen=True)
class Stated:
    """What an export reads of a manifest."""

    ledger: Any
    calibration: Any
    schema: dict[str, str]
    model: Any = None


@dataclass(frozen=True)
class Ledger:
    """What an export reads of a ledger."""

    loss: Any = None
    prior: Any = None
    target_prior: Any = None


@dataclass(frozen=True)
class Record:
    """Something with a dictionary, and the kind of a model."""

    values: dict[str, Any]
    kind: str = "some"

    def to_dict(self) -> dict[str, Any]:
        """Return the dictionary."""
        return self.values


def _scorer(
    encoders: tuple[LocalEncoder, ...],
    model: LocalModel,
    classes: str = "ab",
    weights: tuple[float, ...] | None = None,
    calibration: dict[str, Any] | None = None,
    **ledger: Any,
) -> LocalScorer:
    roles = ColumnRoles(
        ("id",), "y", {name: i for i, name in enumerate(classes)}, ("in come", "n"), ("town",)
    )
    costs = {
        "approve": {name: 0 if i == 0 else "0.75 * n" for i, name in enumerate(classes)},
        "decline": {
            name: "min(n, coalesce(`in come`, 4), 20) + 1 / n" if i == 0 else 0
            for i, name in enumerate(classes)
        },
        "ask": dict.fromkeys(classes, "max(n / 9, 3)"),
    }
    stated = Stated(
        Ledger(**ledger),
        None if calibration is None else Record(calibration),
        KINDS,
        Record({}),
    )
    rules = () if weights is None else (_rule(classes, weights),)
    problem = DecisionProblem(roles, CostMatrix.parse(costs, roles.class_names))
    plan = LocalPlan(encoders)
    return LocalScorer("v1", cast("Any", stated), problem, plan, model, rules)


def _rule(classes: str, weights: tuple[float, ...]) -> WeightRule:
    return WeightRule.fixed("manual", dict(zip(classes, weights, strict=True)))


def _frame() -> pd.DataFrame:
    rows = 60
    return pd.DataFrame({
        "id": range(rows),
        "in come": pd.Series([NUMBERS[i % 10] for i in range(rows)], dtype=float),
        "n": pd.Series([NUMBERS[(3 * i + i // 10) % 10] for i in range(rows)], dtype=float),
        "town": [TOWNS[(i + i // 6) % 6] for i in range(rows)],
        "flag": pd.Series([[True, False, None][i % 3] for i in range(rows)], dtype="boolean"),
        "code": pd.Series([[1.0, 7.0, None, 2.0][i % 4] for i in range(rows)]),
    })  # fmt: skip


PLAN = (
    LocalNumber("in come", 2.5, flag_missing=True),
    LocalBlock(("n", "in come"), (1.0, 3.0), ("n",)),
    LocalCategory("town", ("oslo", "ber'gen", 'a"b\\c')),
    LocalCode("flag", ("true", "false")),
    LocalCode("code", ("1", "2")),
)
SCORECARD = (
    LocalBins("in come", TABLE, ("b",), (-1.0, 3.0)),
    LocalTarget("town", TABLE, ("b",), ("oslo", "ber'gen")),
    LocalNumber("n", 1.0, flag_missing=False, knots=((-2.0, -1.0), (0.0, 0.5), (9.0, 0.75))),
)
SIGMOID = {"method": "sigmoid", "maps": [{"slope": 1.3, "intercept": -0.4, "bound": 5.0}]}
STEEP = {
    "method": "isotonic",
    "maps": [
        {"low": -3.0, "step": 0.5, "probabilities": [0.01, 0.01, 0.01, 0.02, 0.3, 0.3, 0.31, 0.8]}
    ],
}
THREE = {"method": "sigmoid", "maps": [SIGMOID["maps"][0]] * 3}  # type: ignore[index]


def _tree(*, classes: int) -> LocalShares:
    """Return a tree that splits on positions of `PLAN`: income, the flag of n, and a town."""
    shape: dict[str, Any] = {
        "left": (1, 3, 5, -1, -1, -1, 7, -1, -1),
        "right": (2, 4, 6, -1, -1, -1, 8, -1, -1),
        "feature": (0, 4, 5, -1, -1, -1, 11, -1, -1),
        "threshold": np.array([1.0, 0.5, 0.5, 0, 0, 0, 1.5, 0, 0]),
        "weight": np.ones(9),
    }
    shares = np.random.default_rng(3).dirichlet(np.ones(classes), 9)
    return LocalShares((tuple(FlatTree(**shape, value=shares[:, c]) for c in range(classes)),))


def _linear(positions: int, margins: int) -> LocalLogistic:
    rng = np.random.default_rng(positions)
    return LocalLogistic(rng.normal(size=(margins, positions)), rng.normal(size=margins))


SCORERS: dict[str, Callable[[], LocalScorer]] = {
    "logistic": lambda: _scorer(PLAN, _linear(12, 1)),
    "weights and sigmoid": lambda: _scorer(
        PLAN, _linear(12, 1), weights=(0.6, 5.0), calibration=SIGMOID
    ),
    "isotonic and target prior": lambda: _scorer(
        PLAN,
        _linear(12, 1),
        calibration=STEEP,
        prior={"a": 0.8, "b": 0.2},
        target_prior={"a": 0.6, "b": 0.4},
    ),
    "temperature": lambda: _scorer(
        PLAN, _linear(12, 1), calibration={"method": "temperature", "temperature": 1.7}
    ),
    "scorecard": lambda: _scorer(SCORECARD, _linear(3, 1), weights=(1.0, 9.0)),
    "three classes": lambda: _scorer(PLAN, _linear(12, 3), "abc", (1.0, 2.0, 4.0), THREE),
    "three classes without calibration": lambda: _scorer(PLAN, _linear(12, 3), "abc"),
    "tree": lambda: _scorer(PLAN, _tree(classes=2), weights=(1.0, 9.0), calibration=SIGMOID),
    "tree of three classes": lambda: _scorer(PLAN, _tree(classes=3), "abc", (1.0, 3.0, 9.0)),
}


@pytest.mark.parametrize("name", SCORERS)
def test_exports_equal_the_model_on_every_row(name: str, score_by_onnx: ByOnnx) -> None:
    """With nulls, NaN, infinity, unseen levels and quotes; to 1e-9."""
    scorer, frame = SCORERS[name](), _frame()
    columns = InputColumns(frame)
    priced = scorer.price(columns)
    least = priced.expected.min(axis=1)
    expected = np.column_stack([scorer.probabilities(columns), priced.expected, least])
    formula = ScoringFormula.of(scorer)
    assert list(expected.shape) == [len(frame), len(formula.outputs) - 1]
    assert {*priced.decision()} >= {"approve", "unscorable"}
    python = standalone.Scorer(json.loads(json.dumps(formula.to_dict(), allow_nan=False)))
    rows = [
        {column: _plain(value) for column, value in row.items()} for row in frame.to_dict("records")
    ]
    by_onnx = score_by_onnx(to_onnx(formula), frame).to_dict("records")
    for found in (_by_sqlite(formula, rows), [python.score(row) for row in rows], by_onnx):
        decisions = [row["decision"] for row in found]
        numbers = [[row[output] for output in formula.outputs[:-1]] for row in found]
        assert decisions == priced.decision().tolist()
        assert np.array(numbers, dtype=float) == pytest.approx(
            expected, rel=1e-9, abs=1e-14, nan_ok=True
        )


def _plain(value: object) -> object:
    """Return a value of pandas as Python has it."""
    if value is pd.NA:
        return None
    return bool(value) if isinstance(value, np.bool_) else value


def _by_sqlite(formula: ScoringFormula, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run the query of standard SQL."""
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    for name, function in (("EXP", math.exp), ("LN", math.log)):  # not every build has them
        connection.create_function(name, 1, _of_null(function), deterministic=True)
    columns, places = ", ".join(f'"{name}"' for name in rows[0]), ", ".join("?" * len(rows[0]))
    connection.execute(f"CREATE TABLE loans ({columns})")
    connection.executemany(
        f"INSERT INTO loans VALUES ({places})",  # noqa: S608 (question marks)
        [tuple(row.values()) for row in rows],
    )
    query = to_sql(formula, "loans", DIALECTS["sql"])
    return [dict(row) for row in connection.execute(f"{query} ORDER BY id")]


def _of_null(function: Callable[[float], float]) -> Callable[[float | None], float | None]:
    return lambda value: None if value is None else function(value)


def test_standalone_scorer_needs_python_alone() -> None:
    """It imports `math` and types, and runs in a process without any package."""
    source = Path(standalone.__file__).read_text(encoding="utf-8")
    code = ast.parse(source)
    imports = [node for node in ast.walk(code) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {name.name for node in imports for name in node.names}
    assert modules == {"annotations", "math", "TYPE_CHECKING", "Callable", "Mapping", "Any"}
    formula = json.dumps(ScoringFormula.of(SCORERS["scorecard"]()).to_dict())
    row = "{'n': 4, 'town': 'x'}"
    scored = f"Scorer(json.loads({formula!r})).score({row})"
    script = f"{source}\nimport json\nprint({scored}['decision'])"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    )
    in_process = standalone.Scorer(json.loads(formula)).score({"n": 4, "town": "x"})
    assert done.stdout.split() == [in_process["decision"]]


def test_scorecard_has_points_per_bin() -> None:
    """The slope times the weight of evidence of each range, as one CASE of its column."""
    scorer = _scorer(SCORECARD[:1], LocalLogistic(np.array([[2.0]]), np.array([0.25])))
    score = ScoringFormula.of(scorer).steps["__score_0"]
    income = ["value", "in come"]
    assert plain(score) == ["+", 0.25, [
        "case", ["<=", income, -1.0], 1.0, ["<=", income, 3.0], -2.5, ["missing", income], 4.0, 0.2,
    ]]  # fmt: skip


def test_exports_refuse_models_that_they_cannot_state() -> None:
    """A sentence says which, and the hint what to do."""
    forest = LocalShares(_tree(classes=2).trees * 2)
    by_row = replace(_rule("ab", (1.0, 2.0)), cells=CostMatrix.parse(
        {"x": {"a": "n", "b": 1}, "y": {"a": 1, "b": 1}}, "ab").cells[0])  # fmt: skip
    logistic = _scorer(PLAN, _linear(12, 1))
    decimals = replace(logistic, plan=LocalPlan((LocalCode("code", ("1.5",)),)))
    refused = [
        (_scorer(PLAN, forest), "has no export; linear models and single trees have one"),
        (_scorer(PLAN, LocalBoosting(())), "has no export"),
        (replace(logistic, rules=(by_row,)), "weights of the model 'v1' differ by row"),
        (_scorer(PLAN, _linear(12, 1), loss="focal"), "trained with a focal loss"),
        (decimals, "categories of column 'code' are numbers with decimals"),
    ]
    for scorer, sentence in refused:
        with pytest.raises(ModelError, match=sentence):
            ScoringFormula.of(scorer)


def test_onnx_computes_in_double_precision(score_by_onnx: ByOnnx) -> None:
    """A row just above a tree's threshold goes right; in single precision it would go left."""
    tree = FlatTree(
        left=(1, -1, -1),
        right=(2, -1, -1),
        feature=(0, -1, -1),
        threshold=np.array([0.1, 0, 0]),
        weight=np.ones(3),
        value=np.array([0.5, 0.25, 0.75]),
    )
    model = LocalShares(((tree, replace(tree, value=1 - tree.value)),))
    formula = ScoringFormula.of(_scorer((LocalBlock(("n",), (None,), ()),), model))
    rows = _frame()[:2].assign(n=[0.1, np.nextafter(0.1, 1)])
    scored = score_by_onnx(to_onnx(formula), rows)
    assert scored[formula.outputs[0]].tolist() == [0.25, 0.75]


def test_onnx_has_a_value_per_row_of_a_model_that_reads_none(score_by_onnx: ByOnnx) -> None:
    """A tree of one leaf: its probabilities are the same on every row."""
    leaf = FlatTree((-1,), (-1,), (-1,), np.zeros(1), value=np.array([0.25]), weight=np.ones(1))
    model = LocalShares(((leaf, replace(leaf, value=np.array([0.75]))),))
    formula = ScoringFormula.of(_scorer((), model))
    scored = score_by_onnx(to_onnx(formula), _frame())
    assert scored[formula.outputs[1]].tolist() == [0.75] * 60


def test_onnx_refuses_a_category_that_it_takes_for_a_missing_one() -> None:
    """The sentence says what to do."""
    plan = (LocalCategory("town", ("oslo", MISSING_TEXT)),)
    formula = ScoringFormula.of(_scorer(plan, _linear(4, 1)))
    with pytest.raises(ModelError, match="stands for a missing text"):
        to_onnx(formula)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=9), st.floats(-9, 9) | st.none())
def test_interpolation_equals_numpy(values: list[float], at: float | None) -> None:
    """Between knots, on them, beyond them, and where flat stretches are merged."""
    values = [round(value) / 2 for value in values]
    knots = [float(k) for k in range(len(values))]
    term = interpolate(Constant(at), knots, values)
    found = standalone.evaluate(plain(term), {})
    assert names(term) == set()
    if at is None:
        assert found is None
    else:
        assert found == pytest.approx(np.interp(at, knots, values), abs=1e-12)
