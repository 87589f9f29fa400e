"""The whole configuration: sections, and what must hold between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictInt

from sparkweights.columns import ColumnRoles
from sparkweights.config.sections import (
    Amount,
    Checks,
    Columns,
    ColumnsMatching,
    Decision,
    Features,
    Model,
    Resample,
    Review,
    Section,
    SplitShares,
    Table,
    Tables,
    Text,
    Tune,
    Weights,
)
from sparkweights.config.selection import check_pattern, select_columns
from sparkweights.costs import CostMatrix
from sparkweights.costs.language import Expression
from sparkweights.costs.matrix import parse_amount
from sparkweights.decision import CALIBRATIONS, REVIEW, require_prior
from sparkweights.errors import ConfigError, did_you_mean, listed
from sparkweights.models import check_params
from sparkweights.weights import Grouping, WeightSpec

NATURAL, ESTIMATE = "natural", "estimate"
UNSCORABLE = "unscorable"  # the partition of rows without a decision


class Config(Section):
    """One configuration file, checked as a whole by `check`.

    Attributes
    ----------
    folder
        The file's folder; every relative path starts there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    name: Text
    seed: StrictInt = 0
    tables: Tables = Tables()
    artifacts: Text = "models"
    runs: Text = "runs"
    columns: Columns
    costs: dict[Text, dict[Text, Amount]] | None = None
    review: Review | None = None
    weights: Weights = Weights()
    resample: Resample | None = None
    features: Features = Features()
    model: Model = Model()
    tune: Tune = Tune()
    promote: Literal["always", "if_better", "never"] = "always"
    decision: Decision = Decision()
    split: SplitShares = SplitShares()
    checks: Checks = Checks()
    folder: Annotated[Path, Field(exclude=True)] = Path()

    @cached_property
    def roles(self) -> ColumnRoles:
        """The columns by role, for the layers below."""
        c = self.columns
        numeric = tuple(name for name in c.numeric if isinstance(name, str))
        return ColumnRoles(
            c.keys, c.label, c.classes, numeric, c.categorical, c.sensitive, c.weight, c.time
        )

    def resolve(self, table: Sequence[str]) -> Config:
        """Return the configuration with the names that ranges and patterns stand for.

        Raises
        ------
        InputError
            If the table does not hold what they name.
        """
        c = self.columns
        if all(isinstance(one, str) for one in c.numeric):
            return self
        named = [one for one in c.numeric if isinstance(one, str)]
        taken = {*c.keys, c.label, *c.categorical, *named, *filter(None, [c.weight, c.time])}
        taken |= set(() if c.use_sensitive else c.sensitive)
        numeric = select_columns(c.numeric, table, taken)
        columns = c.model_copy(update={"numeric": numeric})
        return self.model_copy(update={"columns": columns})

    @cached_property
    def matrix(self) -> CostMatrix:
        """The cost matrix; 0/1 loss over the classes where the file states no costs."""
        if self.costs is None:
            return CostMatrix.zero_one(self.roles.class_names)
        return CostMatrix.parse(self.costs, self.roles.class_names)

    @cached_property
    def weight_spec(self) -> WeightSpec:
        """Which weights are wanted.

        Raises
        ------
        ConfigError
            If a value is out of its range, or does not belong to the scheme.
        """
        w = self.weights
        time = self.columns.time if w.window else None
        grouping = Grouping(w.by, time, w.window)
        return WeightSpec(w.scheme, w.power, w.beta, w.manual, w.floor, w.cap, grouping)

    @cached_property
    def review_price(self) -> Expression | None:
        """What a look at a row costs, or None where there is no review."""
        if self.review is None:
            return None
        return parse_amount(self.review.cost, where="review.cost")

    @property
    def decisions(self) -> tuple[str, ...]:
        """Every decision a row can get, review last."""
        return (*self.matrix.decisions, *([REVIEW] if self.review else []))

    def path(self, location: str) -> Path:
        """Return a path of the file as an absolute one."""
        return (self.folder / location).resolve()

    def table(self, role: str) -> Table:
        """Return the table of a role.

        Raises
        ------
        ConfigError
            If the file does not name it.
        """
        found: Table | None = getattr(self.tables, role)
        if found is None:
            raise ConfigError(
                f"tables.{role} is missing; this step needs it.",
                hint=f"add tables.{role} with a format and a location.",
            )
        return found

    def fingerprint(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, without the place they were read from."""
        return self.model_dump(mode="json", by_alias=True)

    def check(self) -> None:
        """Refuse what no single section can see.

        Raises
        ------
        ConfigError
            With the key path, the value, what is allowed, and the next step.
        """
        _check_classes(self)
        _check_columns(self)
        _check_names(self)
        _check_choices(self)
        _check_locations(self)
        check_params(self.model.kind, self.model.params)
        _check_sizing(self)
        _check_tune(self)


def _check_classes(config: Config) -> None:
    classes = config.columns.classes
    if len(classes) < 2:  # noqa: PLR2004 (one class leaves nothing to tell apart)
        raise ConfigError(
            f"columns.classes: {len(classes)} class given ({listed(classes)}); at least two are "
            "needed.",
            hint="name every outcome, for instance {repay: 0, default: 1}.",
        )
    kinds = {type(value) for value in classes.values()}
    if len(kinds) > 1:
        raise ConfigError(
            f"columns.classes: values {listed(repr(v) for v in classes.values())} mix types.",
            hint="write all of them as the label column holds them.",
        )
    twice = [repr(value) for value, n in Counter(classes.values()).items() if n > 1]
    if twice:
        raise ConfigError(
            f"columns.classes: value {listed(twice)} names two classes.",
            hint="give each class its own value.",
        )


def _check_columns(config: Config) -> None:
    c = config.columns
    if not c.numeric and not c.categorical:
        raise ConfigError(
            "columns: no features; numeric and categorical are both empty.",
            hint="list the columns the model may learn from.",
        )
    for one in c.numeric:
        if isinstance(one, ColumnsMatching):
            check_pattern(one.matching)
    numeric = config.roles.numeric
    roles = {
        "columns.keys": c.keys,
        "columns.label": (c.label,),
        "columns.numeric": numeric,
        "columns.categorical": c.categorical,
        "columns.weight": (c.weight,) if c.weight else (),
    }
    seen: dict[str, str] = {}
    for role, names in roles.items():
        for name in names:
            if name in seen:
                raise ConfigError(
                    f"{role}: column '{name}' is listed under {seen[name]} already; a column "
                    "plays one part (a key, label or weight must not become a feature).",
                    hint="remove it from one of the two.",
                )
            seen[name] = role
    sensitive = [name for name in (*numeric, *c.categorical) if name in c.sensitive]
    if sensitive and not c.use_sensitive:
        raise ConfigError(
            f"columns.sensitive: {listed(sensitive)} would become a feature.",
            hint="remove it from the features, or state columns.use_sensitive: true.",
        )


def _check_names(config: Config) -> None:
    matrix = config.matrix
    kept = {UNSCORABLE: "for rows that get no decision"}
    if config.review is not None:
        kept[REVIEW] = "for rows that a human looks at"
    for name, purpose in kept.items():
        if name in matrix.decisions:
            raise ConfigError(
                f"costs.{name}: this name is kept {purpose}.",
                hint="choose another name for the decision.",
            )
    taken = {name.casefold() for name in output_columns(config)}
    clash = [key for key in config.columns.keys if key.casefold() in taken]
    if clash:
        raise ConfigError(
            f"columns.keys: {listed(clash)} is also the name of a column of the scored table.",
            hint="rename the key column.",
        )


def output_columns(config: Config) -> list[str]:
    """Return the columns of the scored table behind the keys, in order."""
    return [
        *(f"probability_{name}" for name in config.matrix.classes),
        *(f"expected_cost_{name}" for name in config.decisions),
        "expected_cost",
        "score_status",
        "model_version",
        "run_id",
        "scored_at",
        "run_date",
        "decision",
    ]


def _check_choices(config: Config) -> None:
    for key, value, allowed in (
        ("decision.calibration", config.decision.calibration, CALIBRATIONS),
        ("decision.target_prior", config.decision.target_prior, (NATURAL, ESTIMATE)),
    ):
        if isinstance(value, str) and value not in allowed:
            also = " or {class: share}" if key == "decision.target_prior" else ""
            raise ConfigError(
                f"{key}: {value!r} is not available; available: {listed(allowed)}{also}.",
                hint=did_you_mean(value, allowed),
            )
    if not isinstance(config.decision.target_prior, str):
        require_prior(
            config.decision.target_prior,
            config.roles.class_names,
            where="decision.target_prior",
        )
    if config.weights.window is not None and config.columns.time is None:
        raise ConfigError(
            f"weights.window: {config.weights.window!r} needs a column that tells the time.",
            hint="name a date or timestamp under columns.time.",
        )
    _ = config.weight_spec  # building it checks it
    _ = config.review_price  # parsing it checks it
    if config.split.calibrate + config.split.test >= 1:
        raise ConfigError(
            f"split: calibrate {config.split.calibrate} and test {config.split.test} leave no "
            "rows to fit on; together they must stay below 1.",
            hint="for instance {calibrate: 0.2, test: 0.2}.",
        )


def _check_sizing(config: Config) -> None:
    if config.model.prune != "none" and config.model.kind != "tree":
        raise ConfigError(
            f"model.prune: {config.model.prune!r} goes with kind tree; the kind is "
            f"{config.model.kind!r}.",
            hint="leave model.prune out.",
        )
    kind, many = config.model.kind, len(config.matrix.classes) > 2  # noqa: PLR2004 (binary or not)
    staged = kind == "xgboost" or (kind == "boosted_trees" and not many)
    if config.model.patience is not None and not staged:
        raise ConfigError(
            f"model.patience: {config.model.patience} goes with xgboost, or boosted_trees of two "
            f"classes; the kind is {kind!r}, with {len(config.matrix.classes)} classes.",
            hint="leave model.patience out.",
        )


def _check_tune(config: Config) -> None:
    wanted = config.tune
    for name, values in wanted.params.items():
        for value in values:
            check_params(config.model.kind, {name: value}, where="tune.params")
    if wanted.ratio is not None and wanted.ratio[0] > wanted.ratio[1]:
        raise ConfigError(
            f"tune.ratio: {list(wanted.ratio)} runs backwards; the first must not exceed the last.",
            hint="for instance [1, 50].",
        )
    if wanted.group and config.split.by is not None:
        raise ConfigError(
            f"tune.group: {listed(wanted.group)} and split.by: {config.split.by!r} cut folds in "
            "two ways; one is allowed.",
            hint="leave one of them out.",
        )


def _check_locations(config: Config) -> None:
    named = {
        role: table
        for role in type(config.tables).model_fields
        if (table := getattr(config.tables, role)) is not None
    }
    for role, table in named.items():
        scheme = table.location.partition("://")[0] if "://" in table.location else "file"
        if scheme != "file":
            raise ConfigError(
                f"tables.{role}.location: {table.location!r} is on {scheme}; available: paths "
                "of a file system that the driver and the executors share.",
                hint="mount the storage, or name a local path.",
            )
        if role in {"scored", "quarantine"} and table.format not in {"parquet", "orc"}:
            raise ConfigError(
                f"tables.{role}.format: {table.format!r}; allowed for output: parquet, orc.",
                hint="types and partitions do not survive csv or json.",
            )
        if table.format in {"csv", "json"} and table.schema_ddl is None:
            raise ConfigError(
                f"tables.{role}.schema: missing; a {table.format} table needs its columns and "
                "types.",
                hint="for instance schema: client_id bigint, credit_limit double.",
            )
    places = {f"tables.{role}": config.path(table.location) for role, table in named.items()}
    places |= {"artifacts": config.path(config.artifacts), "runs": config.path(config.runs)}
    outputs = ("tables.scored", "tables.quarantine", "artifacts", "runs")
    for output in (key for key in outputs if key in places):
        for other, place in places.items():
            own = places[output]
            if other != output and (own == place or own in place.parents or place in own.parents):
                raise ConfigError(
                    f"{output} and {other} overlap ({own.name!r} and {place.name!r}); what is "
                    "written must lie apart from everything else.",
                    hint="give each its own folder.",
                )
