"""What must hold before a job reads a table: its columns and types, its model, its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import types as T

from sparkweights.core.columns import kind_of, require_columns, require_kind, require_label
from sparkweights.core.errors import ConfigError, InputError, ModelError, join_names
from sparkweights.costs.spark import check_amount, check_costs
from sparkweights.spec.training import TrainingSpec, training_differences

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql.types import StructType

    from sparkweights.core.roles import ColumnRoles
    from sparkweights.scoring.scorer import RowScorer
    from sparkweights.spec.problem import DecisionProblem

_ADDED = (
    T.StructField("failed_checks", T.ArrayType(T.StringType())),
    T.StructField("run_id", T.StringType()),
)


def require_own_models(name: str | None, expected: str, artifacts: str) -> None:
    """Refuse models of another configuration, which may have the same classes and columns.

    Parameters
    ----------
    name
        Of the configuration that trained them, or None where there are none.
    expected
        Of this configuration.
    artifacts
        The folder of the models, as configured.

    Raises
    ------
    ModelError
        Naming both.
    """
    if name not in {None, expected}:
        raise ModelError(
            f"The models under artifacts '{artifacts}' are those of '{name}'; this is the "
            f"configuration of '{expected}'.",
            hint="give each configuration artifacts and runs of its own, or the name of its "
            "models.",
        )


def require_own_record(name: str | None, expected: str, runs: str) -> None:
    """Refuse to replace the record of another configuration's run.

    Parameters
    ----------
    name
        Of the configuration whose record is there, or None where there is none.
    expected
        Of this configuration.
    runs
        The folder of the records, as configured.

    Raises
    ------
    ConfigError
        Naming both.
    """
    if name not in {None, expected}:
        raise ConfigError(
            f"runs: '{runs}' holds the date's record of '{name}'; this is the configuration "
            f"of '{expected}'.",
            hint="give each configuration a folder of its own under runs.",
        )


def require_same_training(spec: TrainingSpec, trained: TrainingSpec, version: str) -> None:
    """Refuse a configuration that was edited since the model was trained, where that counts.

    Whoever repeats a part of the training (its features, its folds, a fit to compare with) must
    repeat it as it was: with another seed or encoding, rows would be taken for ones that the
    model has not seen, and its numbers would be compared with those of another model.

    Parameters
    ----------
    spec
        The spec by the configuration.
    trained
        What the model was trained by.
    version
        Of the model, for the message.

    Raises
    ------
    ModelError
        Naming each key that differs, with both values.
    """
    differing = training_differences(spec, trained)
    if differing:
        raise ModelError(
            f"Model '{version}' was trained with {join_names(differing.values())}.",
            hint="restore what it was trained with, or train with this configuration first.",
        )


def require_same_labels(
    schema: StructType, roles: ColumnRoles, trained: ColumnRoles, version: str
) -> None:
    """Refuse outcomes that mean something else than those that the model was trained on.

    Values that the table codes anew are fine, and so is a label column with a new name.

    Parameters
    ----------
    roles, trained
        The roles by the configuration, and those of the model's training.
    version
        Of the model, for messages.

    Raises
    ------
    ModelError
        If a value names another class than it did, or another column is the label although the
        one of the training is there.
    """
    meant = {value: name for name, values in trained.class_values.items() for value in values}
    stated = [(name, value) for name, values in roles.class_values.items() for value in values]
    for name, value in stated:
        if meant.get(value, name) != name:
            raise ModelError(
                f"columns.classes: {value!r} is '{name}'; when model '{version}' was "
                f"trained it was '{meant[value]}'.",
                hint="restore the values that the model was trained with, or train again.",
            )
    label, before = roles.label, trained.label
    if label != before and before in schema.names:
        raise ModelError(
            f"columns.label: '{label}'; model '{version}' was trained on '{before}', which "
            "the table still holds. Its test rows were drawn by that column's classes.",
            hint=f"restore columns.label: {before}, or train again on '{label}'.",
        )


def require_labelled(schema: StructType, spec: TrainingSpec) -> None:
    """Refuse a labelled table that no model can be trained on.

    Raises
    ------
    InputError
        If a column is missing, appears twice, or is of the wrong type.
    ConfigError
        If a cost reads an unknown column or one that is not a number.
    """
    roles = spec.problem.roles
    needed = [*roles.keys, *roles.features, *filter(None, [roles.weight, spec.split.by])]
    needed += [*spec.weight_spec.grouping.columns, *spec.split.group]
    require_columns(schema, needed, table="labelled")
    require_label(schema, roles, table="labelled")
    require_kind(schema, roles.numeric, ("number", "boolean"), table="labelled", role="numeric")
    kinds = ("text", "number", "boolean")
    require_kind(schema, roles.categorical, kinds, table="labelled", role="categorical")
    if roles.weight is not None:
        require_kind(schema, [roles.weight], ("number",), table="labelled", role="weight")
    if spec.weights.window is not None:
        moments = ("date", "timestamp", "timestamp_ntz")
        require_kind(schema, filter(None, [roles.time]), moments, table="labelled", role="time")
    _require_costs(schema, spec.problem)


def require_model(
    schema: StructType,
    problem: DecisionProblem,
    scorer: RowScorer,
    trained_kinds: Mapping[str, str],
    *,
    table: str = "incoming",
) -> None:
    """Refuse a table that the model or the costs cannot read.

    Parameters
    ----------
    trained_kinds
        Feature column -> type family in the table that the model was trained on.
    table
        Its role, for messages.

    Raises
    ------
    InputError
        If a column is missing, appears twice, or changed its type.
    ModelError
        If the model's classes are not those of the configuration.
    ConfigError
        If a cost reads an unknown column or one that is not a number.
    """
    if scorer.classes != problem.classes:
        raise ModelError(
            f"The model's classes are {join_names(scorer.classes)}; columns.classes names "
            f"{join_names(problem.classes)}.",
            hint="train again with these classes, or restore the configuration of the model.",
        )
    require_scorable(schema, problem, trained_kinds, table=table)
    require_columns(schema, scorer.ledger.columns, table=table)


def require_scorable(
    schema: StructType,
    problem: DecisionProblem,
    trained_kinds: Mapping[str, str],
    *,
    table: str = "incoming",
) -> None:
    """Refuse a table that no model of these features, or the costs, can read.

    Parameters and errors are those of `require_model`.
    """
    require_columns(schema, [*problem.roles.keys, *trained_kinds], table=table)
    for name, trained in trained_kinds.items():
        kind = kind_of(schema[name].dataType)
        if kind != trained:
            raise InputError(
                f"Column '{name}' of table '{table}' is {kind}; the model was trained on "
                f"{trained}.",
                hint="cast it back where the table is made, or train again.",
            )
    _require_costs(schema, problem)


def feature_kinds(schema: StructType, roles: ColumnRoles) -> dict[str, str]:
    """Return feature column -> its type family in the table that a model learns from."""
    return {name: kind_of(schema[name].dataType) for name in roles.features}


def require_free_names(schema: StructType) -> None:
    """Refuse an incoming table with a column that the run itself adds.

    Raises
    ------
    InputError
        Naming the columns.
    """
    reserved = {"run_date", *(added.name for added in _ADDED)}
    clashes = {
        "which the quarantine adds": [n for n in schema.names if n.casefold() in reserved],
        "which begins with two underscores, as only the run's own may": [
            n for n in schema.names if n.startswith("__")
        ],
    }
    for why, names in clashes.items():
        if names:
            raise InputError(
                f"Table 'incoming' has a column {join_names(names)}, {why}.",
                hint="rename it where the table is made.",
            )


def quarantine_schema(schema: StructType) -> StructType:
    """Return the columns of quarantined rows of an incoming table."""
    return T.StructType([*schema, *_ADDED])


def _require_costs(schema: StructType, problem: DecisionProblem) -> None:
    check_costs(problem.matrix, schema)
    if problem.review_price is not None:
        check_amount(problem.review_price, schema, where="review.cost")
