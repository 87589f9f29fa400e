"""The context of a scoring run: estimates from the whole table, computed before rows are scored.

Each is a pass over the table and a step of the clock.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkweights.core.columns import optional_weight
from sparkweights.costs.review import collect_review_cutoff
from sparkweights.probability.label_shift import NO_SHIFT, collect_histogram, estimate_shift
from sparkweights.scoring.plan import ScoringContext, is_usable, passing
from sparkweights.spec.scoring import NATURAL

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from sparkweights.probability.priors import ScoreHistogram
    from sparkweights.scoring.clock import Clock
    from sparkweights.scoring.plan import ScoringPlan
    from sparkweights.scoring.scorer import Scorer


def prepare_context(
    marked_df: DataFrame,
    plan: ScoringPlan,
    scorer: Scorer,
    reference: ScoreHistogram,
    clock: Clock,
) -> ScoringContext:
    """Estimate the table's class shares and the review cutoff, where configured.

    Parameters
    ----------
    marked_df
        Incoming rows, see `ScoringPlan.mark`.
    reference
        The scores of the rows that the model was evaluated on.
    clock
        Measures each pass.
    """
    context = _apply_target_prior(marked_df, plan, scorer, reference, clock)
    review = plan.spec.problem.review
    if review is None:
        return context
    with clock.step("review", "choosing rows to review"):
        passing_df = passing(marked_df)
        priced_df = plan.price(passing_df, context.scorer)
        weight = plan.review_weight(passing_df)
        cutoff = collect_review_cutoff(priced_df, plan.gain_of_review(), review.capacity, weight)
    return replace(context, cutoff=cutoff)


def _apply_target_prior(
    marked_df: DataFrame,
    plan: ScoringPlan,
    scorer: Scorer,
    reference: ScoreHistogram,
    clock: Clock,
) -> ScoringContext:
    """Return the context whose scorer applies the configured target prior, if any."""
    target_prior, spec = plan.spec.target_prior, plan.spec
    if target_prior == NATURAL:
        return ScoringContext(scorer)
    if not isinstance(target_prior, str):
        return ScoringContext(scorer.with_target_prior(target_prior))
    usable_df = marked_df.filter(is_usable(scorer))
    if usable_df.isEmpty():
        return ScoringContext(scorer)  # the gates report the empty table
    with clock.step("estimate_shares", "estimating class shares"):
        scored_df = scorer.score(usable_df)
        weight = optional_weight(scored_df.schema, spec.problem.roles)
        scores = collect_histogram(scored_df, scorer.probability_cols, weight=weight)
        shift = estimate_shift(reference, scores, scorer.ledger.prior, max_shift=spec.max_shift)
    if shift.verdict != NO_SHIFT:
        clock.progress.warn(f"{shift.sentence[:1].upper()}{shift.sentence[1:]}.")
    target = shift.target_prior()
    if target is None:
        return ScoringContext(scorer, shift)
    return ScoringContext(scorer.with_target_prior(target), shift)
