"""Class weights as Spark ML stages: `ClassWeigher` and `CostWeigher`.

Both add the training weight of each row (``outputCol``) and, on request, w_c(x) of every class
as an array (``classWeightsCol``), which `sparkweights.ProbabilityCorrector` divides by.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import pandas as pd
from pyspark.ml import Estimator, Model
from pyspark.sql import functions as F

from sparkweights.core.bounds import Bound
from sparkweights.core.columns import column, require_label
from sparkweights.core.errors import ConfigError, InputError
from sparkweights.core.invalid_rows import first_fault, label_fault, weight_fault
from sparkweights.core.ml_stage import (
    Stage,
    bounded,
    by_keyword,
    checked,
    class_values,
    column_name,
    handle_invalid,
    texts,
)
from sparkweights.core.roles import ColumnRoles
from sparkweights.costs.matrix import CostMatrix, plain_costs
from sparkweights.costs.policy import DecisionPolicy
from sparkweights.costs.spark import check_costs
from sparkweights.weights.choose import weigh_classes, weigh_sums
from sparkweights.weights.diagnostics import WeightDiagnostics
from sparkweights.weights.frequencies import ClassSummary, summarise_classes
from sparkweights.weights.labels import count_labels
from sparkweights.weights.rule import WINDOWS, Grouping, WeightRule
from sparkweights.weights.schemes import require_every_class
from sparkweights.weights.spark import class_weight_columns, training_weight
from sparkweights.weights.spec import BY_COST, BY_ROW_WARNING, SCHEMES, WeightSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from sparkweights.core.roles import ClassValue
    from sparkweights.costs.matrix import Costs

MAX_LITERALS = 64  # classes; beyond, a lookup table is joined instead of compiled
_LOG = logging.getLogger("sparkweights")


def _as_is(value: object) -> object:
    return value


class _HasColumns(Stage):
    """The columns of a weigher, and its handling of rows that it cannot weight."""

    labelCol = column_name("labelCol", "the outcome")
    weightCol = column_name("weightCol", "an incoming sample weight, multiplied in")
    outputCol = column_name("outputCol", "the training weight to add")
    classWeightsCol = column_name("classWeightsCol", "w_c(x) of each class to add, as an array")
    handleInvalid = handle_invalid(
        "rows without a label, sample weight or cost that can be used: refuse them, leave them "
        "out, or keep them with a null weight"
    )
    missingLabel = bounded(
        "missingLabel",
        "a table without the label column, as when scoring: refuse it, or add no training weight",
        Bound(str, choices=("error", "skip")),
    )

    def _settings(self) -> dict[str, Any]:
        names = [param.name for param in _HasColumns().params]
        return {name: self.value(name) for name in names}

    def _adds(self) -> list[str]:
        return [name for name in (self.value("outputCol"), self.value("classWeightsCol")) if name]

    def _faults(self) -> list[Column]:
        """Return what a row may lack without regard to its class: its label and its weight."""
        label, weight = column(self.value("labelCol")), self.value("weightCol")
        unlabelled = label.isNull() | (F.lower(label.cast("string")) == "nan")
        faults = [F.when(unlabelled, f"no label in column '{self.value('labelCol')}'")]
        return faults if weight is None else [*faults, weight_fault(weight)]


class _Weigher(_HasColumns, Estimator["WeigherModel"]):
    """The common part of both weighers: bounds, groups, and the fitted model."""

    floor = bounded("floor", "least weight, in units of the mean weight", Bound(float, 0, 1))
    cap = bounded("cap", "greatest weight, in units of the mean weight", Bound(float, 1))
    groupCols = checked("groupCols", "columns whose values define the groups", texts("groupCols"))
    timeCol = column_name("timeCol", "a date or timestamp whose windows are groups")
    window = bounded("window", "the calendar unit of a window", Bound(str, choices=WINDOWS))

    def _grouping(self) -> Grouping:
        time, window = self.value("timeCol"), self.value("window")
        if (time is None) != (window is None):
            raise ConfigError(
                f"Params timeCol ({time!r}) and window ({window!r}) go together.",
                hint=f"set both, window being one of {', '.join(WINDOWS)}, or neither.",
            )
        return Grouping(tuple(self.value("groupCols")), time, window)

    def _cap(self) -> float:
        cap = self.value("cap")
        return math.inf if cap is None else float(cap)

    def _reads(self) -> list[str]:
        named = [self.value("labelCol"), self.value("weightCol"), *self._grouping().columns]
        return [name for name in named if name is not None]

    def _valid(self, dataset: DataFrame, *faults: Column) -> DataFrame:
        """Return the rows to count: all of them, or where Param handleInvalid says so the valid."""
        if self.value("handleInvalid") == "error":
            return dataset
        return dataset.filter(first_fault(*self._faults(), *faults).isNull())

    def _model(
        self,
        scheme: str,
        names: list[str],
        labels: Sequence[ClassValue],
        diagnostics: WeightDiagnostics,
        *,
        rule: dict[str, object] | None = None,
        fixed: dict[str, object] | None = None,
    ) -> WeigherModel:
        for warning in (diagnostics.warning, diagnostics.shortfall(names, scheme)):
            if warning is not None:
                _LOG.warning(warning)
        return WeigherModel(
            **self._settings(),
            rule=rule,
            fixed=fixed,
            classNames=names,
            labels=labels,
            diagnostics=dict(vars(diagnostics)),
        )


class ClassWeigher(_Weigher):
    """Weigh rows by the frequency of their class.

    One pass counts the labels: text, whole numbers, doubles or booleans.

    Parameters
    ----------
    scheme
        One of none, balanced, inverse_sqrt, tempered (with ``power``), effective_number (with
        ``beta``) and manual (with ``manual``, class name -> weight); see
        `sparkweights.weights.schemes.raw_weights` for the formulas.
    labelCol, weightCol, outputCol, classWeightsCol
        Columns; ``outputCol`` is sample weight x class weight.
    floor, cap
        Bounds, in units of the mean weight, which is 1.
    groupCols, timeCol, window
        Weights are chosen per group and per window.
    handleInvalid
        Rows without a label or a sample weight, and rows whose label the fit has not seen: error,
        skip, or keep with a null weight. The fit does not count rows that are skipped or kept.
    missingLabel
        A table without the label column, as when scoring: error, or skip to add no ``outputCol``.

    Examples
    --------
    >>> ClassWeigher(labelCol="defaulted", scheme="tempered", power=0.7).value("power")
    0.7
    """

    scheme = bounded(
        "scheme",
        "how weights follow from frequencies",
        Bound(str, choices=tuple(name for name in SCHEMES if name not in BY_COST)),
    )
    power = bounded("power", "of scheme tempered", Bound(float, 0, 1))
    beta = bounded("beta", "of scheme effective_number", Bound(float, 0, 1))
    manual = checked("manual", "class name -> weight, of scheme manual", dict)

    @by_keyword
    def __init__(
        self,
        *,
        labelCol: str = "label",
        scheme: str = "balanced",
        power: float | None = None,
        beta: float | None = None,
        manual: Mapping[str, float] | None = None,
        weightCol: str | None = None,
        outputCol: str = "class_weight",
        classWeightsCol: str | None = None,
        floor: float = 0.0,
        cap: float | None = None,
        groupCols: Sequence[str] = (),
        timeCol: str | None = None,
        window: str | None = None,
        handleInvalid: str = "error",
        missingLabel: str = "error",
    ) -> None: ...

    def _fit(self, dataset: DataFrame) -> WeigherModel:
        spec = WeightSpec(
            self.value("scheme"),
            self.value("power"),
            self.value("beta"),
            self.value("manual"),
            self.value("floor"),
            self._cap(),
            self._grouping(),
        )
        self.check_frame(dataset, self._reads(), self._adds())
        label, weight = self.value("labelCol"), self.value("weightCol")
        valid_df = self._valid(dataset)
        counts = count_labels(valid_df, label, weight=weight, grouping=spec.grouping)
        if counts.nulls:
            raise InputError(
                f"Label column '{label}' holds {counts.nulls} null labels.",
                hint="drop these rows, or set handleInvalid='skip'; 'keep' gives them a null "
                "weight.",
            )
        names = list(counts.frequencies.names)
        if spec.grouping:
            matrix = CostMatrix((), counts.frequencies.names, ())
            summary = ClassSummary(tuple(counts.frequencies), counts.cells)
            weighting = weigh_classes(matrix, summary, spec)
            rule = weighting.rule.to_dict()
            return self._model(spec.scheme, names, counts.values, weighting.diagnostics, rule=rule)
        if (counts.frequencies.weight <= 0).any():
            require_every_class(tuple(counts.frequencies))
        weights, diagnostics = weigh_sums(counts.frequencies, spec)
        fixed = {"scheme": spec.scheme, "weights": weights.tolist()}
        return self._model(spec.scheme, names, counts.values, diagnostics, fixed=fixed)


class CostWeigher(_Weigher):
    """Weight the rows of a class by its mean regret: the mean cost of a wrong decision.

    The row's own costs act in the decision (`sparkweights.CostDecider`), not in its
    weight; see `sparkweights.weights.choose.mean_regrets`.

    Parameters
    ----------
    costs
        A `sparkweights.CostMatrix`, or ``{decision: {class: number or arithmetic over columns}}``.
    classes
        ``{class: value in labelCol}``; text, numbers or booleans.
    balanced
        Whether to multiply with balanced class weights.
    byRow
        Whether to weight each row by its own regret instead of its class's mean; most learners
        cannot invert such weights exactly. Not with ``balanced``.
    handleInvalid
        As of `ClassWeigher`; a row is also invalid where a cost is not a finite number >= 0.
    labelCol, weightCol, outputCol, classWeightsCol, floor, cap, groupCols, timeCol, window
        As of `ClassWeigher`; groups need ``balanced``.
    missingLabel
        As of `ClassWeigher`.
    """

    costs = checked("costs", "{decision: {class: cost}}", plain_costs)
    classes = class_values()
    balanced = bounded("balanced", "multiply with balanced class weights", Bound(bool))
    byRow = bounded("byRow", "weight each row by its own regret, not its class's mean", Bound(bool))

    @by_keyword
    def __init__(
        self,
        *,
        costs: Costs | None = None,
        classes: Mapping[str, ClassValue] | None = None,
        balanced: bool = False,
        byRow: bool = False,
        labelCol: str = "label",
        weightCol: str | None = None,
        outputCol: str = "class_weight",
        classWeightsCol: str | None = None,
        floor: float = 0.0,
        cap: float | None = None,
        groupCols: Sequence[str] = (),
        timeCol: str | None = None,
        window: str | None = None,
        handleInvalid: str = "error",
        missingLabel: str = "error",
    ) -> None: ...

    def _fit(self, dataset: DataFrame) -> WeigherModel:
        costs, classes = self.require("costs"), self.require("classes")
        roles = ColumnRoles(
            (), self.value("labelCol"), classes, (), (), weight=self.value("weightCol")
        )
        matrix = CostMatrix.parse(costs, tuple(classes))
        spec = WeightSpec(
            self._scheme(),
            floor=self.value("floor"),
            cap=self._cap(),
            grouping=self._grouping(),
        )
        self.check_frame(dataset, [*self._reads(), *matrix.columns], self._adds())
        require_label(dataset.schema, roles, table="input of CostWeigher")
        check_costs(matrix, dataset.schema)
        valid_df = self._valid(dataset, label_fault(roles), DecisionPolicy(matrix).fault())
        summary = summarise_classes(
            valid_df, roles, matrix, grouping=spec.grouping, regret_bins=spec.per_row
        )
        weighting = weigh_classes(matrix, summary, spec)
        if spec.per_row:
            _LOG.warning(BY_ROW_WARNING)
        return self._model(
            spec.scheme,
            list(classes),
            list(classes.values()),
            weighting.diagnostics,
            rule=weighting.rule.to_dict(),
        )

    def _scheme(self) -> str:
        if not self.value("byRow"):
            return "cost_balanced" if self.value("balanced") else "cost"
        if self.value("balanced"):
            raise ConfigError(
                "Params byRow and balanced do not go together: balanced weights multiply the mean "
                "regret of a class.",
                hint="leave byRow out.",
            )
        return "cost_by_row"


class WeigherModel(_HasColumns, Model):
    """Fitted class weights: adds them to any table with the columns that they read."""

    rule = checked("rule", "the rule for the weight of a row", _as_is)
    fixed = checked("fixed", "instead of a rule: a scheme and the weight of each class", _as_is)
    classNames = checked("classNames", "class names, in index order", _as_is)
    labels = checked("labels", "label values, in index order", _as_is)
    diagnostics = checked("diagnostics", "the effect of the weights on the sample", _as_is)

    @by_keyword
    def __init__(
        self,
        *,
        labelCol: str = "label",
        weightCol: str | None = None,
        outputCol: str = "class_weight",
        classWeightsCol: str | None = None,
        handleInvalid: str = "error",
        missingLabel: str = "error",
        rule: Mapping[str, object] | None = None,
        fixed: Mapping[str, object] | None = None,
        classNames: Sequence[str] | None = None,
        labels: Sequence[ClassValue] | None = None,
        diagnostics: Mapping[str, object] | None = None,
    ) -> None: ...

    def weight_rule(self) -> WeightRule:
        """Return the rule, as a ledger keeps it."""
        fixed = self.value("fixed")
        if fixed is None:
            return WeightRule.from_dict(self.value("rule"))
        weights = dict(zip(self.value("classNames"), fixed["weights"], strict=True))
        return WeightRule.fixed(fixed["scheme"], weights)

    def weight_diagnostics(self) -> WeightDiagnostics:
        """Return the effect of the weights on the sample and on the risk."""
        stored = self.value("diagnostics")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in stored.items()
        }
        # Models that were saved before this share was recorded.
        values.setdefault("share_aimed", values["share_after"])
        return WeightDiagnostics(**values)

    def prior(self) -> dict[str, float]:
        """Return the natural share of each class."""
        names = self.value("classNames")
        return dict(zip(names, self.weight_diagnostics().share_before, strict=True))

    def _transform(self, dataset: DataFrame) -> DataFrame:
        label, output = self.value("labelCol"), self.value("outputCol")
        unlabelled = self.value("missingLabel") == "skip" and label not in dataset.columns
        if len(self.value("labels")) > MAX_LITERALS and self.value("fixed") is not None:
            return dataset if unlabelled else self._join_weights(dataset, label, output)
        rule = self.weight_rule()
        reads = [] if unlabelled else [label, self.value("weightCol")]
        adds = [name for name in self._adds() if not (unlabelled and name == output)]
        self.check_frame(dataset, [*filter(None, reads), *rule.columns], adds)
        if not unlabelled:
            classes = dict(zip(self.value("classNames"), self.value("labels"), strict=True))
            roles = ColumnRoles((), label, classes, (), (), weight=self.value("weightCol"))
            weight = training_weight(rule, roles)
            unweighted = F.when(weight.isNull(), "no number in a column that its weight reads")
            faults = (*self._faults(), label_fault(roles), unweighted)
            dataset = self.append(dataset, {output: weight}, first_fault(*faults))
        if self.value("classWeightsCol") is None:
            return dataset
        # Of every row: the correction of a probability needs no label.
        class_weights = F.array(*class_weight_columns(rule))
        return dataset.withColumn(self.value("classWeightsCol"), class_weights)

    def _join_weights(self, dataset: DataFrame, label: str, output: str) -> DataFrame:
        """Join the weights from a broadcast table: thousands of literals do not compile."""
        if self.value("classWeightsCol") is not None:
            raise ConfigError(
                f"Param classWeightsCol: {len(self.value('labels'))} classes in every row; "
                f"at most {MAX_LITERALS} are allowed.",
                hint="leave classWeightsCol out.",
            )
        weight = self.value("weightCol")
        self.check_frame(dataset, filter(None, [label, weight]), [output])
        frame = pd.DataFrame({
            "__label": self.value("labels"),
            "__weight": self.value("fixed")["weights"],
        })  # fmt: skip
        lookup_df = dataset.sparkSession.createDataFrame(frame)
        same_label = column(label) == lookup_df["__label"]
        joined_df = dataset.join(F.broadcast(lookup_df), same_label, "left")
        class_weight = F.col("__weight")
        unseen = F.when(class_weight.isNull(), f"a label in column '{label}' that names no class")
        if weight is not None:
            class_weight = class_weight * column(weight).cast("double")
        fault = first_fault(*self._faults(), unseen)
        weighted_df = self.append(joined_df, {output: class_weight}, fault)
        return weighted_df.drop("__label", "__weight")
