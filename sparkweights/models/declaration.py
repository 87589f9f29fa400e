"""What a learner is and can do, stated without importing it: neither Spark nor its library.

The configuration is checked against declarations alone. A package adds a learner with an entry
point of the group ``sparkweights.learners``, whose name is the kind and whose object is a
`LearnerDeclaration` in a module that imports no Spark:

.. code-block:: toml

    [project.entry-points."sparkweights.learners"]
    my_kind = "my_package.declaration:MY_KIND"

The declaration names the implementation, a subclass of `sparkweights.models.base.Learner` that is
imported when a model is trained or loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError, did_you_mean, join_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.core.bounds import Bound
    from sparkweights.core.extras import Extra

ParamValue = bool | float | str


# Parameter of a library, in lower case without underscores -> the keys that it is set from.
_SET_FROM: Mapping[str, str] = {
    **dict.fromkeys(
        ("scaleposweight", "weightcol", "sampleweight", "sampleweightcol", "classweight"),
        "weights, costs and columns.weight",
    ),
    **dict.fromkeys(("thresholds", "threshold"), "costs"),
    **dict.fromkeys(("missing", "handleinvalid"), "features.impute"),
    **dict.fromkeys(("labelcol",), "columns.label"),
    **dict.fromkeys(("featurescol",), "columns.numeric and columns.categorical"),
    **dict.fromkeys(
        ("objective", "numclass", "basescore", "family", "losstype"), "columns.classes"
    ),
    **dict.fromkeys(("seed", "randomstate"), "seed"),
    **dict.fromkeys(
        ("earlystoppingrounds", "validationindicatorcol", "evalmetric"), "model.patience"
    ),
    **dict.fromkeys(("monotoneconstraints",), "model.monotone"),
    **dict.fromkeys(("interactionconstraints",), "model.interactions"),
}


class ClassCount(Enum):
    """For how many classes a capability holds."""

    NONE = "none"
    TWO = "two"
    ANY = "any"

    def covers(self, classes: int) -> bool:
        """Whether it holds for a number of classes.

        Examples
        --------
        >>> ClassCount.TWO.covers(2), ClassCount.TWO.covers(3), ClassCount.NONE.covers(2)
        (True, False, False)
        """
        return self is ClassCount.ANY or (self is ClassCount.TWO and classes == 2)  # two classes


@dataclass(frozen=True)
class SparkRelease:
    """The first release of Spark that a learner can be trained on.

    Attributes
    ----------
    number
        Major and minor number.
    reason
        What older releases do, as the end of a sentence.
    older
        Of how many classes it can be trained on older releases all the same.
    """

    number: tuple[int, int]
    reason: str
    older: ClassCount = ClassCount.NONE


@dataclass(frozen=True)
class Capabilities:
    """What a learner can do; each default is the least.

    Attributes
    ----------
    classes
        How many classes it can have.
    linear
        Whether its margin is a sum over features. Heavy tails mislead such a learner, and its
        reasons compare a row with a reference.
    native_missing
        Whether it learns what a missing number (NaN) means; others need it to be imputed.
    constrainable
        Whether it can be fitted under `sparkweights.models.constraints.Constraints`.
    staged
        For how many classes it is trained in stages (trees of boosting, or rounds), after each of
        which there is a model (`sparkweights.models.base.StagedModel`).
    prunable
        Whether its model is one tree that can be pruned (`sparkweights.models.base.PrunableModel`).
    explainable
        Whether its model gives reasons (`sparkweights.models.base.FittedModel.explainer`).
    classic_session
        Whether training needs a classic session, not one of Spark Connect.
    spark
        The first release of Spark to train on; None for every supported one.
    """

    classes: ClassCount = ClassCount.ANY
    linear: bool = False
    native_missing: bool = False
    constrainable: bool = False
    staged: ClassCount = ClassCount.NONE
    prunable: bool = False
    explainable: bool = False
    classic_session: bool = False
    spark: SparkRelease | None = None


@dataclass(frozen=True)
class LearnerDeclaration:
    """One kind of model, as the configuration names it.

    Attributes
    ----------
    kind
        Its name in the configuration.
    implementation
        ``module:attribute`` of its `sparkweights.models.base.Learner`.
    params
        What a user may set, by the library's own names, with their bounds.
    defaults
        Values of ``params`` that apply unless the user sets others, where the library's own are
        unfit for small or noisy tables.
    capabilities
        What it can do.
    extra
        The optional library that trains and scores it.
    reasons_extra
        The optional library that its reasons need.
    local_reader
        ``module:attribute`` of the function that opens its models' files without Spark: from a
        `sparkweights.local.models.SavedModel` to a `sparkweights.local.models.LocalModel`. None
        where they need Spark.
    impossible
        Parameters of other learners that a user may look for -> why this one cannot have them, as
        the end of a sentence.
    """

    kind: str
    implementation: str
    params: Mapping[str, Bound]
    defaults: Mapping[str, ParamValue] = field(default_factory=dict)
    capabilities: Capabilities = field(default_factory=Capabilities)
    extra: Extra | None = None
    reasons_extra: Extra | None = None
    local_reader: str | None = None
    impossible: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, params: Mapping[str, ParamValue]) -> dict[str, ParamValue]:
        """Return the user's parameters, with `defaults` for those that are not set."""
        return {**self.defaults, **params}

    def typed(self, params: Mapping[str, ParamValue]) -> dict[str, ParamValue]:
        """Return the resolved parameters in the types that the library expects."""
        resolved = self.resolve(params)
        return {name: self.params[name].type(value) for name, value in resolved.items()}

    def check_params(self, params: Mapping[str, object], *, where: str = "model.params") -> None:
        """Refuse parameters that the learner does not have or whose value is out of bounds.

        Parameters
        ----------
        where
            Their key path in the configuration.

        Raises
        ------
        ConfigError
            Naming the parameter, its value and what is allowed.
        """
        for name, value in params.items():
            if name not in self.params:
                raise self._unknown_param(name, where)
            if not self.params[name].admits(value):
                raise ConfigError(
                    f"{where}.{name}: {value!r}; allowed: {self.params[name]}.",
                )

    def _unknown_param(self, name: str, where: str) -> ConfigError:
        allowed = join_names(self.params)
        if name in self.impossible:
            return ConfigError(
                f"{where}: {self.kind} cannot have the Param '{name}': {self.impossible[name]}.",
                hint=f"leave {name} out, or choose another model.kind.",
            )
        key = _SET_FROM.get(name.casefold().replace("_", ""))
        if key is not None:
            return ConfigError(
                f"{where}: Param '{name}' is set by sparkweights, from {key}.",
                hint=f"state {key} instead; allowed here: {allowed}.",
            )
        return ConfigError(
            f"{where}: {self.kind} has no Param '{name}'; allowed: {allowed}.",
            hint=did_you_mean(name, self.params),
        )

    def require_extra(self) -> None:
        """Refuse where the learner's library is missing.

        Raises
        ------
        ConfigError
            With the command that installs it.
        """
        if self.extra is not None:
            self.extra.require(f"model.kind: {self.kind} needs", "choose another model.kind")
