"""What a table must hold before any job reads it: columns, their types, and what costs ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.sql import types as T  # noqa: N812

from sparkweights.core.columns import kind_of, require_columns, require_kind, require_label
from sparkweights.core.errors import ConfigError, InputError, ModelError, listed
from sparkweights.costs.spark import check_amount, check_costs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql.types import StructType

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.config.schema import Config
    from sparkweights.scoring.scorer import RowScorer

# What a model follows from, beside its table. A section that is not listed may change between
# training and what is asked of the model later.
_TRAINED_WITH = (
    "seed",
    *(f"columns.{name}" for name in ("keys", "label", "classes", "numeric", "categorical")),
    *("columns.use_sensitive", "columns.weight"),
    *("weights", "resample", "features", "model", "split", "train", "decision.calibration"),
)
_ADDED = (
    T.StructField("failed_checks", T.ArrayType(T.StringType())),
    T.StructField("run_id", T.StringType()),
)


def require_own_models(name: str | None, config: Config) -> None:
    """Refuse models of another configuration, which may have the same classes and columns.

    Parameters
    ----------
    name
        Of the configuration that trained them, or None where there are none.

    Raises
    ------
    ModelError
        Naming both.
    """
    if name not in {None, config.name}:
        raise ModelError(
            f"The models under artifacts '{config.artifacts}' are those of '{name}'; this is the "
            f"configuration of '{config.name}'.",
            hint="give each configuration artifacts and runs of its own, or the name of its "
            "models.",
        )


def require_same_training(config: Config, bundle: ModelBundle) -> None:
    """Refuse a configuration that was edited since the model was trained, where that counts.

    Whoever repeats a part of the training (its features, its folds, a fit to compare with) must
    repeat it as it was: with another seed or encoding, rows would be taken for ones that the
    model has not seen, and its numbers would be compared with those of another model.

    Parameters
    ----------
    config
        With every feature by name.

    Raises
    ------
    ModelError
        Naming each key that differs, with both values.
    """
    compared = (*_TRAINED_WITH, *(("costs",) if config.model.prune != "none" else ()))
    before, now = _leaves(bundle.manifest["config"]), _leaves(config.fingerprint())
    default = {
        name: value.get_default(call_default_factory=True)
        for name, value in type(config).model_fields.items()
        if not value.is_required()
    }
    sections = {
        name: value.model_dump(mode="json", by_alias=True)
        for name, value in default.items()
        if hasattr(value, "model_dump")
    }
    # A key that the product did not have when the model was trained had its default.
    before = {**_leaves({**default, **sections}), **before}
    differing = [
        f"{key} {_value(before.get(key))} (now {_value(now.get(key))})"
        for key in dict.fromkeys([*now, *before])
        if any(key == own or key.startswith(f"{own}.") for own in compared)
        and before.get(key) != now.get(key)
    ]
    if differing:
        raise ModelError(
            f"Model '{bundle.version}' was trained with {listed(differing)}.",
            hint="restore what it was trained with, or train with this configuration first.",
        )


def require_same_labels(schema: StructType, config: Config, bundle: ModelBundle) -> None:
    """Refuse outcomes that mean something else than those that the model was trained on.

    Values that the table codes anew are fine, and so is a label column with a new name.

    Raises
    ------
    ModelError
        If a value names another class than it did, or another column is the label although the
        one of the training is there.
    """
    columns = bundle.manifest["config"]["columns"]
    meant = {value: name for name, value in columns["classes"].items()}
    for name, value in config.roles.classes.items():
        if meant.get(value, name) != name:
            raise ModelError(
                f"columns.classes: {value!r} is '{name}'; when model '{bundle.version}' was "
                f"trained it was '{meant[value]}'.",
                hint="restore the values that the model was trained with, or train again.",
            )
    label, before = config.roles.label, columns["label"]
    if label != before and before in schema.names:
        raise ModelError(
            f"columns.label: '{label}'; model '{bundle.version}' was trained on '{before}', which "
            "the table still holds. Its test rows were drawn by that column's classes.",
            hint=f"restore columns.label: {before}, or train again on '{label}'.",
        )


def _leaves(value: Any, place: str = "") -> dict[str, Any]:  # noqa: ANN401 (plain JSON)
    """Return what a record states, by dotted key; what is null is not stated."""
    if not isinstance(value, dict):
        return {} if value is None else {place: value}
    found: dict[str, Any] = {}
    for name, own in value.items():
        found |= _leaves(own, f"{place}.{name}" if place else str(name))
    return found


def _value(value: Any) -> str:  # noqa: ANN401 (as above)
    return "not set" if value is None else str(value)


def require_own_record(name: str | None, config: Config) -> None:
    """Refuse to replace the record of another configuration's run.

    Parameters
    ----------
    name
        Of the configuration whose record is there, or None where there is none.

    Raises
    ------
    ConfigError
        Naming both.
    """
    if name not in {None, config.name}:
        raise ConfigError(
            f"runs: '{config.runs}' holds the date's record of '{name}'; this is the configuration "
            f"of '{config.name}'.",
            hint="give each configuration a folder of its own under runs.",
        )


def require_labelled(schema: StructType, config: Config) -> None:
    """Refuse a labelled table that no model can be trained on.

    Parameters
    ----------
    config
        With every feature by name.

    Raises
    ------
    InputError
        If a column is missing, appears twice, or is of the wrong type.
    ConfigError
        If a cost reads an unknown column or one that is not a number.
    """
    roles = config.roles
    needed = [*roles.keys, *roles.features, *filter(None, [roles.weight, config.split.by])]
    needed += [*config.weight_spec.grouping.columns, *config.split.group]
    require_columns(schema, needed, table="labelled")
    require_label(schema, roles, table="labelled")
    require_kind(schema, roles.numeric, ("number",), table="labelled", role="numeric")
    kinds = ("text", "number", "boolean")
    require_kind(schema, roles.categorical, kinds, table="labelled", role="categorical")
    if roles.weight is not None:
        require_kind(schema, [roles.weight], ("number",), table="labelled", role="weight")
    if config.weights.window is not None:
        moments = ("date", "timestamp", "timestamp_ntz")
        require_kind(schema, filter(None, [roles.time]), moments, table="labelled", role="time")
    _require_costs(schema, config)


def require_model(
    schema: StructType,
    config: Config,
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
        If the model tells other classes apart than the configuration names.
    ConfigError
        If a cost reads an unknown column or one that is not a number.
    """
    if scorer.classes != config.roles.class_names:
        raise ModelError(
            f"The model tells apart {listed(scorer.classes)}; columns.classes names "
            f"{listed(config.roles.class_names)}.",
            hint="train again with these classes, or restore the configuration of the model.",
        )
    require_scorable(schema, config, trained_kinds, table=table)
    require_columns(schema, scorer.ledger.columns, table=table)


def require_scorable(
    schema: StructType, config: Config, trained_kinds: Mapping[str, str], *, table: str = "incoming"
) -> None:
    """Refuse a table that no model of these features, or the costs, can read.

    Parameters and errors are those of `require_model`.
    """
    require_columns(schema, [*config.roles.keys, *trained_kinds], table=table)
    for name, trained in trained_kinds.items():
        found = kind_of(schema[name].dataType)
        if found != trained:
            raise InputError(
                f"Column '{name}' of table '{table}' is {found}; the model was trained on "
                f"{trained}.",
                hint="cast it back where the table is made, or train again.",
            )
    _require_costs(schema, config)


def feature_kinds(schema: StructType, config: Config) -> dict[str, str]:
    """Return feature column -> its type family in the table that a model learns from."""
    return {name: kind_of(schema[name].dataType) for name in config.roles.features}


def require_free_names(schema: StructType) -> None:
    """Refuse an incoming table with a column that the night itself adds.

    Raises
    ------
    InputError
        Naming the columns.
    """
    taken = {"run_date", *(own.name for own in _ADDED)}
    clashes = {
        "which the quarantine adds": [n for n in schema.names if n.casefold() in taken],
        "which begins with two underscores, as only the night's own may": [
            n for n in schema.names if n.startswith("__")
        ],
    }
    for why, names in clashes.items():
        if names:
            raise InputError(
                f"Table 'incoming' has a column {listed(names)}, {why}.",
                hint="rename it where the table is made.",
            )


def quarantine_schema(schema: StructType) -> StructType:
    """Return the columns of quarantined rows of an incoming table."""
    return T.StructType([*schema, *_ADDED])


def _require_costs(schema: StructType, config: Config) -> None:
    check_costs(config.matrix, schema)
    if config.review_price is not None:
        check_amount(config.review_price, schema, where="review.cost")
