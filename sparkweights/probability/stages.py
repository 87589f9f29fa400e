"""Correcting, calibrating, deciding and pricing as Spark ML stages, for notebooks and Pipelines.

They take MLlib's probability vector, whose entry i belongs to the class that is i in the label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.ml import Estimator, Model, Transformer
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F

from sparkweights.core.bounds import Bound
from sparkweights.core.columns import class_index, column, require_label, sample_weight
from sparkweights.core.errors import ConfigError, InputError
from sparkweights.core.invalid_rows import (
    first_fault,
    label_fault,
    probability_fault,
    refusals_as_input_errors,
    refuse,
    weight_fault,
)
from sparkweights.core.ml_stage import (
    Stage,
    bounded,
    by_keyword,
    checked,
    class_values,
    column_name,
    handle_invalid,
)
from sparkweights.core.roles import ColumnRoles
from sparkweights.costs.matrix import CostMatrix, plain_costs
from sparkweights.costs.policy import DecisionPolicy
from sparkweights.costs.spark import check_costs
from sparkweights.probability.calibration import calibrate_scores, calibrator_from_dict
from sparkweights.probability.calibration_fit import Choice
from sparkweights.probability.corrections import Ledger
from sparkweights.probability.settings import AUTO, CALIBRATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame, Row

    from sparkweights.core.roles import ClassValue
    from sparkweights.costs.matrix import Costs
    from sparkweights.probability.calibration import Calibrator

_METHODS = tuple(name for name in CALIBRATIONS if name != "none")
_CLASS, _WEIGHT = "__class", "__weight"  # columns that a calibration is fitted on


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


def _as_is(value: object) -> object:
    return value


class _ReadsProbabilities(Stage):
    """The class probabilities of a row, and their history."""

    probabilityCol = column_name("probabilityCol", "MLlib's vector of class probabilities")
    ledger = checked("ledger", "the history of the probabilities", _ledger)

    def history(self) -> Ledger | None:
        """Return the ledger, or None where none was given."""
        record = self.value("ledger")
        return None if record is None else Ledger.from_dict(record)

    def _array(self) -> Column:
        vector = column(self.value("probabilityCol"))
        return F.when(vector.isNotNull(), vector_to_array(vector))  # which fails on null

    def _probabilities(self, count: int) -> list[Column]:
        return [F.get(self._array(), c) for c in range(count)]

    def _fault(self, probabilities: list[Column]) -> Column:
        return probability_fault(probabilities, f"column '{self.value('probabilityCol')}'")


class ProbabilityCorrector(_ReadsProbabilities, Transformer):
    """Add the natural probabilities behind those of a weighted model.

    Parameters
    ----------
    probabilityCol, outputCol
        The model's vector, and the corrected one to add.
    ledger
        The reweightings of the training; or
    classWeightsCol
        the array of w_c(x) that a weigher added, for Pipelines in which the weights are fitted
        together with the model.
    handleInvalid
        Rows without a probability or a weight of each class: error, skip, or keep with null.
    """

    outputCol = column_name("outputCol", "the corrected vector to add")
    classWeightsCol = column_name("classWeightsCol", "w_c(x) of each class, as an array")
    handleInvalid = handle_invalid(
        "rows without a probability or a weight of each class: refuse them, leave them out, or "
        "keep them with a null vector"
    )

    @by_keyword
    def __init__(
        self,
        *,
        probabilityCol: str = "probability",
        outputCol: str = "natural_probability",
        ledger: Ledger | Mapping[str, object] | None = None,
        classWeightsCol: str | None = None,
        handleInvalid: str = "error",
    ) -> None: ...

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
            natural = F.array(*ledger.invert_weights(self._probabilities(len(ledger.prior))))
        else:
            natural = self._divided(weights)
        unknown = natural.isNull() | F.exists(natural, lambda p: p.isNull() | F.isnan(p))
        fault = F.when(
            unknown,
            f"no probability or no weight of each class in {' and '.join(map(repr, reads))}",
        )
        added = {self.value("outputCol"): array_to_vector(natural)}
        return self.append(dataset, added, fault)

    def _divided(self, weights: str) -> Column:
        quotients = F.zip_with(
            self._array(), column(weights), lambda probability, weight: probability / weight
        )
        total = F.aggregate(quotients, F.lit(0.0), lambda sum_, value: sum_ + value)
        return F.transform(quotients, lambda value: value / total)


class _HasClasses(_ReadsProbabilities):
    """The classes of the probabilities, and of the label where there is one."""

    classes = class_values()
    labelCol = column_name("labelCol", "the true class")
    weightCol = column_name("weightCol", "an incoming sample weight")

    def _roles(self, dataset: DataFrame) -> ColumnRoles:
        """Return the roles of the label, the classes and the weight, checked on the table."""
        label, weight = self.value("labelCol"), self.value("weightCol")
        roles = ColumnRoles((), label, self.require("classes"), (), (), weight=weight)
        require_label(dataset.schema, roles, table=f"input of {type(self).__name__}")
        return roles

    def _labelled_fault(self, roles: ColumnRoles, probabilities: list[Column]) -> Column:
        faults = [label_fault(roles), self._fault(probabilities)]
        return first_fault(*faults, *([] if roles.weight is None else [weight_fault(roles.weight)]))


class ProbabilityCalibrator(_HasClasses, Estimator["CalibratorModel"]):
    """Calibrate natural probabilities on held-out rows: fit on rows that the model has not seen.

    One Spark job sums the rows by score, and the map is fitted to the sums; temperature of more
    than two classes takes a job per step besides. In a Pipeline the calibrator would be fitted on
    the rows that the model was fitted on: fit it on other rows, and add the model that it returns.

    Parameters
    ----------
    classes
        ``{class: value in labelCol}``. Values 0, 1, ... are MLlib's labels; other values are
        declared in the order of the probability vector.
    method
        sigmoid (Platt 1999), isotonic (shrunk towards the sigmoid where events are few),
        temperature (Guo et al. 2017), or auto, which chooses by the rows of the rarest class.
    labelCol, weightCol
        The true class, and an incoming *sample* weight: class weights would move the
        probabilities away from the population again.
    probabilityCol, outputCol
        *Natural* probabilities, see `ProbabilityCorrector`, and the calibrated vector to add.
    ledger
        Their history, if known: one that still holds weights is refused.
    handleInvalid
        Rows without a label that names a class, a probability or a sample weight in the fit, and
        without a probability afterwards: error, skip, or keep with a null vector. The fit leaves
        out rows that are skipped or kept.
    """

    outputCol = column_name("outputCol", "the calibrated vector to add")
    method = bounded("method", "the form of the map", Bound(str, choices=_METHODS))
    handleInvalid = handle_invalid(
        "rows without a label, probability or sample weight that can be used: refuse them, leave "
        "them out, or keep them with a null vector"
    )

    @by_keyword
    def __init__(
        self,
        *,
        classes: Mapping[str, ClassValue] | None = None,
        method: str = AUTO,
        labelCol: str = "label",
        weightCol: str | None = None,
        probabilityCol: str = "natural_probability",
        outputCol: str = "calibrated_probability",
        ledger: Ledger | Mapping[str, object] | None = None,
        handleInvalid: str = "error",
    ) -> None: ...

    def _fit(self, dataset: DataFrame) -> CalibratorModel:
        reads = [self.value("labelCol"), self.value("probabilityCol"), self.value("weightCol")]
        self.check_frame(dataset, filter(None, reads), [self.value("outputCol")])
        ledger, roles = self.history(), self._roles(dataset)
        if ledger is not None:
            ledger.with_calibration(self.value("method"))  # refuses what still carries weights
        names = [f"probability_{name}" for name in roles.classes]
        with refusals_as_input_errors():
            fit = calibrate_scores(
                self._rows(dataset, roles, names),
                names,
                self.value("method"),
                class_col=_CLASS,
                weight_col=_WEIGHT,
            )
        kept = ("classes", "probabilityCol", "outputCol", "ledger", "handleInvalid")
        return CalibratorModel(
            **{name: self.value(name) for name in kept},
            calibration=fit.calibrator.to_dict(),
            choice=fit.choice.to_dict(),
        )

    def _rows(self, dataset: DataFrame, roles: ColumnRoles, names: list[str]) -> DataFrame:
        """Return class, weight and probabilities of the valid rows; an invalid one is refused."""
        probabilities = self._probabilities(len(names))
        fault = self._labelled_fault(roles, probabilities)
        if self.value("handleInvalid") != "error":
            dataset = dataset.filter(fault.isNull())
        return dataset.select(
            refuse(class_index(roles), fault, type(self).__name__).alias(_CLASS),
            sample_weight(roles).alias(_WEIGHT),
            *[p.alias(name) for p, name in zip(probabilities, names, strict=True)],
        )


class CalibratorModel(_ReadsProbabilities, Model):
    """A fitted calibration: adds calibrated probabilities to any table with the vector it reads."""

    classes = class_values()
    outputCol = ProbabilityCalibrator.outputCol
    handleInvalid = ProbabilityCalibrator.handleInvalid
    calibration = checked("calibration", "the method and the numbers of the map", _as_is)
    choice = checked("choice", "the method, its reason, and the rows it rests on", _as_is)

    @by_keyword
    def __init__(
        self,
        *,
        classes: Mapping[str, ClassValue] | None = None,
        probabilityCol: str = "natural_probability",
        outputCol: str = "calibrated_probability",
        ledger: Ledger | Mapping[str, object] | None = None,
        handleInvalid: str = "error",
        calibration: Mapping[str, object] | None = None,
        choice: Mapping[str, object] | None = None,
    ) -> None: ...

    def calibrator(self) -> Calibrator:
        """Return the fitted map, as a bundle keeps it."""
        return calibrator_from_dict(self.value("calibration"))

    def fit_choice(self) -> Choice:
        """Return the method that was fitted, why, and how many rows it rests on."""
        return Choice(**self.value("choice"))

    def after(self) -> Ledger | None:
        """Return the ledger of the calibrated probabilities, where one was given."""
        ledger = self.history()
        return None if ledger is None else ledger.with_calibration(self.fit_choice().method)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self.check_frame(dataset, [self.value("probabilityCol")], [self.value("outputCol")])
        names = [f"__probability_{c}" for c in range(len(self.value("classes")))]
        probabilities = self._probabilities(len(names))
        split_df = dataset.withColumns(dict(zip(names, probabilities, strict=True)))
        calibrated_df = self.calibrator().apply(split_df, names)
        vector = array_to_vector(F.array(*map(F.col, names)))
        added = {self.value("outputCol"): vector}
        return self.append(calibrated_df, added, self._fault(probabilities)).drop(*names)


class _Prices(_ReadsProbabilities):
    """Costs per decision and class, and probabilities that may be priced with them."""

    costs = checked("costs", "{decision: {class: cost}}", plain_costs)
    classes = class_values()

    def policy(self) -> DecisionPolicy:
        """Return the decision rule of the costs; of 0/1 loss where no costs are given."""
        return DecisionPolicy(CostMatrix.of(self.value("costs"), tuple(self.require("classes"))))

    def _require_priceable(self, dataset: DataFrame, policy: DecisionPolicy) -> None:
        ledger = self.history()
        if ledger is not None:
            ledger.require_natural()
        check_costs(policy.matrix, dataset.schema)


class CostDecider(_Prices, Transformer):
    """Add the Bayes decision: the one of least expected cost.

    Parameters
    ----------
    costs
        A `sparkweights.CostMatrix`, or ``{decision: {class: number or arithmetic over columns}}``;
        0/1 loss by default.
    classes
        ``{class: value in the label column}``. Values 0, 1, ... are MLlib's labels; other values
        are declared in the order of the probability vector.
    probabilityCol
        *Natural* probabilities; see `ProbabilityCorrector`.
    ledger
        Their history, if known: one that still holds weights is refused.
    decisionCol, expectedCostCol
        Columns to add: a decision's name, and what it is expected to cost. A tie goes to the
        decision declared first.
    handleInvalid
        Rows without a probability of each class, or with a cost that is not a finite number >= 0:
        error, skip, or keep with a null decision.
    """

    decisionCol = column_name("decisionCol", "the decision to add")
    expectedCostCol = column_name("expectedCostCol", "its expected cost, to add")
    handleInvalid = handle_invalid(
        "rows without a probability of each class or a cost that can be used: refuse them, leave "
        "them out, or keep them with a null decision"
    )

    @by_keyword
    def __init__(
        self,
        *,
        costs: Costs | None = None,
        classes: Mapping[str, ClassValue] | None = None,
        probabilityCol: str = "probability",
        ledger: Ledger | Mapping[str, object] | None = None,
        decisionCol: str = "decision",
        expectedCostCol: str = "expected_cost",
        handleInvalid: str = "error",
    ) -> None: ...

    def _transform(self, dataset: DataFrame) -> DataFrame:
        policy = self.policy()
        adds = [self.value("decisionCol"), self.value("expectedCostCol")]
        self.check_frame(dataset, [self.value("probabilityCol"), *policy.matrix.columns], adds)
        self._require_priceable(dataset, policy)
        probabilities = self._probabilities(len(policy.matrix.classes))
        expected = policy.expected_costs(probabilities)
        added = dict(
            zip(adds, [policy.cheapest(expected), F.least(*expected.values())], strict=True)
        )
        return self.append(dataset, added, first_fault(self._fault(probabilities), policy.fault()))


class ExpectedCostEvaluator(_Prices, _HasClasses, Evaluator):
    """Mean realised cost of the Bayes decisions per row; smaller is better.

    With it CrossValidator and TrainValidationSplit minimise cost.

    Parameters
    ----------
    costs, classes, probabilityCol, ledger
        See `CostDecider`.
    labelCol, weightCol
        The true class, and an incoming *sample* weight.
    handleInvalid
        Rows without a label, probability, cost or weight that can be used: error, or skip.
    """

    handleInvalid = handle_invalid(
        "rows without a label, probability, cost or weight that can be used: refuse them, or leave "
        "them out",
        "error",
        "skip",
    )

    @by_keyword
    def __init__(
        self,
        *,
        costs: Costs | None = None,
        classes: Mapping[str, ClassValue] | None = None,
        labelCol: str = "label",
        weightCol: str | None = None,
        probabilityCol: str = "probability",
        ledger: Ledger | Mapping[str, object] | None = None,
        handleInvalid: str = "error",
    ) -> None: ...

    def isLargerBetter(self) -> bool:
        """Return False: a cost is minimised."""
        return False

    def _evaluate(self, dataset: DataFrame) -> float:
        policy = self.policy()
        reads = [self.value("probabilityCol"), self.value("labelCol"), self.value("weightCol")]
        self.check_frame(dataset, filter(None, [*reads, *policy.matrix.columns]), [])
        self._require_priceable(dataset, policy)
        roles = self._roles(dataset)
        probabilities = self._probabilities(len(policy.matrix.classes))
        fault = first_fault(self._labelled_fault(roles, probabilities), policy.fault())
        if self.value("handleInvalid") == "skip":
            dataset = dataset.filter(fault.isNull())
        weight = sample_weight(roles)
        cost = policy.realised_cost_of(probabilities, class_index(roles))
        row = dataset.agg(
            F.sum(weight * cost).alias("cost"),
            F.sum(weight).alias("rows"),
            F.count_if(fault.isNotNull()).alias("invalid"),
            F.min(fault).alias("fault"),
        ).first()
        return _mean_cost(row)


def _mean_cost(row: Row | None) -> float:
    if row is not None and row["invalid"]:
        raise InputError(
            f"The mean cost is not defined: {row['invalid']} rows have no cost, label or "
            f"probability; one has {row['fault']}.",
            hint="drop these rows, set handleInvalid='skip', or write coalesce(column, number) in "
            "the costs.",
        )
    if row is None or not row["rows"]:
        raise InputError(
            "The mean cost is not defined: the table holds no rows with a weight above 0.",
            hint="see that the table holds rows with known outcomes.",
        )
    return float(row["cost"] / row["rows"])
