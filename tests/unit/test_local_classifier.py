"""A bundle on one machine: scores, decisions, and what scikit-learn asks for, without Spark."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import math
import random
import shutil
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.metrics import get_scorer, roc_auc_score

from sparkweights import BundleClassifier, InputError, ModelError, load_classifier
from sparkweights.core.roles import ColumnRoles
from sparkweights.costs.expression import evaluate, parse
from sparkweights.costs.matrix import CostMatrix
from sparkweights.features.encoders import ENCODERS
from sparkweights.local import encoders as local
from sparkweights.local.columns import InputColumns
from sparkweights.local.corrections import class_weights, invert_weights
from sparkweights.local.costs import RowCosts, amounts
from sparkweights.local.models import SavedModel, open_model, read_logistic
from sparkweights.local.scorer import PricedRows
from sparkweights.spec.problem import DecisionProblem
from sparkweights.spec.training import TrainingSpec
from sparkweights.weights.rule import GroupFactors, Grouping, WeightRule

BEFORE = Path(__file__).parents[1] / "golden" / "before"
COSTS = {
    "approve": {"repaid": 0, "defaulted": "0.75 * amount"},
    "decline": {"repaid": "0.1 * amount + 20", "defaulted": 0},
}
# The label's values are in another order than the classes: bad < good.
ROLES = ColumnRoles(
    ("loan id",), "outcome", {"repaid": "good", "defaulted": "bad"},
    ("in.come", "late payments", "amount"), ("card type",),
)  # fmt: skip


def _write_bundle(artifacts: Path, **changes: Any) -> Path:
    """Copy the bundle that an earlier release wrote, with the specification of today's."""
    shutil.copytree(BEFORE / "models", artifacts)
    bundle = artifacts / (artifacts / "current").read_text(encoding="utf-8").strip()
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    problem = DecisionProblem(ROLES, CostMatrix.parse(COSTS, ROLES.class_names))
    manifest["spec"] = TrainingSpec(problem, seed=3, scratch="").to_dict()
    (bundle / "manifest.json").write_text(json.dumps(manifest | changes), encoding="utf-8")
    _write_checksum(bundle)
    return bundle


def _write_checksum(bundle: Path) -> None:
    digest = hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    (bundle / "manifest.sha256").write_text(f"{digest}\n", encoding="utf-8")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the bundle once for the tests that only read it."""
    folder = tmp_path_factory.mktemp("bundle") / "models"
    _write_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def model(artifacts: Path) -> BundleClassifier:
    """Open it once."""
    return load_classifier(artifacts)


@pytest.fixture
def rows() -> pd.DataFrame:
    """Return the rows that the release scored, with the probability that it gave."""
    return pd.DataFrame(json.loads((BEFORE / "scored.json").read_text(encoding="utf-8")))


def test_classifier_probabilities_are_those_of_spark(
    model: BundleClassifier, rows: pd.DataFrame
) -> None:
    """The columns follow the label's values in ascending order, as scikit-learn's metrics do."""
    assert model.classes_.tolist() == ["bad", "good"]
    assert model.class_names_.tolist() == ["defaulted", "repaid"]
    assert model.version_.startswith("2026")
    assert set(model.feature_names_in_) == {*ROLES.numeric, *ROLES.categorical}
    bad = rows["probability_defaulted"]
    assert model.predict_proba(rows) == pytest.approx(np.c_[bad, 1 - bad], rel=1e-12)


def test_classifier_decides_at_least_expected_cost_by_the_rows_amount(
    model: BundleClassifier, rows: pd.DataFrame
) -> None:
    """By hand, with a row for each way of being unscorable."""
    rows.loc[0, "in.come"] = math.inf
    rows.loc[1, "amount"] = None
    rows.loc[2, "amount"] = -5.0
    scored, amount = model.transform(rows), rows["amount"].to_numpy()
    p = rows["probability_defaulted"].to_numpy()
    approve, decline = 0.75 * amount * p, (0.1 * amount + 20) * (1 - p)
    assert model.predict(rows)[:3].tolist() == ["unscorable"] * 3
    assert scored.drop(columns="decision")[:3].isna().all().all()
    assert scored["expected_cost_approve"][3:].to_numpy() == pytest.approx(approve[3:])
    assert scored["expected_cost_decline"][3:].to_numpy() == pytest.approx(decline[3:])
    cheapest = np.where(approve <= decline, "approve", "decline")[3:]
    assert model.predict(rows)[3:].tolist() == scored["decision"][3:].tolist() == cheapest.tolist()
    assert scored["expected_cost"][3:].to_numpy() == pytest.approx(np.minimum(approve, decline)[3:])
    # A probability needs no cost: the amount is imputed as a feature.
    assert np.isnan(model.predict_proba(rows)).any(axis=1).tolist() == [True] + [False] * 7


def test_classifier_works_with_scikit_learn(model: BundleClassifier, rows: pd.DataFrame) -> None:
    """Scorers find the class, importance is in the currency, and a copy loads its own bundle."""
    many = pd.concat([rows] * 40, ignore_index=True)
    drawn = np.random.default_rng(1).random(len(many)) < many["probability_defaulted"]
    y = np.where(drawn, "bad", "good")
    auc = roc_auc_score(drawn, many["probability_defaulted"])
    assert get_scorer("roc_auc")(model, many, y) == pytest.approx(auc)
    assert get_scorer("neg_log_loss")(model, many, y) > -0.7
    declined = (model.predict(many) == "decline").astype(float)
    cost = np.where(drawn, 0.75 * many["amount"] * (1 - declined), 0) + np.where(
        drawn, 0, (0.1 * many["amount"] + 20) * declined
    )
    assert model.score(many, y) == pytest.approx(-cost.mean())
    weights = np.arange(len(many))
    assert model.score(many, y, weights) == pytest.approx(-np.average(cost, weights=weights))
    columns = many[list(model.feature_names_in_)]
    found = permutation_importance(model, columns, y, scoring="roc_auc", n_repeats=2)
    assert found.importances_mean[1] > 0  # late payments
    copy = clone(model)
    with pytest.raises(NotFittedError, match="call fit, which trains nothing"):
        copy.predict_proba(rows)
    assert (copy.fit(many, y).predict(rows) == model.predict(rows)).all()


def test_classifier_imports_no_engine(artifacts: Path) -> None:
    """Neither pyspark nor a session: a unit test of an application starts no Java."""
    code = (
        "import json, sys, pandas as pd; from sparkweights import load_classifier; "
        f"rows = pd.DataFrame(json.load(open({str(BEFORE / 'scored.json')!r}))); "
        f"print(load_classifier({str(artifacts)!r}).predict(rows)[0], 'pyspark' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["decline", "False"]


def test_classifier_refuses_rows_that_it_cannot_read(
    model: BundleClassifier, rows: pd.DataFrame
) -> None:
    """A sentence with the column and the kinds; no value of a row is in it."""
    refused: list[tuple[Any, str]] = [
        (rows.to_numpy(), r"Rows are given as ndarray; allowed: a DataFrame of pandas"),
        (rows.rename(columns={"in.come": "income"}), r"no column 'in.come'.*Did you mean 'income'"),
        (pd.concat([rows, rows[["amount"]]], axis=1), r"hold column 'amount' 2 times"),
        (rows.assign(amount="secret"), r"Column 'amount' of the rows is text; the model needs num"),
        (rows.assign(**{"card type": 1}), r"Column 'card type' of the rows is number; the model"),
        (rows.assign(amount=[1, "secret"] * 4), r"Column 'amount' of the rows holds values of sev"),
    ]
    for given_rows, sentence in refused:
        with pytest.raises(InputError, match=sentence) as error:
            model.predict(given_rows)
        assert "secret" not in str(error.value)
    with pytest.raises(InputError, match=r"1 of 8 rows cannot be scored"):
        model.score(rows.assign(amount=[None, *rows["amount"][1:]]), ["bad"] * 8)
    with pytest.raises(InputError, match=r"2 of 8 labels are of no class.*'good', 'bad'"):
        model.score(rows, ["bad"] * 6 + ["secret", None])
    # A column without any value, in whatever type pandas gives it, is missing on every row.
    empty = rows.assign(**{"card type": math.nan, "in.come": None})
    assert np.isfinite(model.predict_proba(empty)).all()


def test_classifier_refuses_bundles_that_it_cannot_open(tmp_path: Path) -> None:
    """Altered, of another kind, without its specification, or not there."""
    with pytest.raises(ModelError, match="No current model under"):
        load_classifier(tmp_path / "nothing")
    with pytest.raises(ModelError, match="before bundles kept the specification"):
        load_classifier(BEFORE / "models")
    bundle = _write_bundle(tmp_path / "altered")
    (data,) = (bundle / "model" / "data").glob("*.parquet")
    data.write_bytes(data.read_bytes() + b" ")
    with pytest.raises(ModelError, match=r"was altered: 'model/data/part-.*SHA-256 differs"):
        load_classifier(tmp_path / "altered")
    with pytest.raises(ModelError, match=r"Models of kind 'other' cannot be opened without Spark"):
        open_model("other", SavedModel({}, 2))
    with pytest.raises(ModelError, match=r"no Parquet file in its folder 'data'; it has none"):
        open_model("logistic", SavedModel({}, 2))
    with pytest.raises(ModelError, match=r"files of the model of kind 'xgboost' have a form"):
        open_model("xgboost", SavedModel({"model.json": b"{}"}, 2))


def test_classifier_verifies_the_signature_that_a_key_asks_for(tmp_path: Path) -> None:
    """Whoever rewrites the manifest and its checksum has no key; and the key is shown nowhere."""
    key = b"0123456789abcdef-secret"
    folder = tmp_path / "models"
    bundle = _write_bundle(folder)
    with pytest.raises(ModelError, match="has no signature, and one is asked for"):
        load_classifier(folder, key=key)
    content = (bundle / "manifest.json").read_bytes()
    signature = hmac.new(key, b"sparkweights bundle\0" + content, "sha256").hexdigest()
    (bundle / "manifest.hmac").write_text(f"{signature}\n", encoding="utf-8")
    classifier = load_classifier(folder, key=key)
    assert classifier.version_ == load_classifier(folder).version_
    copy = clone(classifier)
    for shown in (classifier, copy, classifier.get_params(), classifier._repr_html_()):
        assert "secret" not in repr(shown)
    with pytest.raises(ModelError, match="is not by this key"):
        load_classifier(folder, key=b"another key of 23 bytes")
    manifest = json.loads(content) | {"spark": "4.3.1"}
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    _write_checksum(bundle)
    assert load_classifier(folder).version_ == classifier.version_  # checksums find accidents
    for altered in (copy, classifier):
        with pytest.raises(ModelError, match="is not by this key"):
            altered.fit()


def test_local_encoders_have_the_fields_of_the_encoders() -> None:
    """Whoever adds an encoding, or a field to one, learns of its reader here."""
    assert set(local.ENCODERS) == set(ENCODERS)
    for kind, encoder in ENCODERS.items():
        reader: Any = local.ENCODERS[kind]
        assert {field.name for field in dataclasses.fields(encoder)} == {
            field.name for field in dataclasses.fields(reader)
        }


@given(st.integers(0, 10**9))
def test_amounts_equal_the_reference_evaluation(seed: int) -> None:
    """On every mix of null, NaN, zero and negative values."""
    rng = random.Random(seed)
    values = [None, math.nan, 0.0, -0.5, 1.0, 3.25, -7.0, 1e6]
    frame = pd.DataFrame(
        {name: pd.Series([rng.choice(values) for _ in range(9)], dtype=float) for name in "ab"}
    )
    tree = parse(_random_text(rng, 3))
    found = amounts(tree, InputColumns(frame)).or_nan()
    for row, value in zip(frame.to_dict("records"), found, strict=True):
        expected = evaluate(tree, row)
        assert math.isnan(value) if expected is None else value == expected


def _random_text(rng: random.Random, depth: int) -> str:
    if depth == 0 or rng.random() < 0.2:
        return rng.choice(["a", "b", "2.5", "0", "-1"])
    parts = [_random_text(rng, depth - 1) for _ in range(2)]
    function = rng.choice(["min", "max", "coalesce", "+", "-", "*", "/"])
    if function.isalpha():
        return f"{function}({', '.join(parts)})"
    return f"({parts[0]}) {function} ({parts[1]})"


def test_row_costs_expect_by_hand() -> None:
    """Of 3 classes and 2 decisions; a cost below 0 makes the row unusable."""
    matrix = CostMatrix.parse(
        {"a": {"x": 0, "y": "amount", "z": 5}, "b": {"x": 2, "y": 1, "z": "amount / 2"}}, "xyz"
    )
    costs = RowCosts.of(matrix, InputColumns(pd.DataFrame({"amount": [10.0, -1.0]})))
    expected = costs.expected(np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]]))
    assert expected[0] == pytest.approx([0.3 * 10 + 0.2 * 5, 0.5 * 2 + 0.3 + 0.2 * 5])
    assert costs.is_usable.tolist() == [True, False]


def test_priced_rows_tie_goes_to_the_decision_declared_first() -> None:
    """And a row without an expected cost has no decision and no realised cost."""
    costs = RowCosts(((np.full(3, 1.0), np.full(3, 2.0)),) * 2, np.ones(3, dtype=bool))
    expected = np.array([[4.0, 4.0], [4.0, 3.0], [math.nan, 3.0]])
    priced = PricedRows(("a", "b"), np.full((3, 2), 0.5), costs, expected)
    assert priced.decision().tolist() == ["a", "b", "unscorable"]
    realised = priced.realised_cost(np.array([0, 1, 0]))
    assert realised == pytest.approx([1.0, 2.0, math.nan], nan_ok=True)


def test_class_weights_follow_the_group_and_the_month_of_a_row() -> None:
    """Factors by hand; a group that training did not see has those of all rows."""
    factors = {'["a","2026-02-01"]': (2.0, 3.0), '[null,"2026-03-01"]': (4.0, 5.0)}
    groups = GroupFactors(Grouping(("town",), "day", "month"), factors, (1.0, 7.0))
    cells = (parse("1"), parse("amount"))
    rule = WeightRule("manual", ("x", "y"), cells, scale=0.5, cap=100.0, groups=groups)
    frame = pd.DataFrame({
        "town": ["a", None, "zz", "a"], "amount": [10.0, 1.0, 50.0, None],
        "day": [date(2026, 2, 9), date(2026, 3, 31), date(2026, 2, 1), date(2026, 2, 28)],
    })  # fmt: skip
    x, y = class_weights(rule, InputColumns(frame))
    assert x.tolist() == [1.0, 2.0, 0.5, 1.0]
    assert y == pytest.approx([15.0, 2.5, 100.0, math.nan], nan_ok=True)
    q = np.array([0.5, 0.5, 0.5, 0.5])
    _, natural = invert_weights([q, q], rule, InputColumns(frame))
    assert natural[0] == pytest.approx((1 / 15) / (1 + 1 / 15))
    assert math.isnan(natural[3])
    with pytest.raises(InputError, match=r"Column 'day' of the rows is text; windows of time need"):
        class_weights(rule, InputColumns(frame.assign(day="2026")))


def test_text_of_numbers_is_that_of_spark() -> None:
    """Written out from a Spark session; see `sparkweights.core.columns.text`."""
    frame = pd.DataFrame({
        "double": [1.0, 1.5, math.nan, 1e7, 12345678.5, 1e-5, 1e21, -0.0],
        "decimal": [Decimal("1.00"), Decimal("1.50"), None, *map(Decimal, "34567")],
        "flag": [True, False, None, True, True, True, True, True],
        "code": pd.array([7, None, 1, 2, 3, 4, 5, 6], dtype="Int64"),
        "name": pd.Categorical(["a", "b", None, *"abaab"]),
    })  # fmt: skip
    columns = InputColumns(frame)
    assert columns.text("double").tolist() == [
        "1", "1.5", None, "10000000", "1.23456785E7", "1.0E-5", "1.0E21", "0",
    ]  # fmt: skip
    assert columns.text("decimal").tolist()[:4] == ["1", "1.50", None, "3"]
    assert columns.text("flag").tolist()[:3] == ["true", "false", None]
    assert columns.text("code").tolist()[:3] == ["7", None, "1"]
    assert columns.text("name").tolist()[:4] == ["a", "b", None, "a"]


def test_logistic_is_read_from_sparse_files_too() -> None:
    """MLlib writes a matrix with many zeros by its columns, or by its rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def saved(matrix: dict[str, Any]) -> SavedModel:
        vector = {"type": 0, "size": 2, "indices": [1], "values": [0.5]}
        sink = pa.BufferOutputStream()
        row = {"interceptVector": vector, "coefficientMatrix": matrix}
        pq.write_table(pa.Table.from_pylist([row]), sink)
        return SavedModel({"data/part-0.parquet": sink.getvalue().to_pybytes()}, 2)

    by_column = {
        "type": 0, "numRows": 2, "numCols": 3, "colPtrs": [0, 1, 1, 2], "rowIndices": [1, 0],
        "values": [4.0, 6.0], "isTransposed": False,
    }  # fmt: skip
    by_row = by_column | {"colPtrs": [0, 1, 2], "rowIndices": [2, 0], "values": [6.0, 4.0]}
    for matrix in (by_column, by_row | {"isTransposed": True}):
        model = read_logistic(saved(matrix))
        assert model.slopes.tolist() == [[0, 0, 6], [4, 0, 0]]
        assert model.intercepts.tolist() == [0, 0.5]
