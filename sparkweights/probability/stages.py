"""Correcting, deciding and pricing as Spark ML stages, for notebooks and Pipelines.

They take MLlib's probability vector, whose entry i belongs to the class that is i in the label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pyspark.ml import Transformer
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F

from sparkweights.core.columns import column
from sparkweights.core.errors import ConfigError, InputError
from sparkweights.core.ml_stage import Stage, checked, column_name, texts
from sparkweights.costs.matrix import CostMatrix
from sparkweights.costs.policy import DecisionPolicy
from sparkweights.costs.spark import check_costs
from sparkweights.probability.corrections import Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame, Row


def _ledger(value: Any) -> dict[str, object]:  # noqa: ANN401 (a ledger or its JSON)
    if isinstance(value, Ledger):
        return value.to_dict()
    try:
        return Ledger.from_dict(value).to_dict()
    except (KeyError, TypeError, AttributeError):
        raise ConfigError(
            f"Param ledger: {value!r}; allowed: a Ledger, or what its to_dict returns.",
            hint="write Ledger.by_hand(prior, weights).",
        ) from None


class _ReadsProbabilities(Stage):
    """The class probabilities of a row, and their history."""

    probabilityCol = column_name("probabilityCol", "MLlib's vector of class probabilities")
    ledger = checked("ledger", "the history of the probabilities", _ledger)
    defaults: ClassVar[Mapping[str, object]] = {"probabilityCol": "probability"}

    def history(self) -> Ledger | None:
        """Return the ledger, or None where none was given."""
        record = self.value("ledger")
        return None if record is None else Ledger.from_dict(record)

    def _probabilities(self, count: int) -> list[Column]:
        array = vector_to_array(column(self.value("probabilityCol")))
        return [array.getItem(c) for c in range(count)]


class ProbabilityCorrector(_ReadsProbabilities, Transformer):
    """Add the natural probabilities behind those of a weighted model.

    Params
    ------
    probabilityCol, outputCol
        The model's vector, and the corrected one.
    ledger
        The reweightings of the training; or
    classWeightsCol
        the array of w_c(x) that a weigher added, for Pipelines in which the weights are fitted
        together with the model.
    """

    outputCol = column_name("outputCol", "the corrected vector to add")
    classWeightsCol = column_name("classWeightsCol", "w_c(x) of each class, as an array")
    defaults: ClassVar[Mapping[str, object]] = {
        **_ReadsProbabilities.defaults,
        "outputCol": "natural_probability",
    }

    def after(self) -> Ledger | None:
        """Return the ledger of the corrected probabilities, where one was given."""
        ledger = self.history()
        return None if ledger is None else ledger.with_weights_inverted()

    def _transform(self, dataset: DataFrame) -> DataFrame:
        weights, ledger = self.value("classWeightsCol"), self.history()
        if (weights is None) == (ledger is None):
            raise ConfigError(
                "ProbabilityCorrector needs one of the Params ledger and classWeightsCol; "
                f"{'neither' if ledger is None else 'both'} of them is set.",
                hint="set classWeightsCol to the weigher's in a Pipeline, or ledger elsewhere.",
            )
        reads = [self.value("probabilityCol")]
        reads += [weights] if ledger is None else ledger.columns
        self.check_frame(dataset, reads, [self.value("outputCol")])
        if ledger is not None:
            ledger.with_weights_inverted()  # refuses to invert twice
            natural = ledger.invert_weights(self._probabilities(len(ledger.prior)))
            vector = array_to_vector(F.array(*natural))
        else:
            vector = array_to_vector(self._divided(weights))
        return dataset.withColumn(self.value("outputCol"), vector)

    def _divided(self, weights: str) -> Column:
        quotients = F.zip_with(
            vector_to_array(column(self.value("probabilityCol"))),
            column(weights),
            lambda probability, weight: probability / weight,
        )
        total = F.aggregate(quotients, F.lit(0.0), lambda sum_, value: sum_ + value)
        return F.transform(quotients, lambda value: value / total)


class _Prices(_ReadsProbabilities):
    """Costs per decision and class, and probabilities that may be priced with them."""

    costs = checked("costs", "{decision: {class: cost}}", dict)
    classes = checked("classes", "class names, in the order of the label", texts("classes"))

    def matrix(self) -> CostMatrix:
        """Return the cost matrix; 0/1 loss where no costs are given."""
        classes = self.value("classes")
        if not classes:
            raise ConfigError(
                f"{type(self).__name__} needs Param classes.",
                hint="name the class of label 0, of label 1, and so on.",
            )
        if self.value("costs") is None:
            return CostMatrix.zero_one(classes)
        return CostMatrix.parse(self.value("costs"), classes)

    def _expected(self, dataset: DataFrame, policy: DecisionPolicy) -> dict[str, Column]:
        ledger = self.history()
        if ledger is not None:
            ledger.require_natural()
        check_costs(policy.matrix, dataset.schema)
        return policy.expected_costs(self._probabilities(len(policy.matrix.classes)))


class CostDecider(_Prices, Transformer):
    """Add the Bayes decision: the one of least expected cost.

    Params
    ------
    costs
        ``{decision: {class: number or arithmetic over columns}}``; 0/1 loss by default.
    classes
        Class names, in the order of the label: the first is MLlib's 0.0.
    probabilityCol
        *Natural* probabilities; see `ProbabilityCorrector`.
    ledger
        Their history, if known: one that still holds weights is refused.
    decisionCol, expectedCostCol
        Columns to add: a decision's name, and what it is expected to cost. Both are null where
        a cost or a probability is; a tie goes to the decision declared first.
    """

    decisionCol = column_name("decisionCol", "the decision to add")
    expectedCostCol = column_name("expectedCostCol", "its expected cost, to add")
    defaults: ClassVar[Mapping[str, object]] = {
        **_Prices.defaults,
        "decisionCol": "decision",
        "expectedCostCol": "expected_cost",
    }

    def _transform(self, dataset: DataFrame) -> DataFrame:
        matrix = self.matrix()
        adds = [self.value("decisionCol"), self.value("expectedCostCol")]
        self.check_frame(dataset, [self.value("probabilityCol"), *matrix.columns], adds)
        policy = DecisionPolicy(matrix)
        expected = self._expected(dataset, policy)
        decision = policy.cheapest(expected)
        least = F.when(decision.isNotNull(), F.least(*expected.values()))
        return dataset.withColumns(dict(zip(adds, [decision, least], strict=True)))


class ExpectedCostEvaluator(_Prices, Evaluator):
    """Mean realised cost of the Bayes decisions per row; smaller is better.

    With it CrossValidator and TrainValidationSplit minimise cost.

    Params
    ------
    costs, classes, probabilityCol, ledger
        See `CostDecider`.
    labelCol, weightCol
        The true class as a number from 0, and an incoming *sample* weight.
    """

    labelCol = column_name("labelCol", "the true class, from 0")
    weightCol = column_name("weightCol", "an incoming sample weight")
    defaults: ClassVar[Mapping[str, object]] = {**_Prices.defaults, "labelCol": "label"}

    def isLargerBetter(self) -> bool:  # noqa: N802 (MLlib's name)
        """Return False: a cost is minimised."""
        return False

    def _evaluate(self, dataset: DataFrame) -> float:
        matrix = self.matrix()
        label, weight_col = self.value("labelCol"), self.value("weightCol")
        reads = [self.value("probabilityCol"), label, weight_col, *matrix.columns]
        self.check_frame(dataset, filter(None, reads), [])
        policy = DecisionPolicy(matrix)
        decision = policy.cheapest(self._expected(dataset, policy))
        cost = policy.realised_cost(decision, column(label).cast("int"))
        weights = F.lit(1.0) if weight_col is None else column(weight_col).cast("double")
        row = dataset.agg(
            F.sum(weights * cost).alias("cost"),
            F.sum(weights).alias("rows"),
            F.count_if(cost.isNull()).alias("undefined"),
        ).first()
        return _mean_cost(row)


def _mean_cost(row: Row | None) -> float:
    if row is None or not row["rows"] or row["undefined"]:
        undefined = 0 if row is None else row["undefined"]
        raise InputError(
            f"The mean cost is not defined: {undefined} rows have no cost, label or probability.",
            hint="drop these rows, or write coalesce(column, number) in the costs.",
        )
    return float(row["cost"] / row["rows"])
