"""The monitor stage: whether a table still is one that the model was made for."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import (
    class_index,
    column,
    require_columns,
    require_kind,
    require_label,
)
from sparkweights.config.consistency import ESTIMATE
from sparkweights.costs import cost_columns
from sparkweights.decision import (
    cheapest_decision,
    collect_histogram,
    estimate_shift,
    expected_costs,
)
from sparkweights.decision.odds import bend
from sparkweights.evaluate.stability import count_bins, score_stability, stability_index
from sparkweights.pipeline.admitting import require_model
from sparkweights.pipeline.deciding import SET_ASIDE, is_usable, mark
from sparkweights.pipeline.fairness import FairnessResult, collect_fairness
from sparkweights.pipeline.scoring import Scorer
from sparkweights.quality import compile_suite, load_suite
from sparkweights.quality.gate import CERTAIN
from sparkweights.report import drift_sections, fragment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import Column, DataFrame

    from sparkweights.config import Config
    from sparkweights.decision import LabelShift
    from sparkweights.decision.priors import ScoreHistogram
    from sparkweights.storage import ModelBundle

USABLE = "__usable"


@dataclass(frozen=True)
class Calibration:
    """Of one class, on rows that get a decision and whose outcome is known.

    What happened, and what was predicted.
    """

    rows: int
    share: float
    mean_probability: float


@dataclass(frozen=True)
class Monitored:
    """The monitor stage's record.

    Attributes
    ----------
    rows
        Of the table.
    columns
        Feature column -> its stability index (CSI).
    scores
        Class -> the stability index of its probability (PSI); of two classes the second.
    shift
        What the scores say of tonight's class shares.
    assumed
        The class shares that decisions are taken for: the model's own, or those that the
        configuration states.
    calibration
        Class -> its calibration; empty where no outcome is known.
    overrides
        Share of the rows whose decision was another than the model's; None where not known.
    quarantined
        Share of the rows that scoring would set aside.
    exceeded
        A sentence per limit that is passed.
    fairness
        How decisions differ between groups; None where the configuration does not ask for it.
    """

    rows: int
    columns: Mapping[str, float]
    scores: Mapping[str, float]
    shift: LabelShift
    assumed: Mapping[str, float]
    calibration: Mapping[str, Calibration]
    overrides: float | None
    quarantined: float
    exceeded: tuple[str, ...] = ()
    fairness: FairnessResult | None = None

    def _repr_html_(self) -> str:
        drift = {"measure": "CSI", "columns": dict(self.columns)}
        return "".join(map(fragment, drift_sections(drift)))


def monitor(df: DataFrame, config: Config, bundle: ModelBundle, *, table: str) -> Monitored:
    """Compare a table with the reference in a model's bundle.

    One pass counts features by bin; one scores the rows, and sums what is known of outcomes and
    overrides.

    Parameters
    ----------
    table
        Its role, for messages.

    Raises
    ------
    InputError
        If a column is missing, or no row can be scored.
    ModelError
        If the model tells other classes apart than the configuration names.
    """
    scorer = Scorer.of(bundle)
    require_model(df.schema, config, scorer, bundle.manifest["schema"], table=table)
    decided = [*filter(None, [config.monitor.decided])]
    require_columns(df.schema, decided, table=table)
    require_kind(df.schema, decided, ("text",), table=table, role="decided")
    if config.roles.label in df.columns:
        require_label(df.schema, config.roles, table=table)
    today = count_bins(df, bundle.reference.bins)
    columns = {
        own.name: stability_index(before.counts, own.counts)
        for before, own in zip(bundle.reference.bins, today, strict=True)
    }
    marked_df = _marked(df, config)
    scored_df = scorer.score(marked_df.withColumn(USABLE, is_usable(scorer)))
    scores = collect_histogram(scored_df.filter(USABLE), scorer.probability_cols)
    shift = estimate_shift(bundle.reference.scores, scores, scorer.ledger.prior)
    assumed = _assumed(config, shift)
    found = Monitored(
        columns=columns,
        scores=_score_indices(bundle.reference.scores, scores, scorer),
        shift=shift,
        assumed=scorer.ledger.prior if assumed is None or _is_estimated(config) else assumed,
        **_known(scored_df, config, scorer, assumed),
    )
    fairness = _fairness(scored_df.filter(USABLE), config, bundle, assumed)
    exceeded = (*_exceeded(found, config), *(fairness.exceeded if fairness else ()))
    return Monitored(**{**vars(found), "exceeded": exceeded, "fairness": fairness})


def _fairness(
    scored_df: DataFrame,
    config: Config,
    bundle: ModelBundle,
    assumed: Mapping[str, float] | None,
) -> FairnessResult | None:
    """Compare how the decisions that scoring would take differ between groups, if wanted."""
    if config.fairness is None:
        return None
    scorer = Scorer.of(bundle)
    return collect_fairness(
        scored_df,
        config,
        natural=_natural(scorer, assumed),
        index=_outcome(scored_df, config),
        right=bundle.manifest["evaluation"]["right_decisions"],
        prior=scorer.ledger.prior,
    )


def _natural(scorer: Scorer, assumed: Mapping[str, float] | None) -> list[Column]:
    """Return the probabilities that scoring prices: moved to the assumed shares, if any."""
    ours = [column(name) for name in scorer.probability_cols]
    if assumed is None:
        return ours
    prior = scorer.ledger.prior
    return bend(ours, [F.lit(assumed[name] / prior[name]) for name in scorer.classes])


def _score_indices(
    reference: ScoreHistogram, scores: ScoreHistogram, scorer: Scorer
) -> dict[str, float]:
    names = scorer.classes[1:] if len(scorer.classes) == 2 else scorer.classes  # noqa: PLR2004 (two mirror each other)
    return {
        name: score_stability(
            reference.of_cell,
            scores.of_cell,
            (
                reference.probabilities[:, scorer.classes.index(name)],
                scores.probabilities[:, scorer.classes.index(name)],
            ),
        )
        for name in names
    }


def _marked(df: DataFrame, config: Config) -> DataFrame:
    """Append whether scoring would put a row into quarantine."""
    if config.checks.incoming is None:
        return mark(df, config, None)
    suite = load_suite(config.path(config.checks.incoming))
    return mark(df, config, compile_suite(df, suite, table="incoming"))


def _is_estimated(config: Config) -> bool:
    return config.decision.target_prior == ESTIMATE


def _assumed(config: Config, shift: LabelShift) -> Mapping[str, float] | None:
    """Return the class shares that scoring moves its probabilities to, if it does."""
    wanted = config.decision.target_prior
    if not isinstance(wanted, str):
        return wanted
    return shift.target_prior() if _is_estimated(config) else None


def _known(
    scored_df: DataFrame, config: Config, scorer: Scorer, assumed: Mapping[str, float] | None
) -> dict[str, Any]:
    """Return the rows, and what outcomes and decisions say where the table holds them."""
    ours = _natural(scorer, assumed)
    index = F.when(F.col(USABLE), _outcome(scored_df, config)).otherwise(-1)
    measures = [F.count(F.lit(1)).alias("rows"), F.count_if(index >= 0).alias("known")]
    measures.append(F.count_if(F.col(SET_ASIDE)).alias("set_aside"))
    for c, own in enumerate(ours):
        measures.append(F.count_if(index == c).alias(f"rows_{c}"))
        measures.append(F.avg(F.when(index >= 0, own)).alias(f"mean_{c}"))
    if config.monitor.decided is not None:
        costs = expected_costs(ours, cost_columns(config.matrix))
        decision = cheapest_decision(costs, config.matrix.decisions)
        differs = F.when(F.col(USABLE), column(config.monitor.decided) != decision)
        measures.append(F.avg(differs.cast("double")).alias("overrides"))
    found = scored_df.agg(*measures).first()
    assert found is not None  # noqa: S101 (an aggregate without groups has its row)
    calibration = {
        name: Calibration(found["known"], found[f"rows_{c}"] / found["known"], found[f"mean_{c}"])
        for c, name in enumerate(scorer.classes)
        if found["known"]
    }
    return {
        "rows": found["rows"],
        "calibration": calibration,
        "overrides": None if config.monitor.decided is None else found["overrides"],
        "quarantined": found["set_aside"] / found["rows"],
    }


def _outcome(df: DataFrame, config: Config) -> Column:
    if config.roles.label not in df.columns:
        return F.lit(-1)
    return class_index(config.roles)


def _exceeded(found: Monitored, config: Config) -> list[str]:
    """Return a sentence per limit that is passed, the worst column first."""
    limits = config.monitor
    ranked = sorted(found.columns.items(), key=lambda item: -item[1])
    indices = [(f"column {name}", value) for name, value in ranked]
    indices += [(f"the probability of {name}", value) for name, value in found.scores.items()]
    told = [
        f"{subject} has a stability index of {value:.3f}; the limit is {limits.psi:g}"
        for subject, value in indices
        if value > limits.psi
    ]
    told += [*_moved_shares(found, limits.shift), *_missed_shares(found, limits.calibration)]
    if found.overrides is not None and found.overrides > limits.overrides:
        told.append(
            f"{found.overrides:.1%} of the decisions were overridden; the limit is "
            f"{limits.overrides:.1%}"
        )
    most = config.checks.max_quarantined
    if found.quarantined > most:
        told.append(
            f"{found.quarantined:.1%} of the rows would be quarantined; the limit is {most:.1%}"
        )
    return told


def _moved_shares(found: Monitored, most: float) -> Iterator[str]:
    shares = found.shift.target_prior() or {}
    for name, natural in zip(found.shift.classes, found.shift.prior, strict=True):
        share, before = shares.get(name, natural), found.assumed[name]
        if abs(share / before - 1) > most:
            yield (
                f"the share of {name} is estimated at {share:.2%}; decisions are taken for "
                f"{before:.2%}, and it may differ by {most:.0%} of that"
            )


def _missed_shares(found: Monitored, most: float) -> Iterator[str]:
    for name, own in found.calibration.items():
        error = sqrt(own.share * (1 - own.share) / own.rows)
        off = abs(own.mean_probability - own.share)
        if off > max(most * own.share, CERTAIN * error):
            yield (
                f"the mean probability of {name} is {own.mean_probability:.4f} where "
                f"{own.share:.4f} happened; it may miss by {most:.0%}"
            )
