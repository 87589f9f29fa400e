"""A model bundle as an estimator with scikit-learn's interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from sparkweights.bundle.integrity import SigningKey, read_bundle
from sparkweights.core.errors import InputError, join_names
from sparkweights.local.columns import InputColumns
from sparkweights.local.scorer import LocalScorer
from sparkweights.spec.outputs import expected_col, probability_col
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkweights.core.roles import ClassValue
    from sparkweights.local.columns import Array, Numbers, Texts
    from sparkweights.local.scorer import PricedRows
    from sparkweights.storage.location import AnyLocation


class BundleClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # it has no types
    """A trained model on one machine, with scikit-learn's interface, without Spark and Java.

    `load_classifier` gives one that is ready. Rows are a DataFrame of pandas with the columns of
    the labelled table that the model and the costs read. Probabilities and expected costs are those
    of a scoring run with a relative error of 1e-9; of XGBoost, which computes in float32, of 1e-6.

    Parameters
    ----------
    location
        The folder of all versions, ``artifacts`` of the configuration.
    version
        A version's name, or None for the current one.
    key
        With which its signature is verified; None if none is asked for. It is not shown with the
        classifier, but a pickle of the classifier holds it.

    Attributes
    ----------
    classes_
        The values of the label in ascending order, as scikit-learn has them; the names of the
        classes where one of them has several values.
    class_names_
        The names of the classes in the same order.
    decisions_
        The decisions in declared order, without review: a scoring run chooses whom to review among
        all rows of its table.
    feature_names_in_
        The columns that `predict_proba` reads. `predict` and `score` read those of the costs too.
    version_
        The version of the bundle.
    """

    def __init__(
        self, location: AnyLocation, version: str | None = None, key: bytes | None = None
    ) -> None:
        self.location = location
        self.version = version
        # scikit-learn shows every parameter, and a copy must be given what it is to hold.
        self.key = key if key is None or isinstance(key, SigningKey) else SigningKey(key)

    def fit(self, X: object = None, y: object = None) -> Self:
        """Load the bundle; rows are ignored, as the model is trained already.

        Raises
        ------
        ModelError
            If there is no bundle, a file of it is missing, altered or added, its signature is
            missing or wrong, or it needs Spark.
        ConfigError
            If the library of the learner is missing.
        """
        verified = read_bundle(Location.of(self.location), self.version, self.key)
        scorer = LocalScorer.of(verified)
        roles = scorer.problem.roles
        # The name of a class stands for its values where some class has several.
        several = any(isinstance(value, tuple) for value in roles.classes.values())
        values = np.array(list(roles.class_names if several else roles.classes.values()))
        self._order = np.argsort(values, kind="stable")
        self._scorer = scorer
        self.classes_ = values[self._order]
        self.class_names_ = np.array(roles.class_names, dtype=object)[self._order]
        self.decisions_ = scorer.matrix.decisions
        self.feature_names_in_ = np.array(list(scorer.feature_kinds), dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        self.version_ = scorer.version
        return self

    def predict_proba(self, X: pd.DataFrame) -> Array:
        """Return the natural, calibrated probability of each class, in the order of `classes_`.

        Returns
        -------
        ndarray of shape (rows, classes)
            NaN on a row with an infinite number, which a scoring run calls unscorable.

        Raises
        ------
        InputError
            If a column is missing, or of another kind than the model was trained on.
        """
        scorer = self._loaded()
        columns = InputColumns.of(X)
        columns.require(scorer.feature_kinds)
        return scorer.probabilities(columns)[:, self._order]

    def predict(self, X: pd.DataFrame) -> Texts:
        """Return the decision of least expected cost on each row, by the row's own amounts.

        Returns
        -------
        ndarray of shape (rows,)
            Names of `decisions_`; ``unscorable`` on a row with an infinite number, or with a cost
            that is not a finite number >= 0.

        Raises
        ------
        InputError
            As `predict_proba`; also for the columns that costs read.
        """
        return self._price(X).decision()

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return probabilities, expected costs and decision, named as in the scored table.

        Returns
        -------
        DataFrame
            ``probability_<class>``, ``expected_cost_<decision>``, ``expected_cost`` and
            ``decision``, with the index of the rows. Numbers are NaN where the decision is
            ``unscorable``.
        """
        priced = self._price(X)
        classes = self._loaded().problem.classes
        named = {
            **dict(zip(map(probability_col, classes), priced.probabilities.T, strict=True)),
            **dict(zip(map(expected_col, priced.decisions), priced.expected.T, strict=True)),
            "expected_cost": priced.expected.min(axis=1),
        }
        scored = pd.DataFrame(named, index=X.index)
        scored[~priced.is_scored] = np.nan
        return scored.assign(decision=priced.decision())

    def score(
        self,
        X: pd.DataFrame,
        y: Sequence[ClassValue],
        sample_weight: Sequence[float] | None = None,
    ) -> float:
        """Return minus the mean realised cost of the decisions; greater is better.

        Parameters
        ----------
        y
            The label of each row, as the label column holds it.
        sample_weight
            How often each row counts.

        Raises
        ------
        InputError
            If a label is of no class, or a row cannot be scored.
        """
        priced = self._price(X)
        if not priced.is_scored.all():
            raise InputError(
                f"{int((~priced.is_scored).sum())} of {len(X)} rows cannot be scored, so that "
                "their decisions have no cost.",
                hint="remove the rows whose decision is 'unscorable'; see predict.",
            )
        realised = priced.realised_cost(self._class_index(y))
        return -float(np.average(realised, weights=sample_weight))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_scorer")

    def _loaded(self) -> LocalScorer:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(
                "This BundleClassifier has not loaded its bundle; call fit, which trains nothing, "
                "or sparkweights.load_classifier."
            )
        return self._scorer

    def _price(self, rows: pd.DataFrame) -> PricedRows:
        scorer = self._loaded()
        columns = InputColumns.of(rows)
        columns.require({**scorer.feature_kinds, **scorer.cost_kinds})
        return scorer.price(columns)

    def _class_index(self, labels: Sequence[ClassValue]) -> Numbers:
        of_class = self._loaded().problem.roles.class_values.values()
        values = [value for values in of_class for value in values]
        owner = np.repeat(np.arange(len(of_class)), [len(values) for values in of_class])
        index = pd.Index(values).get_indexer(pd.Index(labels))
        if (index < 0).any():
            raise InputError(
                f"{int((index < 0).sum())} of {len(index)} labels are of no class; the model "
                f"knows the values {join_names(map(repr, values))}.",
                hint="give the values of the label column that the model was trained on.",
            )
        return np.asarray(owner[index])


def load_classifier(
    location: AnyLocation, version: str | None = None, *, key: bytes | None = None
) -> BundleClassifier:
    """Open a model bundle on one machine as a classifier, without Spark and Java.

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
    ModelError
        If there is no bundle, a file of it is missing, altered or added, its signature is missing
        or wrong, or it needs Spark.
    ConfigError
        If the library of the learner is missing.
    """
    return BundleClassifier(location, version, key).fit()
