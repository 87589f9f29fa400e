"""Training as of several moments of the past, each model evaluated on the rows after its moment.

At each origin a model learns from the rows before it (whose outcome was known by then), is
calibrated on the latest of these, and decides about the rows up to the next origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

from sparkweights.core.errors import ConfigError
from sparkweights.evaluation.score_table import ratio
from sparkweights.evaluation.trend import LEVEL, Trend, weighted_trend
from sparkweights.records.evaluation import MODEL
from sparkweights.sampling.period import Span
from sparkweights.sampling.split import (
    Split,
    collect_earlier_quantiles,
    collect_moments,
    moment_text,
    part,
    time_kind,
    time_order,
)
from sparkweights.training.data import PART
from sparkweights.training.evaluate import evaluate, least_cost_decisions
from sparkweights.training.train import fit_parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame

    from sparkweights.core.progress import Progress
    from sparkweights.evaluation.evaluation import Evaluation
    from sparkweights.evaluation.intervals import Interval
    from sparkweights.spec.settings import Backtest as BacktestSettings
    from sparkweights.spec.training import TrainingSpec
    from sparkweights.training.data import WeightingResult

_Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)


@dataclass(frozen=True)
class Origin:
    """The backtest at one moment of the past.

    Attributes
    ----------
    after
        The moment before which outcomes were known to the model, as text.
    rows
        Rows to fit, to calibrate and to evaluate.
    evaluation
        On the rows up to the next origin.
    """

    after: str
    rows: Mapping[str, int]
    evaluation: Evaluation

    @property
    def cost(self) -> float:
        """The cost of a row of sample weight 1."""
        return self.evaluation.cost(MODEL) / self.evaluation.weight

    @property
    def cost_interval(self) -> Interval:
        """The 95 % interval of `cost`."""
        low, high = self.evaluation.cost_interval(MODEL)
        return low / self.evaluation.weight, high / self.evaluation.weight

    @property
    def savings(self) -> float:
        """See `Evaluation.savings`."""
        return self.evaluation.savings(MODEL)

    @property
    def savings_interval(self) -> Interval:
        """The 95 % interval of `savings`."""
        return self.evaluation.savings_interval(MODEL)


@dataclass(frozen=True)
class Backtest:
    """The result of a backtest.

    Attributes
    ----------
    origins
        In the order of time.
    trends
        ``cost``, ``savings``, and of each class but the first ``auc <class>`` and
        ``calibration <class>`` (mean probability over share): change from origin to origin. None
        with too few origins for a trend.
    """

    by: str
    origins: tuple[Origin, ...]
    trends: Mapping[str, Trend | None]


def backtest(
    labelled_df: DataFrame,
    spec: TrainingSpec,
    settings: BacktestSettings,
    class_weights: WeightingResult,
    progress: Progress,
) -> Backtest:
    """Train and evaluate at each origin.

    Two aggregations find the origins; each origin then runs the jobs of a training. Class
    weights are those of the whole table: they are inverted, so only their sizes matter.

    Raises
    ------
    ConfigError
        If there is no ``split.by``.
    InputError
        If an origin leaves too few rows of a class to fit, to calibrate or to evaluate.
    """
    by = spec.split.by
    if by is None:
        raise ConfigError(
            "evaluate --backtest: split.by is missing; a backtest needs a time column.",
            hint="name a date, timestamp or number under split.by.",
        )
    kind = time_kind(labelled_df.schema[by].dataType, by)
    order, origins = time_order(labelled_df, by), []
    least_cost = least_cost_decisions(spec.problem.matrix, class_weights.summary)
    for split in _splits(labelled_df, spec, settings, by, kind):
        _, origin = next(iter(split.boundaries.values()))
        after = moment_text(origin, kind)
        progress.step(f"training as of {after}")
        divided_df = labelled_df.withColumn(PART, part(split, spec.problem.roles, order))
        with fit_parts(divided_df, spec, class_weights, progress) as model:
            evaluation = evaluate(
                model.test_df,
                model.finished.scorer,
                spec.problem,
                least_cost,
                grouped=bool(spec.split.group),
            )
        origins.append(Origin(after, model.counts.rows, evaluation))
    return Backtest(by, tuple(origins), _trends(origins, spec.problem.roles.class_names))


def _splits(
    labelled_df: DataFrame, spec: TrainingSpec, settings: BacktestSettings, by: str, kind: str
) -> list[Split]:
    """Return the split of each origin."""
    shares = spec.split
    steps = [settings.share * i / settings.origins for i in range(settings.origins)]
    moments = collect_moments(labelled_df, by, [1 - settings.share + step for step in steps])
    last_known = [_known_before(moment, spec, kind) for moment in moments]
    calibrating = shares.calibrate / (1 - shares.test)
    firsts = collect_earlier_quantiles(labelled_df, by, last_known, 1 - calibrating)
    gap = Span.parse(shares.gap or 0, where="split.gap")
    return [
        Split(
            by,
            dict.fromkeys(spec.problem.roles.class_names, (first, origin)),
            ends=(gap.before(first, kind, where="split.gap"), last),
            until=until,
        )
        for first, last, origin, until in zip(
            firsts, last_known, moments, [*moments[1:], None], strict=True
        )
    ]


def _known_before(origin: float, spec: TrainingSpec, kind: str) -> float:
    """Return the last moment whose outcomes were known, and are used, at an origin."""
    spans = {"gap": spec.split.gap, "mature": spec.split.mature}
    return min(
        Span.parse(span or 0, where=f"split.{name}").before(origin, kind, where=f"split.{name}")
        for name, span in spans.items()
    )


def _trends(origins: Sequence[Origin], classes: Sequence[str]) -> dict[str, Trend | None]:
    trends = {
        "cost": weighted_trend(
            [evaluation.cost for evaluation in origins],
            [_error(evaluation.cost_interval) for evaluation in origins],
        ),
        "savings": weighted_trend(
            [evaluation.savings for evaluation in origins],
            [_error(evaluation.savings_interval) for evaluation in origins],
        ),
    }
    for name in classes[1:]:
        evaluations = [evaluation.evaluation.classes[name] for evaluation in origins]
        trends[f"auc {name}"] = weighted_trend(
            [evaluation.auc for evaluation in evaluations],
            [_error(evaluation.intervals["auc"]) for evaluation in evaluations],
        )
        trends[f"calibration {name}"] = weighted_trend(
            [evaluation.mean_probability / evaluation.share for evaluation in evaluations],
            [
                _share_error(origin, name) / evaluation.share
                for origin, evaluation in zip(origins, evaluations, strict=True)
            ],
        )
    return trends


def _share_error(origin: Origin, name: str) -> float:
    """Return the standard error of a class's share s: s (1 - s) sqrt(1 / n_1 + 1 / n_0).

    n_1 and n_0 are the effective rows of the class and of the others (Kish 1965).
    """
    share = origin.evaluation.tables[name].prior
    of_class, others = origin.evaluation.effective_rows(name)
    return share * (1 - share) * sqrt(ratio(1, of_class) + ratio(1, others))


def _error(interval: Interval) -> float:
    low, high = interval
    return (high - low) / (2 * _Z)
