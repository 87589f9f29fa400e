"""The one face of every learner: a fit on weighted rows, and a weighted probability per class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.core.bounds import Bound
from sparkweights.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

    from sparkweights.features.plan import FeaturePlan
    from sparkweights.models.attributions import Explainer
    from sparkweights.models.constraints import Constraints
    from sparkweights.storage.location import Location

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

FEATURES, LABEL, WEIGHT, MARGIN = "__features", "__class", "__weight", "__margin"
COLUMNS = {"featuresCol": FEATURES, "labelCol": LABEL, "weightCol": WEIGHT}
RAW, STAGES, POSITIONS = "__raw", "__stages", "__positions"

COUNT = Bound(int, 1, 10_000)
SHARE = Bound(float, 0, 1)
POSITIVE = Bound(float, 0)


class Learner(ABC):
    """One kind of model.

    Attributes
    ----------
    kind
        Its name in the configuration.
    params
        What a user may set, by the library's own names, with their bounds.
    defaults
        Values of ``params`` that apply unless the user sets others, where the library's own are
        unfit for small or noisy tables.
    linear
        Whether its margin is a sum over features, so that heavy tails mislead it.
    native_missing
        Whether it learns what a missing number (NaN) means; others need it to be imputed.
    constrainable
        Whether it can be fitted under `Constraints`.
    """

    kind: ClassVar[str]
    linear: ClassVar[bool] = False
    native_missing: ClassVar[bool] = False
    constrainable: ClassVar[bool] = False
    params: ClassVar[Mapping[str, Bound]]
    defaults: ClassVar[Mapping[str, bool | float | str]] = {}

    @abstractmethod
    def fit(
        self,
        fit_df: DataFrame,
        params: Mapping[str, Any],
        *,
        seed: int,
        classes: int,
        constraints: Constraints | None = None,
    ) -> Any:  # noqa: ANN401 (the library's model)
        """Fit a model.

        Parameters
        ----------
        fit_df
            `FEATURES` (vector), `LABEL` (class index, double) and `WEIGHT` (training weight).
        params
            The user's, checked already.
        classes
            How many there are; each has rows in ``fit_df``.
        constraints
            On the effects of positions, for learners that are `constrainable`.

        Raises
        ------
        ConfigError
            If there are constraints and the learner knows none.
        """

    def require_unconstrained(self, constraints: Constraints | None) -> None:
        """Refuse constraints that this learner would not keep.

        Raises
        ------
        ConfigError
            Naming the learner.
        """
        if constraints is not None:
            raise ConfigError(
                f"model.kind: {self.kind} knows no monotone or interaction constraints; available "
                "for: xgboost.",
                hint="choose kind: xgboost, or leave model.monotone and model.interactions out.",
            )

    def require_kept(self, model: Any, constraints: Constraints | None) -> None:  # noqa: ANN401, ARG002 (one kind of learner keeps constraints)
        """Refuse a fitted model that breaks its constraints.

        Raises
        ------
        QualityGateError
            Naming the constraint and where it is broken.
        ConfigError
            If the learner knows no constraints.
        """
        self.require_unconstrained(constraints)

    def concern(self, params: Mapping[str, Any], spark: SparkSession) -> str | None:  # noqa: ARG002 (few have one)
        """Return what whoever fits with these parameters on this engine ought to know."""
        return None

    @abstractmethod
    def append_margin(self, model: Any, df: DataFrame) -> DataFrame:  # noqa: ANN401 (as above)
        """Replace `FEATURES` by `MARGIN`, the model's bare output as an array; one call per row."""

    def margin(self, model: Any, plan: FeaturePlan, folder: Location | None) -> Column | None:  # noqa: ANN401, ARG002 (as above)
        """Return `MARGIN` straight from the row's columns; None where it takes a vector.

        Parameters
        ----------
        folder
            Where `save` wrote the model, where a start of some seconds pays; else None.
        """
        return None

    @abstractmethod
    def scores(self, margin: Column, classes: int) -> list[Column]:
        """Return the weighted probability of each class from `MARGIN`; they sum to 1."""

    @abstractmethod
    def save(self, model: Any, folder: Location) -> None:  # noqa: ANN401 (as above)
        """Write the model in its library's own format; never a pickle."""

    @abstractmethod
    def load(self, folder: Location, classes: int) -> Any:  # noqa: ANN401 (as above)
        """Read what `save` wrote."""

    @abstractmethod
    def importances(self, model: Any, size: int, spread: Array | None) -> Array:  # noqa: ANN401 (as above)
        """Return what the model itself counts as the importance of each position, in its own unit.

        Parameters
        ----------
        size
            Of the feature vector.
        spread
            The standard deviation of each position; only linear learners need it.
        """

    @abstractmethod
    def explainer(
        self,
        model: Any,  # noqa: ANN401 (as above)
        folder: Location,
        *,
        against: int,
        classes: int,
        reference: Sequence[float],
    ) -> Explainer:
        """Return what takes apart the model's margin for a class.

        Parameters
        ----------
        folder
            Where `save` wrote the model, on storage that the driver and the executors share.
        against
            Index of the class; of more than two, `Explainer.contributions` is told by its contrast.
        reference
            Only linear learners need it: what each position is compared with.
        """

    def slope(self, weighted: Column) -> Column:  # noqa: ARG002 (some need it)
        """Return what one unit of log odds of a class is in the margin that `explainer` explains.

        Parameters
        ----------
        weighted
            The class's weighted probability.
        """
        return F.lit(1.0)

    def resolve(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the user's parameters, with `defaults` for those that are not set."""
        return {**self.defaults, **params}

    def typed(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the resolved parameters in the types that the library expects."""
        resolved = self.resolve(params)
        return {name: self.params[name].type(value) for name, value in resolved.items()}


class StagedLearner(Learner):
    """A learner whose model is a sum of stages, any first ones of which are a model too."""

    @abstractmethod
    def append_stages(self, model: Any, df: DataFrame, workspace: Location) -> DataFrame:  # noqa: ANN401 (as above)
        """Replace `FEATURES` by `STAGES`, what `MARGIN` would be after each stage, in order.

        Parameters
        ----------
        workspace
            A folder that driver and executors share.
        """

    @abstractmethod
    def first_stages(self, model: Any, kept: int, workspace: Location) -> Any:  # noqa: ANN401 (as above)
        """Return the model of the first ``kept`` stages, after `append_stages`."""


class MLlibLearner(Learner):
    """A learner whose model is one of MLlib's classifiers.

    Attributes
    ----------
    estimator, model
        MLlib's classes that fit and load it.
    seeded
        Whether the estimator takes a seed.
    """

    estimator: ClassVar[type[Any]]
    model: ClassVar[type[Any]]
    seeded: ClassVar[bool] = True

    def make(self, params: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401 (MLlib's Estimator)
        """Return the Estimator with the user's Params."""
        seeds = {"seed": seed} if self.seeded else {}
        return self.estimator(**COLUMNS, **seeds, **self.typed(params))

    def fit(
        self,
        fit_df: DataFrame,
        params: Mapping[str, Any],
        *,
        seed: int,
        classes: int,  # noqa: ARG002 (MLlib counts the classes itself)
        constraints: Constraints | None = None,
    ) -> Any:  # noqa: ANN401 (as above)
        """Fit MLlib's Estimator."""
        self.require_unconstrained(constraints)
        return self.make(params, seed).fit(fit_df)

    def append_margin(self, model: Any, df: DataFrame) -> DataFrame:  # noqa: ANN401 (as above)
        """Ask the model once per row for its raw prediction."""
        # Empty names switch off the outputs that nobody reads.
        model.setPredictionCol("").setProbabilityCol("")
        raw_df = model.setFeaturesCol(FEATURES).setRawPredictionCol(RAW).transform(df)
        margin_df: DataFrame = raw_df.withColumn(MARGIN, vector_to_array(F.col(RAW)))
        return margin_df.drop(FEATURES, RAW)

    def importances(self, model: Any, size: int, spread: Array | None) -> Array:  # noqa: ANN401, ARG002 (as above)
        """Return the total weighted impurity decrease of each feature, as MLlib has it."""
        return np.asarray(model.featureImportances.toArray())

    def save(self, model: Any, folder: Location) -> None:  # noqa: ANN401 (as above)
        """Write MLlib's native format."""
        model.write().save(str(folder))

    def load(self, folder: Location, classes: int) -> Any:  # noqa: ANN401, ARG002 (the file knows)
        """Read MLlib's native format; only this learner's own class."""
        return self.model.load(str(folder))
