"""Constraints on effects, stated before any row is seen: directions, and what may interact.

Constraints are stated by column and hold for positions of the feature vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError, QualityGateError, join_names
from sparkweights.trees.shape import direction_violations, interaction_violations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkweights.features.plan import FeaturePlan


@dataclass(frozen=True)
class Constraints:
    """Constraints on the margin of the second of two classes, by position.

    Attributes
    ----------
    names
        Of the positions.
    directions
        Per position: 1 where the probability of the second class must not fall as the value grows,
        -1 where it must not rise, 0 where it is free. Flags of missing values are free, and a
        missing value itself (NaN) has no order.
    groups
        Positions that may interact; empty where all may. A position in no group acts alone.
    """

    names: tuple[str, ...]
    directions: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(
        cls,
        plan: FeaturePlan,
        monotone: Mapping[str, int],
        interactions: Sequence[Sequence[str]] = (),
    ) -> Constraints | None:
        """Return the constraints on a plan's positions; None where nothing is constrained.

        Parameters
        ----------
        monotone
            Numeric column -> 1 or -1, the direction of its effect.
        interactions
            Groups of columns that may interact. A column that no group names acts alone: its
            positions interact with each other and with nothing else.

        Raises
        ------
        ConfigError
            If a column's encoding does not keep the order of its values.
        """
        if not monotone and not interactions:
            return None
        ordered = {
            source
            for source, is_increasing in zip(plan.sources, plan.increasing, strict=True)
            if is_increasing
        }
        if lost := [name for name in monotone if name not in ordered]:
            raise ConfigError(
                f"model.monotone: the encoding of {join_names(lost)} does not keep the order of "
                "its values; allowed: numeric columns with features.numeric auto, plain or "
                "quantile.",
                hint="leave it out of model.monotone, or change features.numeric.",
            )
        directions = tuple(
            monotone.get(source, 0) if is_increasing else 0
            for source, is_increasing in zip(plan.sources, plan.increasing, strict=True)
        )
        named = {name for group in interactions for name in group}
        alone = [(name,) for name in dict.fromkeys(plan.sources) if name not in named]
        groups = [_positions(plan, group) for group in (*interactions, *alone)]
        return cls(plan.names, directions, tuple(groups) if interactions else ())

    def params(self) -> dict[str, str]:
        """Return the constraints as XGBoost's parameters."""
        params: dict[str, str] = {
            "monotone_constraints": f"({','.join(map(str, self.directions))})"
        }
        if self.groups:
            params["interaction_constraints"] = str([list(group) for group in self.groups])
        return params

    def require_kept(self, model: bytes) -> None:
        """Refuse a fitted model that breaks a constraint.

        Parameters
        ----------
        model
            XGBoost's JSON.

        Raises
        ------
        QualityGateError
            Naming the constraint, the tree and the columns.
        """
        for key, broken in (
            ("monotone", direction_violations(model, self.directions)),
            ("interactions", interaction_violations(model, self.groups) if self.groups else ()),
        ):
            for violation in islice(broken, 1):
                raise QualityGateError(
                    f"The fitted model breaks model.{key}: tree {violation.tree}, node "
                    f"{violation.node}, on "
                    f"{join_names(self.names[i] for i in violation.features)}.",
                    hint="the installed xgboost did not keep the constraint; change its version, "
                    f"or leave model.{key} out.",
                )


def _positions(plan: FeaturePlan, group: Sequence[str]) -> tuple[int, ...]:
    return tuple(position for position, source in enumerate(plan.sources) if source in group)
