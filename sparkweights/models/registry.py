"""Which learners there are, by their names in the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError, did_you_mean, listed
from sparkweights.models.logistic import Logistic
from sparkweights.models.mllib_trees import BoostedTrees, Forest, Tree
from sparkweights.models.xgboost import XGBoost
from sparkweights.models.xgboost_library import require_xgboost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.models.base import Learner

AUTO = "auto"  # for a learner that training chooses; see `sparkweights.training.choose_learner`
LEARNERS: Mapping[str, Learner] = {
    one.kind: one for one in (Logistic(), BoostedTrees(), Tree(), Forest(), XGBoost())
}


def learner(kind: str) -> Learner:
    """Return the learner of a kind.

    Raises
    ------
    ConfigError
        If there is none by that name.
    """
    if kind not in LEARNERS:
        raise ConfigError(
            f"model.kind: unknown kind {kind!r}; available: {listed([*LEARNERS, AUTO])}.",
            hint=did_you_mean(kind, [*LEARNERS, AUTO]),
        )
    return LEARNERS[kind]


def check_params(kind: str, params: Mapping[str, object], *, where: str = "model.params") -> None:
    """Refuse parameters that the learner does not have or whose value is out of bounds.

    Parameters
    ----------
    where
        Their place in the configuration.

    Raises
    ------
    ConfigError
        Naming the parameter, its value and what is allowed.
    """
    if kind == AUTO:
        if params:
            raise ConfigError(
                f"{where}: {listed(params)} given, but kind '{AUTO}' chooses the learner that "
                "parameters would belong to.",
                hint=f"name the kind, one of {listed(LEARNERS)}; or leave {where} out.",
            )
        return
    chosen = learner(kind)
    if kind == XGBoost.kind:
        require_xgboost()
    for name, value in params.items():
        if name not in chosen.params:
            raise ConfigError(
                f"{where}: {kind} has no Param '{name}'; allowed: {listed(chosen.params)}.",
                hint=did_you_mean(name, chosen.params),
            )
        if not chosen.params[name].admits(value):
            raise ConfigError(
                f"{where}.{name}: {value!r}; allowed: {chosen.params[name]}.",
            )


def require_explainable(kind: str) -> None:
    """Refuse a kind that cannot be taken apart with the libraries that are installed.

    Raises
    ------
    ConfigError
        Naming what to install.
    """
    if kind == AUTO or not learner(kind).linear:
        require_xgboost(f"reasons: for model.kind {kind} they need")
