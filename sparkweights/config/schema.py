"""The whole configuration, and what follows from its sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StrictInt, ValidationError

from sparkweights.config.column_selection import select_columns
from sparkweights.config.validate import check_consistency
from sparkweights.core.errors import ConfigError, InputError, did_you_mean
from sparkweights.core.roles import ColumnRoles
from sparkweights.costs.expression import Expression
from sparkweights.costs.matrix import REVIEW, CostMatrix, parse_amount
from sparkweights.spec.security import OutputMode, Signing
from sparkweights.spec.settings import (
    Amount,
    Checks,
    Columns,
    Decision,
    Distill,
    Evaluate,
    Fairness,
    Features,
    Model,
    Monitor,
    Reasons,
    Resample,
    Review,
    Section,
    Selection,
    SplitShares,
    Text,
    Train,
    Tune,
    Weights,
)
from sparkweights.spec.stream import Stream
from sparkweights.spec.tables import Table, Tables
from sparkweights.storage.location import Location
from sparkweights.weights.rule import Grouping
from sparkweights.weights.spec import WeightSpec


def _working_folder() -> Location:
    return Location.of("")


def _nested(costs: object) -> object:
    """Return costs as the file has them; a notebook may give the matrix that its stages take."""
    return costs.to_dict() if isinstance(costs, CostMatrix) else costs


class Config(Section):
    """One configuration, checked as a whole, whether it comes from a file or from a notebook.

    Attributes
    ----------
    name
        Name of the configuration. Models, tables and runs carry it, and refuse another's.
    seed
        Seed of splits, resampling and tree growing: the same seed gives the same model.
    artifacts
        Folder of the model bundles and of the records of `weights`, `tune`, `evaluate` and
        `explain`: a path that the driver and the executors share, or the URI of an object store
        (`s3a://...`).
    runs
        Folder of the manifests and reports, one folder per run date; a path or a URI as well.
    output_mode
        Permissions, in quotes, of the folders that are made below `artifacts`, `runs` and the
        tables in folders; files have the same without the right to execute. A stricter umask is
        kept. Folders that exist stay as they are.
    costs
        Decision -> class -> cost, a number or an expression. Without it every mistake costs 1, and
        the decisions are named after the classes.
    promote
        Whether a new model comes into use. `if_better`: where the 95 % interval of its cost minus
        that of the model in use, a paired bootstrap-t, lies below 0, and at least 10 rows of each
        class are decided differently.
    folder
        The file's folder, or the working folder; every relative path starts there.

    Raises
    ------
    ConfigError
        With the key path, the value, what is allowed, and the next step.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    name: Text
    seed: Annotated[StrictInt, Field(ge=0, lt=2**31)] = 0
    tables: Tables = Tables()
    artifacts: Text = "models"
    runs: Text = "runs"
    output_mode: Annotated[OutputMode, Field(exclude=True)] = "0750"
    signing: Annotated[Signing | None, Field(exclude=True)] = None
    columns: Columns
    costs: Annotated[dict[Text, dict[Text, Amount]] | None, BeforeValidator(_nested)] = None
    review: Review | None = None
    reasons: Reasons | None = None
    weights: Weights = Weights()
    resample: Resample | None = None
    features: Features = Features()
    model: Model = Model()
    train: Train = Train()
    tune: Tune = Tune()
    distill: Distill | None = None
    stream: Stream | None = None
    promote: Literal["always", "if_better", "never"] = "always"
    decision: Decision = Decision()
    selection: Selection | None = None
    split: SplitShares = SplitShares()
    evaluate: Evaluate = Evaluate()
    monitor: Monitor = Monitor()
    fairness: Fairness | None = None
    checks: Checks = Checks()
    folder: Annotated[Location, BeforeValidator(Location.of), Field(exclude=True)] = Field(
        default_factory=_working_folder
    )

    def __init__(self, **values: object) -> None:
        from sparkweights.config.problems import problem_of_values  # noqa: PLC0415 (reads Config)

        try:
            super().__init__(**values)
        except ValidationError as error:
            raise problem_of_values(error, values) from error
        self.check()

    @cached_property
    def roles(self) -> ColumnRoles:
        """The columns by role, for the layers below."""
        c = self.columns
        numeric = tuple(name for name in c.numeric if isinstance(name, str))
        return ColumnRoles(
            c.keys, c.label, c.classes, numeric, c.categorical, c.sensitive, c.weight, c.time
        )

    def model_copy(
        self, *, update: Mapping[str, object] | None = None, deep: bool = False
    ) -> Config:
        """Return a changed copy, without the cached properties of this one."""
        copy = super().model_copy(update=update, deep=deep)
        for name, value in vars(Config).items():
            if isinstance(value, cached_property):
                copy.__dict__.pop(name, None)
        return copy

    def resolve(self, table: Sequence[str]) -> Config:
        """Return the configuration with the names that ranges and patterns stand for.

        Raises
        ------
        InputError
            If the table does not hold what they name.
        ConfigError
            If one of them clashes with another setting.
        """
        c = self.columns
        if all(isinstance(entry, str) for entry in c.numeric):
            return self
        absent = [name for name in c.sensitive if name.casefold() not in map(str.casefold, table)]
        if absent and not c.use_sensitive:
            raise InputError(
                f"columns.sensitive: the table has no column '{absent[0]}'; beside a range or a "
                "pattern, a name that matches nothing keeps no column out of the features.",
                hint=did_you_mean(absent[0], table) or "correct the name, or remove it.",
            )
        named = [entry for entry in c.numeric if isinstance(entry, str)]
        parts = [c.weight, c.time, self.split.by, self.monitor.decided]
        parts += self.selection.columns if self.selection else ()
        excluded = {*c.keys, c.label, *c.categorical, *named, *filter(None, parts)}
        excluded |= set(() if c.use_sensitive else c.sensitive)
        numeric = select_columns(c.numeric, table, excluded)
        columns = c.model_copy(update={"numeric": numeric})
        resolved = self.model_copy(update={"columns": columns})
        resolved.check()  # now that every name is known
        return resolved

    @cached_property
    def matrix(self) -> CostMatrix:
        """The cost matrix; 0/1 loss over the classes where the file states no costs."""
        if self.costs is None:
            return CostMatrix.zero_one(self.roles.class_names)
        return CostMatrix.parse(self.costs, self.roles.class_names)

    @cached_property
    def weight_spec(self) -> WeightSpec:
        """The weighting scheme.

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
    def distilled(self) -> Distill:
        """The settings of the student.

        Raises
        ------
        ConfigError
            If the file has no section ``distill``.
        """
        if self.distill is None:
            raise ConfigError(
                "distill is missing; there is no student to train.",
                hint="add for instance distill: {model: {kind: tree, params: {maxDepth: 5}}}.",
            )
        return self.distill

    @property
    def streamed(self) -> Stream:
        """The settings of the stream.

        Raises
        ------
        ConfigError
            If the file has no section ``stream``.
        """
        if self.stream is None:
            raise ConfigError(
                "stream is missing; there is nothing to read micro-batches from.",
                hint="add for instance stream: {incoming: {location: data/arriving}}.",
            )
        return self.stream

    @property
    def student(self) -> Config:
        """The configuration of the student that `distill` trains."""
        settings = self.distilled
        return self.model_copy(
            update={
                "artifacts": settings.artifacts,
                "model": settings.model,
                "features": settings.features or self.features,
                "weights": settings.weights or self.weights,
                "resample": None,
                "tune": Tune(),
                "distill": None,
                "stream": None,
            }
        )

    @property
    def decisions(self) -> tuple[str, ...]:
        """Every decision a row can get, review last."""
        return (*self.matrix.decisions, *([REVIEW] if self.review else []))

    def path(self, location: str) -> Location:
        """Return where a path of the file points, which may be written as ``file://``."""
        return self.folder.resolve(location).with_mode(int(self.output_mode, 8))

    def table(self, role: str) -> Table:
        """Return the table of a role.

        Raises
        ------
        ConfigError
            If the file does not name it.
        """
        table_: Table | None = getattr(self.tables, role)
        if table_ is None:
            raise ConfigError(
                f"tables.{role} is missing; this step needs it.",
                hint=f"add tables.{role} with a format and a location.",
            )
        return table_

    def fingerprint(self) -> dict[str, object]:
        """Return the settings as plain JSON values, without the folder of the file."""
        return self.model_dump(mode="json", by_alias=True)

    def check(self) -> None:
        """Refuse what no single section can see.

        Raises
        ------
        ConfigError
            With the key path, the value, what is allowed, and the next step.
        """
        check_consistency(self)
