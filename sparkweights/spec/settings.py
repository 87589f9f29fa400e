"""Settings: the sections of a configuration file, each a frozen model with its bounds.

Those that say what to do with rows travel on inside specs (`DecisionProblem`, `TrainingSpec`,
`ScoringSpec`) once a table's columns are known, and are stored with the model trained by them.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    field_serializer,
)

Text = Annotated[StrictStr, Field(min_length=1, pattern=r"^[^\x00-\x08\x0b-\x1f]*$")]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]  # 1 is one, true is none
# Options whose values no manifest may hold, should they be written out in the file.
_SECRET_OPTION = re.compile("pass|secret|token|key|credential|signature", re.IGNORECASE)
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")  # to a variable of the environment
NOT_RECORDED = "(not recorded)"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
Share = Annotated[Number, Field(gt=0, lt=1)]
Positive = Annotated[Number, Field(gt=0)]
Part = Annotated[Number, Field(ge=0, le=1)]
Amount = StrictInt | StrictFloat | StrictStr


class Section(BaseModel):
    """A part of the file: unknown keys are refused and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def scheme_of(location: str) -> str:
    """Return the scheme of a location, with or without slashes behind it; ``file`` for a path."""
    found = _SCHEME.match(location)
    return found[1].lower() if found else "file"


class Table(Section):
    """Where a table lies and how it is read.

    Attributes
    ----------
    format
        Of its files, or ``table`` for a table of Spark's catalog, whatever its format; the tables
        that are written are parquet or orc, in a folder or in the catalog.
    location
        A path, relative to the configuration file; a URI that Spark reads; or the name of a table
        of the catalog. ``{run_date}`` stands for the date.
    partition
        Read only the rows that hold these values in these columns; ``{run_date}`` as above.
    schema_ddl
        The columns and types of a csv or json table, ``name type, ...``; without it types
        would be guessed, by another pass, anew every night.
    options
        Options of Spark's reader; ``${NAME}`` is read from the environment when needed. What
        looks like a secret and is no such reference is left out of every record.
    """

    format: Literal["parquet", "orc", "csv", "json", "table"] = "parquet"
    location: Text
    partition: dict[Text, StrictBool | StrictInt | StrictStr] = {}
    schema_ddl: Annotated[Text | None, Field(alias="schema")] = None
    options: dict[str, str] = {}

    @field_serializer("options")
    def _recorded(self, options: dict[str, str]) -> dict[str, str]:
        return {
            name: NOT_RECORDED
            if _SECRET_OPTION.search(name) and not REFERENCE.search(value)
            else value
            for name, value in options.items()
        }

    @property
    def scheme(self) -> str:
        """What kind of place it lies on: ``file``, ``s3a``, ``hdfs``; ``table`` in the catalog."""
        return "table" if self.format == "table" else scheme_of(self.location)


class Tables(Section):
    """The tables of the product: two that it reads and two that it writes."""

    labelled: Table | None = None
    incoming: Table | None = None
    scored: Table | None = None
    quarantine: Table | None = None


class ColumnRange(Section):
    """The columns from one to another, in the table's order."""

    first: Annotated[Text, Field(alias="from")]
    last: Annotated[Text, Field(alias="to")]


class ColumnsMatching(Section):
    """The columns whose whole name matches a regular expression."""

    matching: Text


class Columns(Section):
    """Which column plays which part.

    Attributes
    ----------
    numeric
        Names, ranges ``{from: a, to: b}`` and patterns ``{matching: regex}``; the latter two pass
        over columns that play another part.
    """

    keys: Annotated[tuple[Text, ...], Field(min_length=1)]
    label: Text
    classes: dict[Text, StrictBool | StrictInt | StrictStr]
    numeric: tuple[Text | ColumnRange | ColumnsMatching, ...] = ()
    categorical: tuple[Text, ...] = ()
    sensitive: tuple[Text, ...] = ()
    use_sensitive: StrictBool = False
    weight: Text | None = None
    time: Text | None = None


class Review(Section):
    """A human looks at a row: what that costs, and for which share of rows there is time.

    Attributes
    ----------
    cost
        Of the look alone; the decision that is right for the true class is counted with it.
    capacity
        Share of the rows, which count by ``columns.weight`` where the table holds it.
    """

    cost: Amount
    capacity: Share = 0.05


class Reasons(Section):
    """Why a decision went against a row, in words, for the decisions that owe an explanation.

    Attributes
    ----------
    against
        Decision -> the class that it is taken against; its rows get reasons.
    top
        At most so many per row.
    texts
        Feature column -> what to tell; the column's name where nothing is said.
    prices
        Column of the costs -> what to tell where the decision hangs on its price; else ``column
        (its price)``.
    sensitive
        Whether a sensitive column may be a reason.
    """

    against: Annotated[dict[Text, Text], Field(min_length=1)]
    top: Annotated[StrictInt, Field(ge=1, le=10)] = 3
    texts: dict[Text, Text] = {}
    prices: dict[Text, Text] = {}
    sensitive: StrictBool = False


class Weights(Section):
    """How training rows are weighted; see `sparkweights.weights.WeightSpec`."""

    scheme: Text = "none"
    power: Number | None = None
    beta: Number | None = None
    manual: dict[Text, Number] | None = None
    floor: Number = 0.0
    cap: Number = 50.0
    by: tuple[Text, ...] = ()
    window: Literal["day", "week", "month", "quarter", "year"] | None = None


class Resample(Section):
    """How the rows to fit on are thinned or repeated; see `sampling.resample.resampling`."""

    method: Literal["under", "over"]
    ratio: Annotated[Number, Field(gt=0, le=1)] = 1.0


class Features(Section):
    """How columns become features; see `sparkweights.models.learn_features`.

    Attributes
    ----------
    impute
        Missing numbers: ``median`` and a flag beside it; ``none``, as they are, for xgboost, which
        learns at each split where they go (a column that was complete on the fit rows taught it
        nothing, and gets the median); ``auto``, none for xgboost and median for the others.
    """

    numeric: Literal["auto", "plain", "quantile", "binned"] = "auto"
    categorical: Literal["onehot", "ordered", "target"] = "onehot"
    impute: Literal["auto", "median", "none"] = "auto"


class Model(Section):
    """Which learner, and its parameters by the library's own names.

    Attributes
    ----------
    kind
        A learner; or ``auto``, which trains logistic regression and boosted trees (XGBoost's where
        it is installed), and keeps the first unless the trees have clearly less log loss on
        held-out rows; see `sparkweights.training.choose_learner`.
    prune
        For kind tree: prune it along its path by this measure of risk, as far as the calibration
        rows say that it costs nothing.
    patience
        For boosting: stop before so many stages in a row that do not lower the log loss of the
        undone probabilities on the calibration rows.
    monotone
        For xgboost of two classes: numeric column -> 1 where the probability of the second class
        must not fall as the value grows, -1 where it must not rise. Missing values have no order.
    interactions
        For xgboost: groups of columns whose effects may depend on each other; a column that no
        group names acts alone. Without groups, all may.
    """

    kind: Text = "boosted_trees"
    params: dict[str, StrictBool | StrictInt | StrictFloat | StrictStr] = {}
    prune: Literal["none", "gini", "entropy", "error"] = "none"
    patience: Annotated[StrictInt, Field(ge=1)] | None = None
    monotone: dict[Text, Literal[-1, 1]] = {}
    interactions: tuple[Annotated[tuple[Text, ...], Field(min_length=1)], ...] = ()


class Tune(Section):
    """What `tune` tries, and on which folds.

    Attributes
    ----------
    ratio, points
        First and last weight ratio (rarest class over commonest) and how many, on a log scale;
        by itself from no weights to beyond the balanced and the cost ratio.
    params
        Parameter of the learner -> the values to try, simple to complex.
    folds
        How many; stratified by class, or forward in time where ``split.by`` names a column.
    group
        Columns whose rows of equal values stay in one fold.
    parallelism
        Models that are fitted at a time.
    """

    ratio: tuple[Positive, Positive] | None = None
    points: Annotated[StrictInt, Field(ge=1, le=100)] = 9
    params: dict[
        Text,
        Annotated[
            tuple[StrictBool | StrictInt | StrictFloat | StrictStr, ...], Field(min_length=1)
        ],
    ] = {}
    folds: Annotated[StrictInt, Field(ge=2, le=20)] = 3
    group: tuple[Text, ...] = ()
    parallelism: Annotated[StrictInt, Field(ge=1, le=64)] = 2


class Decision(Section):
    """From probabilities to decisions.

    Attributes
    ----------
    calibration
        ``auto`` fits a sigmoid where the rarest class has few rows to calibrate on, and isotonic
        maps from there on.
    max_shift
        By which factor ``target_prior: estimate`` may move the odds of a class, at most. An
        estimate whose interval lies beyond is told and not used.
    base_rate_tolerance
        By how much of its share a class's mean probability may miss it on the test rows.
    cost_tolerance
        By how much the expected cost of the decisions may miss the realised cost, as a whole and
        by tenth of the rows' stakes: a warning beyond, no model beyond twice as much.
    """

    calibration: Text = "auto"
    target_prior: Text | dict[Text, Number] = "natural"
    max_shift: Annotated[Number, Field(gt=1)] = 2.0
    base_rate_tolerance: Positive = 0.1
    cost_tolerance: Positive = 0.15


class SplitShares(Section):
    """Shares of the labelled rows that are held out, by hash or by a column that orders time.

    Attributes
    ----------
    by
        A date, timestamp or number; the latest rows test.
    group
        Columns, such as a customer's id, whose rows of equal values share a part and a fold, and
        are drawn together for every interval. With ``by`` the parts are those of time.
    gap
        With ``by``: rows that lie this long before calibration or test rows are not used.
    mature
        With ``by``: the time until an outcome is known. Younger rows are neither good nor bad, and
        are left out.
    as_of
        The day that the labelled table is of, for ``mature``; the run's date by default.
    """

    by: Text | None = None
    group: tuple[Text, ...] = ()
    gap: StrictInt | StrictFloat | Text | None = None
    mature: StrictInt | StrictFloat | Text | None = None
    as_of: date | None = None
    calibrate: Share = 0.2
    test: Share = 0.2


class Train(Section):
    """Which rows the published model learns from.

    Attributes
    ----------
    refit
        ``none``: the fit rows; calibration and test rows are set aside. ``all``: every labelled
        row; calibration is cross-fitted, and the evaluation is that of held-out folds (with
        ``split.by``, of a model of earlier rows). ``auto``: all where the table has at most
        `sparkweights.training.cross_fit.AUTO_ROWS` rows.
    folds
        Of the cross-fitting.
    parallelism
        Models that are fitted at a time.
    """

    refit: Literal["auto", "all", "none"] = "auto"
    folds: Annotated[StrictInt, Field(ge=2, le=20)] = 5
    parallelism: Annotated[StrictInt, Field(ge=1, le=64)] = 2


class Backtest(Section):
    """Training as it would have been done at several moments of the past.

    Attributes
    ----------
    origins
        How many.
    share
        Of the rows, the latest, that the origins are spread over.
    """

    origins: Annotated[StrictInt, Field(ge=2, le=50)] = 4
    share: Share = 0.5


class Evaluate(Section):
    """How `evaluate` judges a model on rows with known outcomes.

    Attributes
    ----------
    by
        Columns whose values together are a segment; sensitive ones are welcome here.
    min_rows
        A segment of fewer rows is counted and not measured.
    exact
        Keep every distinct score, not 8,192 bins of them.
    backtest
        What `evaluate --backtest` does.
    """

    by: tuple[Text, ...] = ()
    min_rows: Annotated[StrictInt, Field(ge=1)] = 100
    exact: StrictBool = False
    backtest: Backtest = Backtest()


class Monitor(Section):
    """How far a table may drift from what the model was made for.

    Attributes
    ----------
    psi
        Largest stability index of a feature, or of the score, where so many rows do not give it
        by chance.
    shift
        By how much of itself a class's estimated share may move, where the tests say it moved.
    calibration
        By how much of the share a mean probability may miss it, where outcomes are known and
        chance does not explain the difference.
    decided
        A column that holds the decision that was really taken.
    overrides
        Largest share of rows whose decision was another than the model's; rows that the model
        sends to review are not among them.
    """

    psi: Positive = 0.2
    shift: Positive = 0.2
    calibration: Positive = 0.1
    decided: Text | None = None
    overrides: Share = 0.1


class Fairness(Section):
    """Between which groups decisions are compared, and how far they may differ.

    `evaluate` measures it; `monitor` does so where this section is stated, and exits with 7 past a
    limit that chance alone would rarely pass.

    Attributes
    ----------
    columns
        Columns whose values are groups; ``columns.sensitive`` where none is named.
    ranges
        Numeric column -> edges of its ranges, ascending; an edge belongs to the range above it.
        Without them few numbers are groups as they are, and many are grouped by quartiles.
    favourable
        The decision that is a favour; by itself the one that is right for the commonest class.
    reference
        Column -> the group that its others are compared with; by itself the most often accepted.
    min_rows
        A group of fewer rows is counted and not measured.
    ratio
        Least ratio of acceptance between groups; .8 is the four-fifths rule.
    difference
        Largest difference of the true and of the false positive rates between groups.
    """

    columns: tuple[Text, ...] = ()
    ranges: dict[Text, Annotated[tuple[Number, ...], Field(min_length=1)]] = {}
    favourable: Text | None = None
    reference: dict[Text, Text] = {}
    min_rows: Annotated[StrictInt, Field(ge=1)] = 100
    ratio: Share = 0.8
    difference: Share = 0.1


class Selection(Section):
    """Which applicants were accepted, where the labelled table holds rejected ones as well.

    Only accepted rows have an outcome to learn from and to be evaluated by; the others' label may
    be null. They are scored and counted, and no outcome is invented for them.

    Attributes
    ----------
    accepted
        A boolean column.
    probability
        A column that holds the known probability of each accepted row to have been accepted: 1
        where a rule accepts, and the share that is accepted at random where it rejects. Sample
        weights are divided by it, in training and in evaluation, so that accepted rows speak of
        all applicants.
    """

    accepted: Text
    probability: Text | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names."""
        return tuple(filter(None, (self.accepted, self.probability)))


class Checks(Section):
    """Expectation suites at both ends, and how many rows may leave without a decision."""

    labelled: Text | None = None
    incoming: Text | None = None
    scored: Text | None = None
    max_quarantined: Part = 0.05
    max_unscorable: Part = 0.05
    allow_empty: StrictBool = False
