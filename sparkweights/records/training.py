"""The record of a training, which is the manifest of the model's bundle."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import KW_ONLY, field
from typing import Annotated, ClassVar

from pydantic import Field

from sparkweights.core.errors import ModelError, SparkweightsError
from sparkweights.records.base import Interval, Measure, Part, Plain, Record, Shares, part
from sparkweights.records.evaluation import EvaluationSummary
from sparkweights.records.learner import ModelSummary, RoundSummary
from sparkweights.records.weights import LedgerSummary, WeightsRecord
from sparkweights.spec.problem import DecisionProblem
from sparkweights.spec.training import TrainingSpec


@part
class PruningCandidate(Part):
    """One tree of the pruning path: its penalty, its size, and its cost on held-out rows.

    Attributes
    ----------
    ccp_alpha, leaves
        See `sparkweights.trees.pruning.Pruning`.
    cost
        Mean realised cost of the Bayes decisions, per row.
    standard_error
        Of the difference of its cost from that of the cheapest tree, paired on the same rows.
    """

    ccp_alpha: float
    leaves: int
    cost: float
    standard_error: float


@part
class PruningSummary(Part):
    """The trees that were tried, and the one that was chosen.

    Attributes
    ----------
    measure
        The impurity or the cost that the path follows.
    """

    measure: str
    candidates: tuple[PruningCandidate, ...]
    chosen: PruningCandidate


@part
class StoppingSummary(Part):
    """The loss after each boosting stage, and how many stages were kept.

    Attributes
    ----------
    losses
        Mean log loss of the corrected probabilities on held-out rows, after each stage.
    patience
        How many stages without a new minimum end the search.
    kept
        Stages of the model.
    """

    losses: tuple[Measure, ...]
    patience: int
    kept: int


@part
class Refit(Part):
    """Which rows the published model learned from, and why.

    Attributes
    ----------
    rows
        ``all`` or ``fit``.
    folds
        Of the cross-fitting; 0 without it.
    reason
        A sentence.
    """

    rows: str
    folds: int
    reason: str


@part
class CalibratorSummary(Part):
    """A fitted calibration, as `sparkweights.probability.calibration` states it.

    Attributes
    ----------
    maps, temperature
        The numbers of the method; the other is None.
    """

    method: str
    maps: tuple[Plain, ...] | None = None
    temperature: float | None = None

    def absent(self) -> Collection[str]:
        """Return the numbers of the other methods."""
        return [name for name in ("maps", "temperature") if getattr(self, name) is None]


@part
class CalibrationSummary(CalibratorSummary):
    """A fitted calibration, the reason for the method, and the effective rows.

    Attributes
    ----------
    reason, warning
        Sentences; a warning where the rarest class has few rows.
    events
        Effective rows of each class.
    """

    reason: str = ""
    warning: str | None = None
    events: Mapping[str, Measure] = field(default_factory=dict)


@part
class ResamplingSummary(Part):
    """How rows were resampled; see `sparkweights.sampling.resample.Resampling`.

    Attributes
    ----------
    rates
        Class name -> copies of a row.
    prior, sampled_prior, trained_prior
        Class shares of the rows, after resampling, and of the training weight.
    """

    rates: Mapping[str, float]
    prior: Shares
    sampled_prior: Shares
    trained_prior: Shares


@part
class SplitSummary(Part):
    """What determines the part of a row; see `sparkweights.sampling.split.Split`.

    Attributes
    ----------
    by_type, keys
        The types of the columns that the split reads.
    rows
        Part -> rows.
    """

    by: str | None
    boundaries: Annotated[Mapping[str, tuple[float, ...]], Field(alias="cuts")]
    folds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    group: tuple[str, ...] = ()
    ends: tuple[float, float] | None = None
    until: float | None = None
    crossed: int = 0
    by_type: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)


@part
class HeldOutSummary(Part):
    """Differences of an evaluated model from the published one; None where they are equal."""

    calibration: CalibratorSummary | None
    features: Plain | None


@part
class ComparisonCosts(Part):
    """The costs of the decisions of two models on the same rows.

    Attributes
    ----------
    before, after
        Mean cost of a row, of the champion and of the challenger.
    interval
        Of ``after - before``.
    changed
        Class name -> effective rows that the two decide differently.
    needed, scarce
        How many of each class are needed, and the classes that have fewer.
    verdict
        In words.
    """

    rows: int
    before: float
    after: float
    interval: Interval
    changed: Mapping[str, float]
    needed: int
    scarce: tuple[str, ...]
    verdict: str


@part
class ChampionComparison(Part):
    """The result of comparing a new model with the one in use.

    Attributes
    ----------
    champion
        Version of the model in use, or None where there is none.
    costs
        The costs of both; None where they could not be compared.
    obstacle
        Why they could not be compared, as a sentence, or None.
    promoted
        Whether the new model replaces the champion.
    """

    champion: str | None
    costs: ComparisonCosts | None
    obstacle: str | None
    promoted: bool


@part
class TeacherSummary(Part):
    """The model whose probabilities a student was fitted to; see `sparkweights.training.targets`.

    Attributes
    ----------
    version, kind
        Of the teacher.
    temperature, hard_share
        The temperature of its probabilities, and the share of the outcome in a target.
    unlabelled_rows
        Rows without outcome that the student learned from.
    """

    version: str
    kind: str
    temperature: float
    hard_share: float
    unlabelled_rows: int


@part
class ScoreBand(Part):
    """Applicants of similar scores; see `sparkweights.evaluation.selection.Band`."""

    low: float
    high: float
    applicants: int
    accepted: int
    effective: float
    mean_probability: float
    share: Measure
    is_extrapolated: bool


@part
class SelectionSummary(Part):
    """What accepted rows show about all; see `sparkweights.evaluation.selection.Selection`.

    Attributes
    ----------
    name
        The class.
    extrapolated
        The share of the applicants in bands with too few accepted rows.
    """

    name: str
    bands: tuple[ScoreBand, ...]
    mean_probability: Measure
    accepted_share: Measure
    bounds: tuple[float, float]
    estimate: Measure
    interval: Interval | None
    extrapolated: float


@part
class TrainingRecord(Record):
    """A training: the model, its rows, weights, corrections, and evaluation.

    Attributes
    ----------
    name
        Of the configuration.
    schema
        Column that the model reads -> its kind.
    features, feature_names
        The plan from columns to numbers, and the numbers' names.
    ledger
        What moved the training data away from the population, and what was inverted.
    reference, typical
        The values that reason codes compare a row's features, and its costs, with.
    held_out
        The evaluated models, where they are not the published one.
    comparison
        With the model in use before.
    spec
        The specification of the training, see `sparkweights.spec.training`; None in older bundles.
    config
        The settings of the configuration.
    selection
        The selection of accepted rows, where the configuration names it.
    left_out
        Why labelled rows were left out -> how many.
    rounds
        Of the published model, where its learner trains in rounds.
    teacher
        Of a student; None of a model that was fitted to outcomes alone.
    version, files
        The bundle's name, and the SHA-256 of each of its files; publishing adds them.
    """

    failure: ClassVar[type[SparkweightsError]] = ModelError

    _: KW_ONLY
    name: str
    trained_at: str
    versions: Mapping[str, str]
    model: ModelSummary
    classes: tuple[str, ...]
    schema: Mapping[str, str]
    features: Plain
    feature_names: tuple[str, ...]
    sensitive: tuple[str, ...]
    ledger: LedgerSummary
    reference: tuple[float, ...] = ()
    typical: Mapping[str, Measure] = field(default_factory=dict)
    calibration: CalibrationSummary | None
    resampling: ResamplingSummary | None
    pruning: PruningSummary | None
    stopping: StoppingSummary | None
    split: SplitSummary
    refit: Refit = Refit("fit", 0, "")
    held_out: tuple[HeldOutSummary, ...] = ()
    costs: Mapping[str, Mapping[str, str]]
    weights: WeightsRecord
    evaluation: EvaluationSummary
    comparison: Annotated[ChampionComparison, Field(alias="contest")]
    spec: Plain | None = None
    config: Plain
    selection: SelectionSummary | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    rounds: tuple[RoundSummary, ...] = ()
    teacher: TeacherSummary | None = None
    version: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def spark(self) -> str:
        """The version of Spark that fitted the model."""
        return self.versions["spark"]

    @property
    def problem(self) -> DecisionProblem:
        """What the model decides, as it was trained.

        Raises
        ------
        ModelError
            If an older release wrote the record, which did not keep it.
        """
        if self.spec is None:
            raise ModelError(
                f"The model '{self.version}' was written before bundles kept the specification of "
                "their training, by which they are opened without a configuration.",
                hint="train again; or use the Runner with its configuration.",
            )
        return TrainingSpec.from_dict(self.spec, scratch="").problem

    def absent(self) -> Collection[str]:
        """Return what publishing has not added yet, and what not every bundle has."""
        names = ("version", "files", "spec", "rounds", "teacher")
        return [name for name in names if not getattr(self, name)]
