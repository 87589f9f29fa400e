"""The state of a stream after a micro-batch: small numbers as JSON, and what follows from them.

A micro-batch turns one state into the next. The state names the last micro-batch that it holds, so
a batch that is repeated after a restart is recognised.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sparkweights.core.errors import ConfigError, ModelError
from sparkweights.stream.adwin import Adwin
from sparkweights.stream.current_prior import CurrentPrior, estimate_prior, outcome_factors
from sparkweights.stream.fixed_settings import FixedSettings
from sparkweights.stream.learner import OnlineLearner, window_weights
from sparkweights.stream.window import Window, WindowLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.probability.priors import ScoreHistogram
    from sparkweights.stream.adwin import Moments
    from sparkweights.stream.learner import LabelledBatch, LearnerSettings, Run
    from sparkweights.stream.window import Bucket
    from sparkweights.weights.spec import WeightSpec

VERSION = 2  # of the layout
LOSS, SCORE = "loss", "score"  # what drift is detected on
MAX_HISTORY = 200  # micro-batches whose costs the report draws


@dataclass(frozen=True, eq=False)
class StreamRules:
    """What a stream's state follows; resolved from settings and model.

    Attributes
    ----------
    prior
        Class name -> share that the model's probabilities are natural to.
    weights
        The requested weights of the window.
    learner
        How steps are made; None where the model stays as it is.
    score_rows
        How many of the latest scores tell of the present class shares.
    max_shift
        By which factor scores alone may move the odds of a class.
    moves_prior
        Whether decisions are for the class shares of the window.
    holds
        Whether a drift ends the learning of the model.
    reference
        See `sparkweights.stream.current_prior.estimate_prior`.
    """

    prior: Mapping[str, float]
    weights: WeightSpec
    learner: LearnerSettings | None
    score_rows: int
    max_shift: float
    moves_prior: bool = True
    holds: bool = True
    reference: ScoreHistogram | None = None


@dataclass(frozen=True)
class Drift:
    """A change of the mean of a measure.

    Attributes
    ----------
    batch
        The micro-batch that it was found in.
    measure
        `LOSS`, the squared error of the decided probabilities on rows with outcome; or `SCORE`, the
        published model's probability of the rarest class.
    before, since
        The means on both sides of the change.
    after
        The last micro-batch before the change.
    """

    batch: int
    measure: str
    before: float
    since: float
    after: int


@dataclass(frozen=True)
class Totals:
    """Sums since the stream began.

    Attributes
    ----------
    rows, scored
        Incoming rows, and those with a decision.
    outcomes
        Rows whose outcome has come.
    unmatched
        Outcomes that belong to no waiting row, at the last micro-batch.
    expired
        Rows let go without an outcome.
    expected_cost
        Of the decisions, when they were taken.
    constant_cost
        Expected of the least costly single decision of each micro-batch, for all its rows.
    realised_cost, expected_cost_realised
        Of the decisions whose outcome has come, and what was expected of them.
    seconds
        Of processing.
    """

    rows: int = 0
    scored: int = 0
    outcomes: int = 0
    unmatched: int = 0
    expired: int = 0
    expected_cost: float = 0.0
    constant_cost: float = 0.0
    realised_cost: float = 0.0
    expected_cost_realised: float = 0.0
    seconds: float = 0.0

    def plus(self, **added: float) -> Totals:
        """Return the sums with those of a micro-batch."""
        return replace(self, **{name: getattr(self, name) + one for name, one in added.items()})


@dataclass(frozen=True)
class BatchCosts:
    """What a micro-batch cost.

    Attributes
    ----------
    batch
        Its number.
    scored, expected_cost, constant_cost
        Its rows with a decision, and their costs, see `Totals`.
    outcomes, realised_cost
        The rows whose outcome came in it, and the costs of their decisions.
    share
        Of the rarest class, that it was decided for.
    """

    batch: int
    scored: int
    expected_cost: float
    constant_cost: float
    outcomes: int
    realised_cost: float
    share: float


@dataclass(frozen=True)
class Part:
    """A file of rows in the stream's folder.

    Attributes
    ----------
    name
        Below the folder of its kind.
    latest
        The latest event time of its rows.
    """

    name: str
    latest: float


@dataclass(frozen=True, eq=False)
class StreamState:
    """What a stream knows after a micro-batch.

    Attributes
    ----------
    batch
        The last micro-batch in it; -1 before the first.
    fixed
        The settings that the stream began with; None before it has begun.
    model_version
        Of the published model that the state belongs to.
    latest
        The latest event time, as `sparkweights.sampling.split.time_order` counts; None at first.
    window
        Of rows with outcome.
    recent
        Of scored rows.
    detectors
        `LOSS` and `SCORE` -> their windows.
    drifts
        The latest ones of the model, the oldest first.
    learner
        None where the model stays as it is.
    waiting, matched
        The files of rows that wait for an outcome, and of those whose outcome has come.
    unmatched
        The name of the file of outcomes whose row has not come; None without any.
    aside
        Micro-batches whose rows were set aside by a gate.
    totals
        Sums since the stream began.
    history
        The costs of the latest micro-batches, the oldest first.
    """

    batch: int = -1
    fixed: FixedSettings | None = None
    model_version: str = ""
    latest: float | None = None
    window: Window = field(default_factory=Window)
    recent: Window = field(default_factory=Window)
    detectors: Mapping[str, Adwin] = field(default_factory=lambda: {LOSS: Adwin(), SCORE: Adwin()})
    drifts: tuple[Drift, ...] = ()
    learner: OnlineLearner | None = None
    waiting: tuple[Part, ...] = ()
    matched: tuple[Part, ...] = ()
    unmatched: str | None = None
    aside: tuple[int, ...] = ()
    totals: Totals = Totals()
    history: tuple[BatchCosts, ...] = ()

    @property
    def wants_model(self) -> bool:
        """Whether a drift calls for a new model."""
        return bool(self.drifts)

    def prior(self, rules: StreamRules) -> CurrentPrior:
        """Return the shares that the next micro-batch is decided for."""
        if not rules.moves_prior:
            return CurrentPrior(rules.prior, rules.prior, None, rules.prior)
        recent = self.recent.total
        scores = None if recent is None else recent.scores
        return estimate_prior(
            rules.prior, self.window.total, scores, rules.max_shift, rules.reference
        )

    def follows(self, batch: int, root: object) -> bool:
        """Whether a micro-batch is the next one; False for the last one, which Spark repeats.

        Parameters
        ----------
        root
            The stream's folder, for the message.

        Raises
        ------
        ConfigError
            If it is neither: rows of the batches between would be in no output.
        """
        if batch == self.batch:
            return False
        if batch != self.batch + 1:
            last = "none" if self.batch < 0 else f"micro-batch {self.batch}"
            raise ConfigError(
                f"The sources of the stream in '{root}' are at micro-batch {batch}, and its state "
                f"holds {last} as the last one: the state or the checkpoint was lost, or is an "
                "older copy.",
                hint="restore state.json and checkpoint of one moment, or name another "
                "stream.folder.",
            )
        return True

    def at(self, latest: float | None) -> StreamState:
        """Return the state after rows whose latest event time is known; time never goes back."""
        known = [moment for moment in (self.latest, latest) if moment is not None]
        return replace(self, latest=max(known, default=None))

    def with_matched(self, batch: int) -> StreamState:
        """Return the state that names the file of a micro-batch's rows with outcome.

        Their keys are needed as long as one of the files that the rows wait in: these hold them
        as well, and without their keys they would be rows without outcome again.
        """
        part = Part(str(batch), max(part.latest for part in self.waiting))
        return replace(self, matched=(*self.matched, part))

    def since(self, watermark: float) -> StreamState:
        """Return the state without files whose rows are all earlier than an event time."""
        return replace(
            self,
            waiting=tuple(part for part in self.waiting if part.latest >= watermark),
            matched=tuple(part for part in self.matched if part.latest >= watermark),
        )

    def committed(
        self, batch: int, before: Totals, seconds: float, prior: CurrentPrior
    ) -> StreamState:
        """Return the state that names a micro-batch as its last one.

        Parameters
        ----------
        before
            The sums without it.
        seconds
            That it took.
        prior
            That it was decided for.
        """
        totals = self.totals
        costs = BatchCosts(
            batch,
            scored=totals.scored - before.scored,
            expected_cost=totals.expected_cost - before.expected_cost,
            constant_cost=totals.constant_cost - before.constant_cost,
            outcomes=totals.outcomes - before.outcomes,
            realised_cost=totals.realised_cost - before.realised_cost,
            share=prior.rare_share,
        )
        history = (*self.history, costs)[-MAX_HISTORY:]
        return replace(self, batch=batch, totals=totals.plus(seconds=seconds), history=history)

    def with_scores(self, scored: Bucket, measure: Moments, rules: StreamRules) -> StreamState:
        """Return the state with the scores of a micro-batch; a drift shortens the recent ones.

        Parameters
        ----------
        measure
            Of the published model's probability of the rarest class.
        """
        if not scored.rows:
            return self
        recent = self.recent.add(scored, WindowLimits(rows=rules.score_rows))
        watched, drift = _watch(replace(self, recent=recent), SCORE, measure)
        if drift is None:
            return watched
        return replace(watched, recent=watched.recent.since(drift.after))

    def with_outcomes(self, labelled: Bucket, loss: Moments, limits: WindowLimits) -> StreamState:
        """Return the state with rows whose outcome has come; a drift shortens their window.

        Parameters
        ----------
        loss
            Of the decided probabilities on these rows.
        """
        if not labelled.rows:
            return self
        longer = replace(self, window=self.window.add(labelled, limits))
        watched, drift = _watch(longer, LOSS, loss)
        if drift is None:
            return watched
        return replace(watched, window=watched.window.since(drift.after))

    def learned(self, batch: LabelledBatch, rules: StreamRules, run: Run) -> StreamState:
        """Return the state whose learner has the window's weights and a round on a micro-batch.

        After a drift, the weights go on and the model stays, if the rules say so.
        """
        window = self.window.total
        if self.learner is None or rules.learner is None or window is None:
            return self
        learner = self.learner.reweighted(window_weights(rules.weights, window, rules.prior))
        if not (self.wants_model and rules.holds):
            factors = outcome_factors(rules.prior, window) if rules.moves_prior else None
            learner = learner.partial_fit(batch, factors, rules.learner, run)
        return replace(self, learner=learner)

    def for_model(self, version: str, learner: OnlineLearner | None) -> StreamState:
        """Return the state for a model; scores, rows that wait and drifts of another are left out.

        Parameters
        ----------
        learner
            That begins at the model; None where it is not to learn.
        """
        if version == self.model_version and (learner is None) == (self.learner is None):
            return self
        return replace(
            self,
            model_version=version,
            window=Window(),
            recent=Window(),
            detectors={LOSS: Adwin(), SCORE: Adwin()},
            drifts=(),
            learner=learner,
            waiting=(),
            matched=(),
        )

    def to_dict(self) -> dict[str, object]:
        """Return the state ready for JSON; `from_dict` reads it back."""
        return {
            "version": VERSION,
            "batch": self.batch,
            "fixed": None if self.fixed is None else self.fixed.to_dict(),
            "model_version": self.model_version,
            "latest": self.latest,
            "window": self.window.to_dict(),
            "recent": self.recent.to_dict(),
            "detectors": {name: one.to_dict() for name, one in self.detectors.items()},
            "drifts": [vars(drift) for drift in self.drifts],
            "learner": None if self.learner is None else self.learner.to_dict(),
            "waiting": [vars(part) for part in self.waiting],
            "matched": [vars(part) for part in self.matched],
            "unmatched": self.unmatched,
            "aside": list(self.aside),
            "totals": vars(self.totals),
            "history": [vars(costs) for costs in self.history],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> StreamState:
        """Read what `to_dict` wrote.

        Raises
        ------
        ModelError
            If another release wrote it.
        """
        if record.get("version") != VERSION:
            raise ModelError(
                f"The stream's state is of version {record.get('version')!r}; this release reads "
                f"version {VERSION}.",
                hint="go on with the release that wrote it, or begin a stream in another folder.",
            )
        learner, fixed = record["learner"], record["fixed"]
        return cls(
            batch=record["batch"],
            fixed=None if fixed is None else FixedSettings.from_dict(fixed),
            model_version=record["model_version"],
            latest=record["latest"],
            window=Window.from_dict(record["window"]),
            recent=Window.from_dict(record["recent"]),
            detectors={name: Adwin.from_dict(one) for name, one in record["detectors"].items()},
            drifts=tuple(Drift(**drift) for drift in record["drifts"]),
            learner=None if learner is None else OnlineLearner.from_dict(learner),
            waiting=tuple(Part(**part) for part in record["waiting"]),
            matched=tuple(Part(**part) for part in record["matched"]),
            unmatched=record["unmatched"],
            aside=tuple(record["aside"]),
            totals=Totals(**record["totals"]),
            # A state of an earlier release of this layout has none.
            history=tuple(BatchCosts(**costs) for costs in record.get("history", ())),
        )


def _watch(state: StreamState, measure: str, moments: Moments) -> tuple[StreamState, Drift | None]:
    """Return the state whose detector has seen a micro-batch, and the drift that it found."""
    detector, change = state.detectors[measure].add(moments)
    watched = replace(state, detectors={**state.detectors, measure: detector})
    if change is None:
        return watched, None
    drift = Drift(moments.batch, measure, change.before, change.since, change.after)
    return replace(watched, drifts=(*state.drifts, drift)), drift
