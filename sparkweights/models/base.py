"""The interface of every learner: a fit on weighted rows, and the fitted model that it returns.

`FittedModel` holds what was fitted, and gives its scores, files, importances and reasons. What else
a model can do is declared (`sparkweights.models.declaration.Capabilities`) and is an interface of
its own: `StagedModel`, `PrunableModel`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from pyspark import __version__ as running_spark
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sparkweights.core.errors import ConfigError, ModelError
from sparkweights.core.progress import LoggedProgress
from sparkweights.core.versions import release
from sparkweights.models.declaration import ClassCount
from sparkweights.models.registry import declaration, kinds_that
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame

    from sparkweights.core.progress import Progress
    from sparkweights.features.plan import FeaturePlan
    from sparkweights.models.attributions import Explainer
    from sparkweights.models.constraints import Constraints
    from sparkweights.models.declaration import Capabilities, LearnerDeclaration, ParamValue
    from sparkweights.models.rounds import Round
    from sparkweights.trees.pruning import PlainTree

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

FEATURES, LABEL, WEIGHT, MARGIN = "__features", "__class", "__weight", "__margin"
STAGES, POSITIONS = "__stages", "__positions"


@dataclass(frozen=True)
class ExplainerSettings:
    """For what the margin of a model is explained.

    Attributes
    ----------
    against
        Index of the class; of more than two, `Explainer.contributions` gets its contrast.
    folder
        Where `FittedModel.save` wrote the model, on storage that driver and executors share.
    reference
        What each position is compared with; read by linear models alone.
    """

    against: int
    folder: Location
    reference: tuple[float, ...] = ()


@dataclass(frozen=True)
class FitSettings:
    """How a learner is to fit; see `Learner.fit`.

    Attributes
    ----------
    params
        All parameters, in the types that the library expects.
    seed
        Of what the learner draws.
    classes
        How many there are.
    constraints
        None unless the learner is `constrainable`.
    progress
        Receives the steps of a long fit.
    scratch
        A folder for intermediate files, which driver and executors share.
    """

    params: Mapping[str, ParamValue]
    seed: int
    classes: int
    constraints: Constraints | None = None
    progress: Progress = field(default_factory=LoggedProgress)
    scratch: Location = field(default_factory=Location.temporary)


@dataclass(frozen=True, eq=False)
class FittedModel(ABC):
    """A fitted model as a function from a row's features to weighted probabilities.

    Attributes
    ----------
    declaration
        What its learner is and can do.
    classes
        How many classes it has.
    """

    declaration: LearnerDeclaration
    classes: int

    @property
    def kind(self) -> str:
        """Name of its learner in the configuration."""
        return self.declaration.kind

    @property
    def capabilities(self) -> Capabilities:
        """What its learner can do."""
        return self.declaration.capabilities

    @property
    def is_binary(self) -> bool:
        """Whether it has two classes, so that one log odds gives both probabilities."""
        return ClassCount.TWO.covers(self.classes)

    @abstractmethod
    def append_margin(self, df: DataFrame) -> DataFrame:
        """Replace `FEATURES` by `MARGIN`, the model's raw output as an array; one call per row."""

    def margin(self, _plan: FeaturePlan, _folder: Location | None, /) -> Column | None:
        """Return `MARGIN` computed from the row's columns; None where a vector is needed.

        Parameters
        ----------
        _plan
            How the row's columns become positions.
        _folder
            Folder that `save` wrote, if a start-up of some seconds is worthwhile; else None.
        """
        return None

    @abstractmethod
    def scores(self, margin: Column) -> list[Column]:
        """Return the weighted probability of each class from `MARGIN`; they sum to 1."""

    @abstractmethod
    def save(self, folder: Location) -> None:
        """Write the model in its library's own format; never a pickle."""

    @abstractmethod
    def importances(self) -> Array:
        """Return what the model itself counts as the importance of each position, in its own unit.

        Of a linear model that is per unit of the position.
        """

    @property
    def focal_gamma(self) -> float:
        """The gamma of the focal loss that it was fitted with, which the ledger inverts; else 0."""
        return 0.0

    def training_rounds(self) -> tuple[Round, ...]:
        """Return the record of its training in rounds; empty where there were none."""
        return ()

    def coefficients(self) -> tuple[float, ...] | None:
        """Return intercept and slopes of the log odds of two classes; None where there are none."""
        return None

    def explainer(self, _settings: ExplainerSettings, /) -> Explainer:
        """Return what attributes the model's margin for a class to the positions of a row.

        Raises
        ------
        ModelError
            If the learner's models are not `explainable`.
        """
        raise ModelError(
            f"Models of kind '{self.kind}' give no reasons; available for: "
            f"{kinds_that(lambda can: can.explainable)}.",
            hint="leave reasons out, or choose another model.kind and train again.",
        )

    def slope(self, _weighted: Column, /) -> Column:
        """Return what one unit of log odds of a class is in the margin that `explainer` explains.

        Parameters
        ----------
        _weighted
            The class's weighted probability.
        """
        return F.lit(1.0)


class StagedModel(FittedModel):
    """A model that is trained in stages, and that knows what it was after each of them."""

    @abstractmethod
    def append_stages(self, df: DataFrame, workspace: Location, /) -> DataFrame:
        """Replace `FEATURES` by `STAGES`, what `MARGIN` would be after each stage, in order.

        Parameters
        ----------
        workspace
            A folder that driver and executors share.
        """

    @abstractmethod
    def first_stages(self, stages: int, workspace: Location, /) -> FittedModel:
        """Return the model of the first ``stages`` stages, after `append_stages`."""


class PrunableModel(FittedModel):
    """A model that is one tree of class weights."""

    @abstractmethod
    def read_tree(self, workspace: Location) -> PlainTree:
        """Return the tree's nodes.

        Parameters
        ----------
        workspace
            A folder that driver and executors share.
        """

    @abstractmethod
    def append_leaf(self, df: DataFrame, name: str) -> DataFrame:
        """Append the number of the row's leaf (double), counted from 0 in the order of nodes."""

    @abstractmethod
    def with_tree(self, tree: PlainTree, workspace: Location) -> FittedModel:
        """Return the model of another tree, after `read_tree`."""


@dataclass(frozen=True)
class Learner(ABC):
    """One kind of model that can be fitted.

    Attributes
    ----------
    declaration
        What it is and can do.
    """

    declaration: LearnerDeclaration

    def fit(
        self,
        fit_df: DataFrame,
        params: Mapping[str, ParamValue],
        *,
        seed: int,
        classes: int,
        constraints: Constraints | None = None,
        progress: Progress | None = None,
        scratch: Location | None = None,
    ) -> FittedModel:
        """Fit a model.

        Parameters
        ----------
        fit_df
            `FEATURES` (vector), `LABEL` (class index, double) and `WEIGHT` (training weight).
        params
            The user's, checked already; the declaration's defaults apply to the others.
        classes
            How many there are; each has rows in ``fit_df``.
        constraints
            On the effects of positions, for learners that are `constrainable`.
        progress
            Receives the steps of a long fit; by default the log.
        scratch
            A folder for intermediate files, which driver and executors share; by default this
            machine's.

        Raises
        ------
        ConfigError
            If the learner cannot be trained here, or constraints are given to one that is not
            constrainable.
        QualityGateError
            If the fitted model breaks a constraint.
        """
        if constraints is not None and not self.declaration.capabilities.constrainable:
            possible = kinds_that(lambda can: can.constrainable)
            raise ConfigError(
                f"model.kind: {self.declaration.kind} cannot be fitted under monotone or "
                f"interaction constraints; available for: {possible}.",
                hint=f"choose kind: {possible}, or leave model.monotone and model.interactions "
                "out.",
            )
        require_trainable(self.declaration, fit_df.sparkSession, classes)
        settings = FitSettings(
            self.declaration.typed(params),
            seed,
            classes,
            constraints,
            LoggedProgress() if progress is None else progress,
            Location.temporary() if scratch is None else scratch,
        )
        return self._fit(fit_df, settings)

    @abstractmethod
    def _fit(self, fit_df: DataFrame, settings: FitSettings) -> FittedModel:
        """Fit a model, after the checks of `fit`."""

    @abstractmethod
    def load(self, folder: Location, classes: int) -> FittedModel:
        """Read what `FittedModel.save` wrote; only the learner's own class of model."""

    def concern(self, _params: Mapping[str, ParamValue], _spark: SparkSession, /) -> str | None:
        """Return a warning about training with these parameters on this session, or None."""
        return None


def learner(kind: str) -> Learner:
    """Return the learner of a kind; its implementation is imported on the first call.

    Raises
    ------
    ConfigError
        If there is no such kind, its library is missing, or its implementation cannot be used.
    """
    declared = declaration(kind)
    declared.require_extra()
    module, _, name = declared.implementation.partition(":")
    try:
        implementation = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"model.kind: the implementation '{declared.implementation}' of kind '{kind}' cannot "
            f"be imported ({error}).",
            hint="update or uninstall the package that declares it.",
        ) from error
    if not (isinstance(implementation, type) and issubclass(implementation, Learner)):
        raise ConfigError(
            f"model.kind: the implementation '{declared.implementation}' of kind '{kind}' is "
            f"{implementation!r}; allowed: a subclass of sparkweights.models.base.Learner.",
            hint="update or uninstall the package that declares it.",
        )
    return implementation(declared)


def can_train(kind: str, spark: SparkSession) -> bool:
    """Whether the learner of a kind can be trained on a session with what is installed."""
    try:
        require_trainable(declaration(kind), spark)
    except ConfigError:
        return False
    return True


def require_trainable(
    declared: LearnerDeclaration, spark: SparkSession, classes: int | None = None
) -> None:
    """Refuse a learner that cannot be trained on a session with what is installed.

    Parameters
    ----------
    classes
        How many there are; None where that is not known.

    Raises
    ------
    ConfigError
        Naming the library, the session or the release of Spark that it needs.
    """
    declared.require_extra()
    can, kind = declared.capabilities, declared.kind
    if can.classic_session and not isinstance(spark, SparkSession):
        raise ConfigError(
            f"model.kind: '{kind}' cannot be trained over Spark Connect.",
            hint="train in a job under spark-submit; its models score over Spark Connect too.",
        )
    if can.spark is None or release(running_spark) >= can.spark.number:
        return
    older = can.spark.older
    if older is ClassCount.NONE or (classes is not None and not older.covers(classes)):
        needed = ".".join(map(str, can.spark.number))
        of_classes = "" if older is ClassCount.NONE else f" of {classes} classes"
        raise ConfigError(
            f"model.kind: {kind}{of_classes} needs Spark {needed} or newer (this is "
            f"{running_spark}): {can.spark.reason}.",
            hint="choose another model.kind, or a newer Spark.",
        )
