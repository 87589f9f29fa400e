"""The decision problem: roles of columns, classes, costs of decisions, and human review."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sparkweights.core.roles import ColumnRoles
from sparkweights.costs.expression import names, render
from sparkweights.costs.matrix import REVIEW, CostMatrix, parse_amount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.costs.expression import Expression
    from sparkweights.costs.policy import DecisionPolicy


@dataclass(frozen=True)
class ReviewTerms:
    """A person looks at a row before it is decided.

    Attributes
    ----------
    price
        Of the review alone, as arithmetic over the row's columns; the least-cost decision of the
        true class is counted with it.
    capacity
        Share of the rows for which there is time, in (0, 1).
    """

    price: Expression
    capacity: float


@dataclass(frozen=True)
class DecisionProblem:
    """Column roles resolved against a table, costs, and review.

    Attributes
    ----------
    roles
        Which column plays which part; every feature by name.
    matrix
        cost[decision][class].
    review
        None where nobody reviews.
    """

    roles: ColumnRoles
    matrix: CostMatrix
    review: ReviewTerms | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in index order."""
        return self.roles.class_names

    @property
    def decisions(self) -> tuple[str, ...]:
        """Every decision that a row can get, review last."""
        return (*self.matrix.decisions, *([REVIEW] if self.review else []))

    @property
    def review_price(self) -> Expression | None:
        """Cost of a review; None without review."""
        return None if self.review is None else self.review.price

    @property
    def cost_columns(self) -> tuple[str, ...]:
        """The columns that costs and the price of a review read."""
        priced = () if self.review is None else names(self.review.price)
        return tuple(dict.fromkeys([*self.matrix.columns, *(amount.name for amount in priced)]))

    @property
    def policy(self) -> DecisionPolicy:
        """The decision rule of these costs."""
        # Imported on use: specs need no Spark until rows are decided about.
        from sparkweights.costs.policy import DecisionPolicy  # noqa: PLC0415

        return DecisionPolicy(self.matrix, self.review_price)

    def with_weight(self, weight: str | None) -> DecisionProblem:
        """Return the problem whose rows count by another column."""
        return replace(self, roles=replace(self.roles, weight=weight))

    def to_dict(self) -> dict[str, object]:
        """Return the problem, ready for JSON; `from_dict` reads it back."""
        review = self.review
        return {
            "roles": {
                **{name: _plain(value) for name, value in vars(self.roles).items()},
                "classes": {name: _plain(value) for name, value in self.roles.classes.items()},
            },
            "costs": self.matrix.to_dict(),
            "review": None
            if review is None
            else {"price": render(review.price), "capacity": review.capacity},
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> DecisionProblem:
        """Read a problem that `to_dict` wrote."""
        roles = record["roles"]
        column_roles = ColumnRoles(
            keys=tuple(roles["keys"]),
            label=roles["label"],
            classes={
                name: tuple(value) if isinstance(value, list) else value
                for name, value in roles["classes"].items()
            },
            numeric=tuple(roles["numeric"]),
            categorical=tuple(roles["categorical"]),
            sensitive=tuple(roles["sensitive"]),
            weight=roles["weight"],
            time=roles["time"],
        )
        review = record["review"]
        terms = None
        if review is not None:
            price = parse_amount(review["price"], where="review.cost")
            terms = ReviewTerms(price, review["capacity"])
        return cls(column_roles, CostMatrix.parse(record["costs"], column_roles.class_names), terms)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
