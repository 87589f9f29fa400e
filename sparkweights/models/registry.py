"""Which learners there are, by their names in the configuration: built-in and installed ones.

Nothing here imports Spark or a learner's library; `sparkweights.models.base.learner` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from sparkweights.core.bounds import Bound
from sparkweights.core.errors import ConfigError, did_you_mean, join_names
from sparkweights.core.extras import XGBOOST
from sparkweights.models.choices import (
    ADAM,
    CLASS_BALANCED,
    CONSTANT,
    COSINE,
    INVERSE_TIME,
    LOSS,
    SGD,
    UNIFORM,
)
from sparkweights.models.declaration import (
    Capabilities,
    ClassCount,
    LearnerDeclaration,
    ParamValue,
    SparkRelease,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AUTO = "auto"  # for a learner that training chooses; see `sparkweights.training.choose_learner`
GROUP = "sparkweights.learners"

_COUNT = Bound(int, 1, 10_000)
_SHARE = Bound(float, 0, 1)
_POSITIVE = Bound(float, 0)
_RATE = Bound(float, 1e-6, 1)
_LIMIT = Bound(float, 1e-9)
_GROWING: Mapping[str, Bound] = {
    "maxDepth": Bound(int, 0, 30),
    "maxBins": Bound(int, 2, 100_000),
    "minInstancesPerNode": Bound(int, 1),
    "minWeightFractionPerNode": Bound(float, 0, 0.5),
    "minInfoGain": _POSITIVE,
    "maxMemoryInMB": Bound(int, 0),
}
_IMPURITY: Mapping[str, Bound] = {"impurity": Bound(str, choices=("gini", "entropy"))}
_SAMPLING: Mapping[str, Bound] = {
    "subsamplingRate": _RATE,
    "featureSubsetStrategy": Bound(
        str, choices=("auto", "all", "onethird", "sqrt", "log2"), or_number=True
    ),
}
_UNMERGED = SparkRelease(
    (4, 3),
    "older ones merge leaves of the same class, and with them the probabilities of rare classes",
    older=ClassCount.TWO,
)

_LOGISTIC = LearnerDeclaration(
    "logistic",
    "sparkweights.models.logistic:Logistic",
    params={
        "maxIter": _COUNT,
        "regParam": _POSITIVE,
        "elasticNetParam": _SHARE,
        "tol": _POSITIVE,
        "fitIntercept": Bound(bool),
        "standardization": Bound(bool),
        "aggregationDepth": Bound(int, 2, 100),
    },
    capabilities=Capabilities(linear=True, explainable=True),
    local_reader="sparkweights.local.models:read_logistic",
)
_BOOSTED_TREES = LearnerDeclaration(
    "boosted_trees",
    "sparkweights.models.mllib_trees:BoostedTrees",
    params={**_GROWING, **_SAMPLING, "maxIter": _COUNT, "stepSize": _RATE},
    capabilities=Capabilities(staged=ClassCount.TWO, explainable=True),
    reasons_extra=XGBOOST,
    local_reader="sparkweights.local.models:read_boosted_trees",
)
_TREE = LearnerDeclaration(
    "tree",
    "sparkweights.models.mllib_trees:Tree",
    params={**_GROWING, **_IMPURITY},
    capabilities=Capabilities(prunable=True, explainable=True, spark=_UNMERGED),
    reasons_extra=XGBOOST,
    local_reader="sparkweights.local.models:read_shares",
)
_FOREST = LearnerDeclaration(
    "forest",
    "sparkweights.models.mllib_trees:Forest",
    params={**_GROWING, **_IMPURITY, **_SAMPLING, "numTrees": _COUNT, "bootstrap": Bound(bool)},
    capabilities=Capabilities(explainable=True, spark=_UNMERGED),
    reasons_extra=XGBOOST,
    local_reader="sparkweights.local.models:read_shares",
)
_XGBOOST = LearnerDeclaration(
    "xgboost",
    "sparkweights.models.xgboost:XGBoost",
    params={
        "n_estimators": _COUNT,
        "num_parallel_tree": _COUNT,
        "max_depth": Bound(int, 0, 50),
        "max_leaves": Bound(int, 0),
        "grow_policy": Bound(str, choices=("depthwise", "lossguide")),
        "learning_rate": _RATE,
        "subsample": _RATE,
        "colsample_bytree": _RATE,
        "colsample_bylevel": _RATE,
        "colsample_bynode": _RATE,
        "min_child_weight": _POSITIVE,
        "reg_lambda": _POSITIVE,
        "reg_alpha": _POSITIVE,
        "gamma": _POSITIVE,
        "max_bin": Bound(int, 2, 100_000),
        "max_delta_step": _POSITIVE,
        "tree_method": Bound(str, choices=("auto", "exact", "approx", "hist")),
        "device": Bound(str, choices=("cpu", "cuda")),
        "num_workers": Bound(int, 1),
    },
    # XGBoost's own (100 trees of depth 6, rate .3, no sampling) fit the noise of small tables: on
    # six of seven tables of 1,000 to 15,000 rows, 200 shallow, sampled trees of rate .05 have the
    # smaller held-out log loss. Of four pairs of penalties (2 and 2, 5 and 5, 10 and 10, and these)
    # on sixteen tables of 1,000 to 39,000 rows, these save about as much as the best of the four on
    # most tables, and lose little where a leaf of few rows is right.
    defaults={
        "n_estimators": 200,
        "max_depth": 3,
        "learning_rate": 0.05,
        "subsample": 0.7,
        "colsample_bytree": 0.7,
        "min_child_weight": 1.0,
        "reg_lambda": 10.0,
    },
    capabilities=Capabilities(
        native_missing=True,
        constrainable=True,
        staged=ClassCount.ANY,
        explainable=True,
        classic_session=True,
    ),
    extra=XGBOOST,
    reasons_extra=XGBOOST,
    local_reader="sparkweights.local.models:read_xgboost",
    impossible={
        "focal_gamma": "its training on Spark takes an objective by name, and none of XGBoost's "
        "names is a focal loss",
    },
)
_MINI_BATCH = LearnerDeclaration(
    "mini_batch",
    "sparkweights.models.mini_batch:MiniBatch",
    params={
        "focal_gamma": Bound(float, 0, 10),
        "l2": _POSITIVE,
        "rounds": _COUNT,
        "batch_rows": Bound(int, 0, 10_000_000),
        "max_rows": Bound(int, 1_000, 1_000_000_000),
        "sampling": Bound(str, choices=(UNIFORM, CLASS_BALANCED, LOSS)),
        "optimizer": Bound(str, choices=(SGD, ADAM)),
        "learning_rate": Bound(float, 1e-6, 100),
        "momentum": Bound(float, 0, 0.999),
        "schedule": Bound(str, choices=(CONSTANT, INVERSE_TIME, COSINE)),
        "clip_norm": _LIMIT,
        "clip_value": _LIMIT,
        "clip_class": _LIMIT,
        "tol": _POSITIVE,
        "max_seconds": _POSITIVE,
    },
    # Five rounds of these come within 1e-4 of the least log loss on tables of 200,000 rows, with
    # two classes and four, the rarest 1 %; SGD needs a rate of each table's own.
    defaults={
        "focal_gamma": 0.0,
        "l2": 0.0,
        "rounds": 20,
        "batch_rows": 256,
        "sampling": UNIFORM,
        "optimizer": ADAM,
        "learning_rate": 0.05,
        "momentum": 0.9,
        "schedule": COSINE,
    },
    capabilities=Capabilities(linear=True, staged=ClassCount.ANY, explainable=True),
    local_reader="sparkweights.local.models:read_mini_batch",
    impossible={"alpha": "a factor per class is a class weight, which weights states"},
)
BUILT_IN: Mapping[str, LearnerDeclaration] = {
    declared.kind: declared
    for declared in (_LOGISTIC, _BOOSTED_TREES, _TREE, _FOREST, _XGBOOST, _MINI_BATCH)
}


@dataclass(frozen=True)
class Candidate:
    """A learner that `AUTO` tries, with parameters that are not the learner's defaults.

    Candidates of one kind differ by their ``note``.
    """

    kind: str
    params: Mapping[str, ParamValue] = field(default_factory=dict)
    note: str = ""

    @property
    def name(self) -> str:
        """What progress and records call it."""
        return f"{self.kind} {self.note}".strip()


# Regularised, as tables may be small: on those the penalties between .001 and .01 lose little
# against one that is chosen by cross-validation; rare events take the smaller ones.
AUTO_SIMPLE = Candidate("logistic", {"regParam": 0.005})
# The first of these families that can be trained on the session. The larger trees save .01 more on
# one public table of some 100,000 rows and less on another; MLlib's would take minutes to fit.
AUTO_FLEXIBLE = (
    (
        Candidate("xgboost"),
        Candidate("xgboost", {"n_estimators": 400, "max_depth": 4}, "with more and deeper trees"),
    ),
    (
        Candidate(
            "boosted_trees", {"maxIter": 80, "maxDepth": 3, "stepSize": 0.1, "subsamplingRate": 0.7}
        ),
    ),
)


@cache
def installed() -> Mapping[str, EntryPoint]:
    """Return the entry points of installed packages by kind; their modules are not imported.

    Raises
    ------
    ConfigError
        If one claims a built-in kind, or two claim the same one.
    """
    by_kind: dict[str, EntryPoint] = {}
    for entry_point in entry_points(group=GROUP):
        if entry_point.name in BUILT_IN or entry_point.name == AUTO:
            raise _refusal(entry_point, f"claims the kind '{entry_point.name}', which is built in")
        if entry_point.name in by_kind:
            other = _distribution(by_kind[entry_point.name])
            raise _refusal(
                entry_point, f"claims the kind '{entry_point.name}', as the package '{other}' does"
            )
        by_kind[entry_point.name] = entry_point
    return by_kind


def kinds() -> tuple[str, ...]:
    """Return the kinds of all learners, built-in ones first."""
    return (*BUILT_IN, *installed())


def declaration(kind: str) -> LearnerDeclaration:
    """Return the declaration of a kind.

    Raises
    ------
    ConfigError
        If there is no such kind, or the package that registers it cannot be used.
    """
    if kind in installed():
        return _load_declaration(installed()[kind])
    if kind not in BUILT_IN:
        raise ConfigError(
            f"model.kind: unknown kind {kind!r}; available: {join_names([*kinds(), AUTO])}.",
            hint=did_you_mean(kind, [*kinds(), AUTO]),
        )
    return BUILT_IN[kind]


def capabilities(kind: str) -> Capabilities:
    """Return what a kind can do; of `AUTO`, the least, as its candidates share nothing more."""
    return Capabilities() if kind == AUTO else declaration(kind).capabilities


def kinds_that(can: Callable[[Capabilities], bool]) -> str:
    """Return the kinds with a capability, listed for a message."""
    return join_names(kind for kind in kinds() if can(declaration(kind).capabilities))


def check_params(kind: str, params: Mapping[str, object], *, where: str = "model.params") -> None:
    """Refuse a learner that cannot be used here, or parameters that it does not take.

    Parameters
    ----------
    where
        Key path of the parameters in the configuration.

    Raises
    ------
    ConfigError
        Naming the parameter, its value and what is allowed; or the library to install.
    """
    if kind == AUTO:
        if params:
            raise ConfigError(
                f"{where}: {join_names(params)} given, but kind '{AUTO}' chooses the learner that "
                "parameters would belong to.",
                hint=f"name the kind, one of {join_names(kinds())}; or leave {where} out.",
            )
        return
    declared = declaration(kind)
    declared.require_extra()
    declared.check_params(params, where=where)


def require_explainable(kind: str) -> None:
    """Refuse a kind whose models give no reasons with the libraries that are installed.

    Raises
    ------
    ConfigError
        Naming the kinds that give reasons, or what to install.
    """
    flexible = [family[0].kind for family in AUTO_FLEXIBLE]
    tried = [AUTO_SIMPLE.kind, *flexible] if kind == AUTO else [kind]
    for declared in map(declaration, tried):
        if not declared.capabilities.explainable:
            raise ConfigError(
                f"reasons: models of kind '{declared.kind}' give no reasons; available for: "
                f"{kinds_that(lambda can: can.explainable)}.",
                hint="leave reasons out, or choose another model.kind.",
            )
        if declared.reasons_extra is not None:
            subject = f"reasons: for model.kind {kind} they need"
            declared.reasons_extra.require(subject, "choose another model.kind")


@cache
def _load_declaration(entry_point: EntryPoint) -> LearnerDeclaration:
    try:
        declared = entry_point.load()
    except Exception as error:  # a package may raise anything while it is imported
        reason = f"{type(error).__name__}: {error}".rstrip(".")
        raise _refusal(entry_point, f"cannot be imported ({reason})") from error
    if not isinstance(declared, LearnerDeclaration):
        raise _refusal(
            entry_point, f"is a {type(declared).__name__}; allowed: a LearnerDeclaration"
        )
    if declared.kind != entry_point.name:
        raise _refusal(
            entry_point,
            f"declares the kind '{declared.kind}'; allowed: '{entry_point.name}', its name",
        )
    return declared


def _refusal(entry_point: EntryPoint, problem: str) -> ConfigError:
    name = _distribution(entry_point)
    return ConfigError(
        f"The entry point '{entry_point.name} = {entry_point.value}' of the package '{name}' "
        f"(group {GROUP}) {problem}.",
        hint=f"update or uninstall {name}.",
    )


def _distribution(entry_point: EntryPoint) -> str:
    """Return the name of the distribution that an entry point belongs to."""
    return "unknown" if entry_point.dist is None else entry_point.dist.name
