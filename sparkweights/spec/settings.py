"""Settings: the sections of a configuration file, each a frozen model with its bounds.

Settings about rows are part of specs (`DecisionProblem`, `TrainingSpec`, `ScoringSpec`) once a
table's columns are known, and are stored with the model trained by them.
"""

from __future__ import annotations

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
)

Text = Annotated[StrictStr, Field(min_length=1, pattern=r"^[^\x00-\x08\x0b-\x1f]*$")]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]  # 1 is one, true is none
Share = Annotated[Number, Field(gt=0, lt=1)]
Positive = Annotated[Number, Field(gt=0)]
ClassValue = StrictBool | StrictInt | StrictStr
Part = Annotated[Number, Field(ge=0, le=1)]
Scalar = StrictBool | StrictInt | StrictFloat | StrictStr
Amount = StrictInt | StrictFloat | StrictStr


class Section(BaseModel):
    """A part of the file: unknown keys are refused and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnRange(Section):
    """The columns from one to another, in the table's order."""

    first: Annotated[Text, Field(alias="from")]
    last: Annotated[Text, Field(alias="to")]


class ColumnsMatching(Section):
    """The columns whose whole name matches a regular expression."""

    matching: Text


class Columns(Section):
    """The role of each column.

    Attributes
    ----------
    keys
        Columns that together identify a row. A row whose key is null, NaN or blank is quarantined.
    label
        The outcome column of the labelled table.
    classes
        Class name -> its value in the label column, or a list of its values.
    outside
        Labelled rows whose label is null or no class. ``refuse``: the run stops. ``drop``: they
        are left out, and counted in the record and the report.
    numeric
        Numeric features; a boolean is 0 or 1. Names, ranges ``{from: a, to: b}`` and patterns
        ``{matching: regex}``. Ranges and patterns skip columns that have another role.
    categorical
        Categorical features.
    sensitive
        Columns that are kept for reports and fairness, and are not features.
    use_sensitive
        Whether sensitive columns that are also listed as features may be features.
    weight
        Sample weight of a row: 2 counts as the row twice.
    time
        Date or timestamp of a row, used by ``weights.window``.
    """

    keys: Annotated[tuple[Text, ...], Field(min_length=1)]
    label: Text
    classes: dict[Text, ClassValue | Annotated[tuple[ClassValue, ...], Field(min_length=1)]]
    outside: Literal["refuse", "drop"] = "refuse"
    numeric: tuple[Text | ColumnRange | ColumnsMatching, ...] = ()
    categorical: tuple[Text, ...] = ()
    sensitive: tuple[Text, ...] = ()
    use_sensitive: StrictBool = False
    weight: Text | None = None
    time: Text | None = None


class Review(Section):
    """A human reviews rows: what a review costs, and for which share of rows there is time.

    Attributes
    ----------
    cost
        Cost of the review alone, a number or an expression. A reviewed row also gets, and pays
        for, the least-cost decision of its true class.
    capacity
        Largest share of the rows that is reviewed; rows count by ``columns.weight`` where the
        table holds it.
    """

    cost: Amount
    capacity: Share = 0.05


class Reasons(Section):
    """Reason codes: why a decision was adverse to a row, in words.

    Attributes
    ----------
    against
        Adverse decision -> the class it is taken against; rows with this decision get reasons.
    top
        Largest number of reasons per row.
    texts
        Feature column -> text of the reason; the column's name by default.
    prices
        Column of the cost matrix -> text of the reason where a typical value of that column would
        have led to another decision; it comes first. By default ``column (its price)``.
    sensitive
        Whether a sensitive column may be a reason.
    """

    against: Annotated[dict[Text, Text], Field(min_length=1)]
    top: Annotated[StrictInt, Field(ge=1, le=10)] = 3
    texts: dict[Text, Text] = {}
    prices: dict[Text, Text] = {}
    sensitive: StrictBool = False


class Weights(Section):
    """How training rows are weighted; see `sparkweights.weights.spec.WeightSpec`.

    Attributes
    ----------
    scheme
        How class weights are computed; see the table of schemes.
    power
        Of ``tempered``: from 0 (no weights) to 1 (balanced).
    beta
        Of ``effective_number``: 0 <= beta < 1.
    manual
        Of ``manual``: class -> weight; only the ratios matter.
    floor
        Least weight, as a multiple of the mean weight, from 0 to 1.
    cap
        Greatest weight, as a multiple of the mean weight, at least 1.
    by
        Columns whose values define groups; each group has class weights of its own.
    window
        Calendar period of ``columns.time``; in training, each period has class weights of its own.
        The correction uses their mean, as outcomes of the current period are not known.
    """

    scheme: Text = "none"
    power: Number | None = None
    beta: Number | None = None
    manual: dict[Text, Number] | None = None
    floor: Number = 0.0
    cap: Number = 50.0
    by: tuple[Text, ...] = ()
    window: Literal["day", "week", "month", "quarter", "year"] | None = None


class Resample(Section):
    """Resampling of the fit rows by a hash of the keys; the ledger corrects for it.

    Attributes
    ----------
    method
        ``under`` drops rows of the larger classes; ``over`` repeats rows of the smaller ones.
    ratio
        Aimed size of the smallest class divided by that of the largest.
    """

    method: Literal["under", "over"]
    ratio: Annotated[Number, Field(gt=0, le=1)] = 1.0


class Features(Section):
    """How columns become features; see `sparkweights.features.fit.learn_features`.

    Attributes
    ----------
    numeric
        ``plain``: the value; ``quantile``: its quantile score; ``binned``: the weight of evidence
        of its range; ``auto``: ``quantile`` for heavy-tailed columns where a linear learner is
        used or tried, else ``plain``.
    categorical
        ``onehot``; ``ordered``: one code per level; ``target``: the outcomes of the level, learned
        out of fold.
    impute
        Missing numbers. ``median``: the median and a flag. ``none``: left missing, for xgboost
        alone, which learns at each split where they go (a column that was complete in the fit rows
        gets the median). ``auto``: ``none`` for xgboost, ``median`` for the others.
    missing
        Rows of the incoming table that lack a feature. ``impute``: scored as missing values were
        learned. ``refuse``: no decision, and the status ``unscorable:missing COLUMN``.
    """

    numeric: Literal["auto", "plain", "quantile", "binned"] = "auto"
    categorical: Literal["onehot", "ordered", "target"] = "onehot"
    impute: Literal["auto", "median", "none"] = "auto"
    missing: Literal["impute", "refuse"] = "impute"


class Model(Section):
    """The learner, and its parameters by the library's own names.

    Attributes
    ----------
    kind
        A learner, or ``auto``: train logistic regression and boosted trees (``xgboost`` where it
        is installed, else ``boosted_trees``) and keep logistic regression unless the trees have
        less log loss on held-out rows, by more than a standard error of the difference. Where
        xgboost is better, 400 trees of depth 4 are compared with its defaults in the same way.
    params
        Parameters of the learner; see the table of parameters. Not with ``auto``.
    prune
        For ``tree``: prune along the weakest-link path by this measure of risk, as far as it costs
        nothing on the calibration rows.
    max_leaves
        For ``tree``: prune along the weakest-link path by Gini impurity to at most so many leaves.
        A deep tree that is pruned has its leaves where they tell most; a shallow one has them
        everywhere.
    patience
        For ``xgboost``, ``mini_batch``, and ``boosted_trees`` of two classes: keep the number of
        boosting stages, or of rounds, with the least log loss of the corrected probabilities on the
        calibration rows; this many stages without an improvement end the search.
    monotone
        For ``xgboost`` of two classes: numeric column -> 1 where the probability of the second
        class must not fall as the value rises, -1 where it must not rise. The fitted trees are
        verified. Reasons without a text state the direction. Missing values have no order.
    interactions
        For ``xgboost``: groups of columns that may interact; a column that no group names enters
        additively. Without groups, all columns may interact.
    """

    kind: Text = "boosted_trees"
    params: dict[str, Scalar] = {}
    prune: Literal["none", "gini", "entropy", "error"] = "none"
    max_leaves: Annotated[StrictInt, Field(ge=2)] | None = None
    patience: Annotated[StrictInt, Field(ge=1)] | None = None
    monotone: dict[Text, Literal[-1, 1]] = {}
    interactions: tuple[Annotated[tuple[Text, ...], Field(min_length=1)], ...] = ()


class Tune(Section):
    """What `tune` tries, and on which folds. Not with ``resample``.

    Attributes
    ----------
    ratio
        Smallest and largest weight ratio (rarest class to commonest); by default from no weights
        to beyond the balanced ratio and the cost ratio.
    points
        Number of weight ratios, on a log scale.
    params
        Parameter of the learner -> values to try, from simple to complex.
    folds
        Number of folds of the fit rows: stratified by class, or forward in time where
        ``split.by`` names a column.
    group
        Columns whose rows of equal values stay in one fold.
    parallelism
        Number of models that are fitted at a time.
    """

    ratio: tuple[Positive, Positive] | None = None
    points: Annotated[StrictInt, Field(ge=1, le=100)] = 9
    params: dict[
        Text,
        Annotated[tuple[Scalar, ...], Field(min_length=1)],
    ] = {}
    folds: Annotated[StrictInt, Field(ge=2, le=20)] = 3
    group: tuple[Text, ...] = ()
    parallelism: Annotated[StrictInt, Field(ge=1, le=64)] = 2


# A larger tree is no rule that anyone reads, and engines compile its query slowly.
MAX_EXPORTED_LEAVES = 256


class Distill(Section):
    """The student that `distill` trains on the probabilities of a teacher, the model in use.

    Attributes
    ----------
    model
        The student: ``logistic``, ``tree``, or any other learner, with its parameters. A linear
        student of ``features: {numeric: binned}`` is a scorecard. Not ``auto``.
    features
        How columns become the student's features; by default as under ``features``.
    weights
        How the student's rows are weighted; by default as under ``weights``.
    temperature
        Probabilities are taken to the power of 1 / temperature and divided by their sum, which
        brings out the smaller ones. Above 1, a calibration on outcomes is needed to correct it.
    hard_share
        Share of the outcome in what a row with an outcome teaches; the rest is the teacher's
        probability.
    artifacts
        Folder of the students' bundles, which a configuration that scores with a student states as
        its ``artifacts``.
    export
        Files that compute the same as the student. ``sql``: a query of standard SQL; ``spark_sql``:
        one of Spark SQL; ``json``: the arithmetic as JSON; ``python``: the same and a scorer in
        Python without a dependency; ``onnx``: a model of the ONNX format, in double precision. For
        linear students and for single trees of at most 256 leaves.
    """

    model: Model
    features: Features | None = None
    weights: Weights | None = None
    temperature: Annotated[Number, Field(ge=1, le=100)] = 1.0
    hard_share: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    artifacts: Text = "students"
    export: tuple[Literal["sql", "spark_sql", "json", "python", "onnx"], ...] = ()


class Decision(Section):
    """From probabilities to decisions.

    Attributes
    ----------
    calibration
        Method, fitted on held-out rows without class weights. ``sigmoid``: Platt scaling;
        ``isotonic``: a monotone map, shrunk towards the sigmoid as far as that fits;
        ``temperature``: one factor of the log odds; ``auto``: ``sigmoid`` below 50 effective rows
        of the rarest class, else ``isotonic``.
    target_prior
        Class shares of the rows to score: ``natural``, those of the labelled table; ``estimate``,
        estimated from the scores under label shift; or a share per class.
    max_shift
        Largest factor by which ``target_prior: estimate`` may change the odds of a class. An
        estimate whose interval exceeds it is reported and not used.
    base_rate_tolerance
        Largest relative difference between a class's mean probability and its share on the test
        rows, beyond what chance explains.
    cost_tolerance
        Largest relative difference between expected and realised cost of the decisions, as a whole
        and by tenth of the amounts at stake: a warning above it, no model above twice as much.
    """

    calibration: Text = "auto"
    target_prior: Text | dict[Text, Number] = "natural"
    max_shift: Annotated[Number, Field(gt=1)] = 2.0
    base_rate_tolerance: Positive = 0.1
    cost_tolerance: Positive = 0.15


class SplitShares(Section):
    """Shares of the labelled rows that are held out, by hash or by time.

    Attributes
    ----------
    by
        A date, timestamp or number; the latest rows test. Without it rows are split at random by a
        hash of the keys, stratified by class.
    group
        Columns, such as a customer's id, whose rows of equal values share a part and a fold, and
        are drawn together for every interval. With ``by`` the parts are those of time.
    gap
        With ``by``: rows this long before the calibration or the test rows are not used; a number
        or a period such as ``3 months``.
    mature
        With ``by``: the time until an outcome is known, such as ``12 months``. Younger rows are
        left out.
    as_of
        The day on which ``mature`` is measured; by default the date of the run.
    calibrate
        Share of the rows to calibrate on.
    test
        Share of the rows to test on.
    """

    by: Text | None = None
    group: tuple[Text, ...] = ()
    gap: StrictInt | StrictFloat | Text | None = None
    mature: StrictInt | StrictFloat | Text | None = None
    as_of: date | None = None
    calibrate: Share = 0.2
    test: Share = 0.2


class Train(Section):
    """Which rows the published model is fitted on.

    Attributes
    ----------
    refit
        ``none``: the fit rows; calibration and test rows are held out. ``all``: every labelled
        row; calibration is cross-fitted, and the evaluation is that of held-out folds (with
        ``split.by``, of a model of earlier rows). ``auto``: ``all`` for tables of up to 50,000
        rows, else ``none``.
    folds
        Number of folds of the cross-fitting.
    parallelism
        Number of models that are fitted at a time.
    """

    refit: Literal["auto", "all", "none"] = "auto"
    folds: Annotated[StrictInt, Field(ge=2, le=20)] = 5
    parallelism: Annotated[StrictInt, Field(ge=1, le=64)] = 2


class Backtest(Section):
    """Training as it would have been done at several moments of the past.

    Attributes
    ----------
    origins
        Number of moments.
    share
        Share of the rows, the latest, within which the moments lie.
    """

    origins: Annotated[StrictInt, Field(ge=2, le=50)] = 4
    share: Share = 0.5


class Evaluate(Section):
    """How `evaluate` measures a model on rows with known outcomes.

    Attributes
    ----------
    by
        Columns whose combined values are a segment; sensitive columns are allowed.
    min_rows
        A segment of fewer rows is counted and not measured. Nor is one of fewer than ten rows
        named, as that would tell of persons.
    exact
        Keep every distinct score instead of 8,192 bins.
    backtest
        Settings of `evaluate --backtest`.
    """

    by: tuple[Text, ...] = ()
    min_rows: Annotated[StrictInt, Field(ge=1)] = 100
    exact: StrictBool = False
    backtest: Backtest = Backtest()


class Monitor(Section):
    """Drift limits: `monitor` exits with 7 if one or ``checks.max_quarantined`` is exceeded.

    An index, a share or a calibration exceeds its limit only where chance does not explain it with
    this many rows. Sample weights count where the table has them.

    Attributes
    ----------
    psi
        Largest population stability index of a feature or of the score.
    shift
        Largest relative change of a class's estimated share, where the tests report a shift.
    calibration
        Largest relative difference between a mean probability and the share of its class, where
        outcomes are known.
    decided
        Column that holds the decision that was really taken.
    overrides
        Largest share of rows whose decision differs from the model's; rows that the model sends to
        review are not counted.
    """

    psi: Positive = 0.2
    shift: Positive = 0.2
    calibration: Positive = 0.1
    decided: Text | None = None
    overrides: Share = 0.1


class Fairness(Section):
    """Groups between which decisions are compared, and how far they may differ.

    `evaluate` compares acceptance, true and false positive rates with intervals; `monitor` does so
    where this section is stated, and exits with 7 beyond a limit where chance does not explain it.

    Attributes
    ----------
    columns
        Columns whose values are groups; by default ``columns.sensitive``.
    ranges
        Numeric column -> ascending edges of its ranges; an edge belongs to the range above it. By
        default few distinct numbers are groups as they are, and many are grouped by quartiles.
    favourable
        The favourable decision; by default the least-cost one of the commonest class.
    reference
        Column -> the group that the others are compared with; by default the group that is
        accepted most often.
    min_rows
        A group of fewer rows is counted and not measured. Nor is one of fewer than ten rows
        named, as that would tell of persons.
    ratio
        Least ratio of acceptance between groups; 0.8 is the four-fifths rule.
    difference
        Largest difference of true or of false positive rates between groups.
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

    Only accepted rows have an outcome to train and evaluate on; the label of the others may be
    null. Rejected rows are scored and counted, and no outcome is inferred for them: `train` reports
    the share accepted by score band, and what that leaves unknown.

    Attributes
    ----------
    accepted
        A boolean column.
    probability
        Column of the known probability that an accepted row was accepted: 1 where a rule accepts,
        less where acceptance is random. Sample weights are divided by it, in training and in
        evaluation, so that accepted rows represent all applicants.
    """

    accepted: Text
    probability: Text | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names."""
        return tuple(filter(None, (self.accepted, self.probability)))


class Checks(Section):
    """Expectation suites, and how many rows may remain without a decision.

    Attributes
    ----------
    labelled
        Suite that the labelled table must pass before training.
    incoming
        Suite of the incoming table: a row that fails a critical row-level expectation is
        quarantined; other critical failures stop the run.
    scored
        Suite that the scored rows must pass before they are published.
    parameters
        Name -> value, for ``{"$PARAMETER": name}`` in the suites: numbers, text, booleans, or a
        list of them. They replace the values that a suite's file sets.
    mostly
        What a critical row-level expectation with ``mostly`` below 1 decides. With ``rows``, each
        row that fails it is quarantined, also where it passes; with ``table``, no row is, and the
        run stops where more rows fail than ``mostly`` allows.
    max_quarantined
        Largest share of rows that may be quarantined; more stop the run.
    max_unscorable
        Largest share of rows that may be unscorable; more stop the run.
    max_missing_shift
        By how much the share of missing values of a feature may exceed that of the training rows,
        and likewise the share of categories that training did not know. A significant rise beyond
        it stops the run, and so does a feature that is missing on every row; a quarter of it is
        warned of.
    max_absent
        Largest share of labelled rows in files that lack a feature which other files hold; more
        stop the training.
    allow_empty
        Whether an empty incoming table replaces its date with no rows instead of stopping the run.
    """

    labelled: Text | None = None
    incoming: Text | None = None
    scored: Text | None = None
    parameters: dict[Text, Scalar | tuple[Scalar, ...]] = {}
    mostly: Literal["rows", "table"] = "rows"
    max_quarantined: Part = 0.05
    max_unscorable: Part = 0.05
    max_missing_shift: Part = 0.2
    max_absent: Part = 0.1
    allow_empty: StrictBool = False
