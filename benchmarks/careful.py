"""A careful model of a single machine: what a modeller makes with scikit-learn and XGBoost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost as xgb
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler

if TYPE_CHECKING:
    import pandas as pd

    from benchmarks.public_tables import Array, Problem, Rows

MANY = 20_000  # rows; above, fewer folds and penalties are tried: they no longer matter
PENALTIES, FEW_PENALTIES = (1e-3, 1e-2, 1e-1), (1e-3,)  # times half the squared coefficients
DEPTHS = (2, 4)
BOOSTING = {
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "tree_method": "hist",
    "nthread": 2,
    "learning_rate": 0.05,
    "subsample": 0.7,
    "colsample_bytree": 0.7,
    "min_child_weight": 5,
    "reg_lambda": 5,
}
MAX_TREES, PATIENCE = 600, 30
MAX_LEVELS = 100
CLIP = 1e-6

Fit = Callable[["pd.DataFrame", "Array"], Callable[["pd.DataFrame"], "Array"]]


def careful_probabilities(
    problem: Problem, train_rows: Rows, test_rows: Rows, *, seed: int
) -> tuple[str, Array]:
    """Return what was chosen, and the probability of the event on the test rows.

    Model and calibration are chosen within the training rows: by the log loss of cross-validated
    probabilities; the model is then fitted on all of them.
    """
    frame = problem.frame[[*problem.numeric, *problem.categorical]]
    train_frame, label = frame.iloc[train_rows], problem.label[train_rows]
    folds = StratifiedKFold(5 if len(label) <= MANY else 3, shuffle=True, random_state=seed)
    dealt = list(folds.split(train_frame, label))
    best: tuple[float, str, Array, Fit] | None = None
    for name, fit in _candidates(problem, train_frame, label, dealt, seed):
        margin: Array = np.zeros(len(label))
        for inner, held in dealt:
            margin[held] = fit(train_frame.iloc[inner], label[inner])(train_frame.iloc[held])
        loss = float(log_loss(label, _sigmoid(margin)))
        if best is None or loss < best[0]:
            best = loss, name, margin, fit
    assert best is not None
    _, name, margin, fit = best
    calibration = min(CALIBRATIONS, key=lambda one: _calibrated_loss(one, margin, label, dealt))
    curve = CALIBRATIONS[calibration](margin, label)
    p = curve(fit(train_frame, label)(frame.iloc[test_rows]))
    return f"{name}, {calibration}", np.clip(p, 0.0, 1.0)


def _candidates(
    problem: Problem,
    frame: pd.DataFrame,
    label: Array,
    dealt: list[tuple[Rows, Rows]],
    seed: int,
) -> list[tuple[str, Fit]]:
    penalties = PENALTIES if len(label) <= MANY else FEW_PENALTIES
    found: list[tuple[str, Fit]] = [
        (f"logistic, {scale}, {penalty:g}", _logistic(problem, scale, penalty))
        for scale in ("plain", "normal scores")
        for penalty in penalties
    ]
    for depth in DEPTHS:
        params = {**BOOSTING, "max_depth": depth, "seed": seed}
        encoder = _encoder(problem, SimpleImputer(keep_empty_features=True)).fit(frame)
        matrix = xgb.DMatrix(_with_missing(problem, encoder, frame), label)
        history: Any = xgb.cv(
            params, matrix, MAX_TREES, folds=dealt, early_stopping_rounds=PATIENCE, as_pandas=False
        )
        trees = len(history["test-logloss-mean"])
        found.append((f"{trees} trees of depth {depth}", _boosted(problem, params, trees)))
    return found


def _encoder(problem: Problem, numeric: Any) -> ColumnTransformer:  # noqa: ANN401 (a transformer)
    levels = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=MAX_LEVELS, sparse_output=False
    )
    return ColumnTransformer(
        [("numeric", numeric, list(problem.numeric)), ("levels", levels, list(problem.categorical))]
    )


def _logistic(problem: Problem, scale: str, penalty: float) -> Fit:
    def fit(frame: pd.DataFrame, label: Array) -> Callable[[pd.DataFrame], Array]:
        filled = SimpleImputer(strategy="median", add_indicator=True)
        spread = QuantileTransformer(
            n_quantiles=min(100, len(frame)), output_distribution="normal", random_state=0
        )
        numeric = make_pipeline(spread, filled) if scale == "normal scores" else filled
        model = make_pipeline(
            _encoder(problem, numeric),
            StandardScaler(),
            LogisticRegression(C=1 / (penalty * len(label)), max_iter=500),
        )
        model.fit(frame, label)
        return lambda asked: np.asarray(model.decision_function(asked))

    return fit


def _with_missing(problem: Problem, encoder: ColumnTransformer, frame: pd.DataFrame) -> Array:
    """Return the encoded rows with missing numbers as they are, for trees that know them."""
    encoded = np.asarray(encoder.transform(frame), dtype=np.float64)
    encoded[:, : len(problem.numeric)] = frame[list(problem.numeric)].to_numpy(np.float64)
    return encoded


def _boosted(problem: Problem, params: dict[str, Any], trees: int) -> Fit:
    def fit(frame: pd.DataFrame, label: Array) -> Callable[[pd.DataFrame], Array]:
        encoder = _encoder(problem, SimpleImputer(keep_empty_features=True)).fit(frame)
        matrix = xgb.DMatrix(_with_missing(problem, encoder, frame), label)
        model = xgb.train(params, matrix, trees)

        def margin(asked: pd.DataFrame) -> Array:
            rows = xgb.DMatrix(_with_missing(problem, encoder, asked))
            return np.asarray(model.predict(rows, output_margin=True), dtype=np.float64)

        return margin

    return fit


def _sigmoid(margin: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-margin)))


def _left_alone(margin: Array, label: Array) -> Callable[[Array], Array]:  # noqa: ARG001 (one signature)
    return _sigmoid


def _platt(margin: Array, label: Array) -> Callable[[Array], Array]:
    model = LogisticRegression(C=1e6, max_iter=500).fit(margin[:, None], label)
    return lambda asked: np.asarray(model.predict_proba(asked[:, None])[:, 1])


def _isotonic(margin: Array, label: Array) -> Callable[[Array], Array]:
    model = IsotonicRegression(out_of_bounds="clip").fit(margin, label)
    return lambda asked: np.asarray(model.predict(asked))


CALIBRATIONS = {"none": _left_alone, "sigmoid": _platt, "isotonic": _isotonic}


def _calibrated_loss(
    name: str, margin: Array, label: Array, dealt: list[tuple[Rows, Rows]]
) -> float:
    p = np.zeros(len(label))
    for inner, held in dealt:
        p[held] = CALIBRATIONS[name](margin[inner], label[inner])(margin[held])
    return float(log_loss(label, np.clip(p, CLIP, 1 - CLIP)))
