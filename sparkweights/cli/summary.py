"""Summaries of records for an 80-column terminal, with the same sentences and numbers as pages."""

from __future__ import annotations

import json
from textwrap import fill
from typing import TYPE_CHECKING, Any

from sparkweights.core.errors import join_names
from sparkweights.records.evaluation import DOUBLE_COUNT, MODEL
from sparkweights.records.runs import DECISIONS_TAKEN, expectation_words
from sparkweights.report.check_sections import check_verdict, sort_by_urgency
from sparkweights.report.distillation_report import (
    fidelity_cells,
    kept_sentence,
    paired_sentence,
)
from sparkweights.report.numbers import (
    amount,
    count,
    index,
    measure,
    number,
    p_value,
    percent,
    ratio,
    savings,
    savings_span,
    span,
)
from sparkweights.report.population_sections import ranked_columns
from sparkweights.report.sentences import (
    calibration_sentence,
    changed_sentence,
    comparison_sentence,
    constant_name,
    cost_calibration_sentence,
    effect_sentence,
    fairness_notes,
    policy_costs,
    ratio_name,
    selection_sentence,
    sentence_of,
    trend_cells,
)
from sparkweights.report.stream_report import stream_facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkweights.records import (
        BackfillRecord,
        BacktestRecord,
        CheckRecord,
        DistillationRecord,
        EvaluationRecord,
        ImportanceRecord,
        MonitoringRecord,
        RunRecord,
        StreamRecord,
        TrainingRecord,
        TuningRecord,
        VacuumRecord,
        WeightsRecord,
    )
    from sparkweights.records.evaluation import EvaluationSummary, Segment
    from sparkweights.records.fairness import FairnessSummary
    from sparkweights.records.runs import DateOutcome
    from sparkweights.records.training import ChampionComparison, Refit

_MAX_COLUMNS = 8  # rows of a drift table
_MAX_TEXTS = 3  # reasons or faults listed
_WIDTH = 78


def table(rows: Sequence[Sequence[str]]) -> str:
    """Align rows of text: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def _paragraphs(sentences: Sequence[str]) -> str:
    """Return each sentence as an indented paragraph; an empty text where there are none."""
    return "".join(
        f"\n{fill(text, _WIDTH, initial_indent='  ', subsequent_indent='  ')}" for text in sentences
    )


def weights_summary(record: WeightsRecord) -> str:
    """Return the class balance before and after weighting."""
    rows: list[tuple[str, ...]] = [
        ("class", "rows", "share of rows", "share of risk", "mean weight")
    ]
    rows += [
        (
            entry.name,
            count(entry.rows),
            percent(entry.prior),
            percent(entry.share_of_risk),
            number(entry.mean_weight),
        )
        for entry in record.classes
    ]
    if any(entry.is_bounded for entry in record.classes):
        aimed_shares = ["without bounds", *(percent(entry.share_aimed) for entry in record.classes)]
        rows = [(*row[:4], aim, *row[4:]) for row, aim in zip(rows, aimed_shares, strict=True)]
    effect = record.diagnostics
    return (
        f"Weights: scheme {record.rule.scheme}, {count(record.rows)} rows\n{table(rows)}\n"
        f"  kish_ess {count(effect.kish_ess)}   imbalance ratio "
        f"{number(effect.imbalance_ratio)}   design effect {number(effect.design_effect)}\n"
        f"  gradient variance x {number(effect.gradient_variance)}"
    )


def _evaluation_tables(evaluation: EvaluationSummary) -> str:
    """Return the costs of decision rules, and the measures of each class's probability."""
    interval = evaluation.savings_intervals.get(MODEL)
    rows = [(f"on {count(evaluation.rows)} test rows", "cost", "savings")]
    rows += [(name, amount(cost), saved) for name, cost, saved in policy_costs(evaluation)]
    measures = [("class", "share", "mean p", "AUC", "avg. prec.", "Brier", "recall")]
    measures += [
        (
            name,
            percent(measures_of_class.share),
            percent(measures_of_class.mean_probability),
            measure(measures_of_class.auc),
            measure(measures_of_class.average_precision),
            measure(measures_of_class.brier),
            percent(measures_of_class.recall),
        )
        for name, measures_of_class in evaluation.classes.items()
    ]
    sentences = []
    if interval is not None:
        sentences.append(f"95 % interval of this model's savings: {savings_span(interval)}.")
    if evaluation.cost_calibration is not None:
        sentences.append(cost_calibration_sentence(evaluation.cost_calibration))
        sentences += [f"warning: {text}" for text in evaluation.cost_calibration.warnings]
    if evaluation.caution:
        sentences.append(f"note: {evaluation.caution}")
    return f"{table(rows)}\n\n{table(measures)}\n{_paragraphs(sentences)}"


def evaluate_summary(record: EvaluationRecord) -> str:
    """Return a model's costs and measures on rows with known outcomes, overall and by segment."""
    return (
        f"Model {record.model_version} ({record.model.words})\n"
        f"{_evaluation_tables(record.evaluation)}"
        f"{_segments_table(record.segments)}{_fairness_table(record.fairness)}"
        f"{_exceeded(() if record.fairness is None else record.fairness.exceeded)}"
    )


def _exceeded(sentences: Sequence[str]) -> str:
    return _paragraphs([f"over the limit: {sentence}" for sentence in sentences])


def _segments_table(segments: Sequence[Segment]) -> str:
    if not segments:
        return ""
    rows = [("segment", "rows", "savings", "cost of a row")]
    for segment in segments:
        cells = (savings(segment.savings), amount(segment.cost_per_row))
        rows.append(
            (
                segment.words[:40],
                count(segment.rows),
                *(cells if segment.measured else ("", "too few rows")),
            )
        )
    return f"\n\n{table(rows)}"


def _fairness_table(summary: FairnessSummary | None) -> str:
    """Return the rates of the favourable decision by group."""
    if summary is None:
        return ""
    rows: list[tuple[str, ...]] = [
        (f"who gets {summary.favourable}", "rows", "share", "ratio", "TPR", "FPR")
    ]
    rows += [
        (
            f"{column.column} {group.group}"[:34],
            count(group.rows),
            percent(group.rates["acceptance"].value),
            ratio(group.ratio.value),
            percent(group.rates["true_positive_rate"].value),
            percent(group.rates["false_positive_rate"].value),
        )
        for column in summary.columns
        for group in column.groups
    ]
    return f"\n\n{table(rows)}{_paragraphs(fairness_notes(summary))}"


def backtest_summary(record: BacktestRecord) -> str:
    """Return cost, AUC and calibration by origin, and whether they change with time."""
    names = list(record.origins[0].classes)[1:]
    header = ["known until", "fit rows", "test rows", "cost of a row", "savings"]
    header += [f"{word} {name}" for name in names for word in ("share", "mean p", "AUC")]
    rows = [header]
    for origin in record.origins:
        cells = [origin.after, count(origin.rows["fit"]), count(origin.rows["test"])]
        cells += [amount(origin.cost), savings(origin.savings)]
        for name in names:
            measures = origin.classes[name]
            cells += [
                percent(measures.share),
                percent(measures.mean_probability),
                measure(measures.auc),
            ]
        rows.append(cells)
    trends: list[tuple[str, ...]] = [("change from origin to origin", "", "95 % interval", "")]
    trends += [(name, *trend_cells(trend)) for name, trend in record.trends.items()]
    return f"Backtest by {record.by} ({record.model.words})\n{table(rows)}\n\n{table(trends)}"


def train_summary(record: TrainingRecord) -> str:
    """Return the model's costs and measures on its test rows."""
    sentences = []
    if DOUBLE_COUNT in record.evaluation.costs:
        sentences.append(
            "warning: costs are counted twice where probabilities that are not corrected for the "
            "weights are priced; scoring refuses that."
        )
    if record.calibration is not None:
        sentences.append(f"Calibration: {calibration_sentence(record.calibration)}")
    if record.selection is not None:
        sentences.append(selection_sentence(record.selection))
    sentences += [*_refit_sentences(record.refit), *_comparison_sentences(record.comparison)]
    return (
        f"Model {record.version} ({record.model.words}, weights {record.weights.rule.scheme})\n"
        f"{_evaluation_tables(record.evaluation)}{_paragraphs(sentences)}"
    )


def _refit_sentences(refit: Refit) -> list[str]:
    """Return which rows the published model was fitted on, where they are not the fit rows."""
    if refit.rows == "fit":
        return []
    return [
        (
            "Evaluated on rows that the evaluated models were not fitted on; the published model "
            f"is fitted on all rows, its calibration on {refit.folds} held-out folds "
            f"({refit.reason})."
        )
    ]


def _comparison_sentences(comparison: ChampionComparison) -> list[str]:
    """Return the comparison of the new model with the champion, and whether it replaces it."""
    if comparison.champion is None and comparison.promoted:
        return []
    costs = comparison.costs
    if costs is None:
        return [comparison_sentence(comparison)]
    return [
        (
            f"Against {comparison.champion}, on {count(costs.rows)} rows unseen by both: cost of a "
            f"row {amount(costs.before)} -> {amount(costs.after)}, 95 % interval of the change "
            f"{span(costs.interval)}."
        ),
        changed_sentence(costs),
        comparison_sentence(comparison),
    ]


def tune_summary(record: TuningRecord) -> str:
    """Return the cost of each candidate, the choice, and the effect of weighting."""
    names = list(record.chosen.params)
    rows = [("weight ratio", *names, "cost of a row", "over best", "s.e.", "savings", "")]
    for trial in record.trials:
        marks = {"best": record.best, "chosen": record.chosen}
        rows.append((
            ratio_name(trial.ratio),
            *(str(trial.params[name]) for name in names),
            amount(trial.cost),
            amount(trial.difference),
            amount(trial.difference_error),
            savings(trial.savings),
            " and ".join(word for word, marked in marks.items() if trial == marked),
        ))  # fmt: skip
    by = record.folds.by if isinstance(record.folds.by, str) else ", ".join(record.folds.by)
    references = ", ".join(f"{name} {number(value)}" for name, value in record.references.items())
    return (
        f"Tuning of {record.model.words}: {count(record.rows)} fit rows, {record.folds.number} "
        f"folds by {by}\n{table(rows)}\n  weight ratios of the schemes: {references}"
        f"{_paragraphs([effect_sentence(record.effect, record.chosen.ratio)])}\n"
        f"  settings: {json.dumps(record.settings)}"
    )


def explain_summary(record: ImportanceRecord) -> str:
    """Return each column's importance to the model in use and to its unweighted baseline."""
    rows = [
        ("cost of permuting the column, a row", "weighted", "s.e.", "unweighted", "rank", "change")
    ]
    rows += [
        (
            entry.column,
            amount(entry.cost),
            amount(entry.standard_error),
            amount(entry.unweighted_cost),
            str(entry.rank),
            f"{entry.rank_change:+d}" if entry.rank_change else "",
        )
        for entry in record.columns
    ]
    return (
        f"Columns of model {record.model_version}, on {count(record.rows)} test rows\n"
        f"{table(rows)}\n  change: ranks that the column rises by weighting"
    )


def distill_summary(record: DistillationRecord) -> str:
    """Return how closely a student follows its teacher, and what its decisions cost."""
    overall, rare = record.overall, record.rare
    rows = [
        ("on the teacher's test rows", "all", record.rare_class),
        ("rows", count(overall.rows), count(rare.rows)),
        *zip(
            (
                "mean |p_student - p_teacher|",
                "divergence from the teacher, nats",
                "log loss of the teacher",
                "log loss of the student",
                "equal decisions",
                "rank correlation",
            ),
            fidelity_cells(overall),
            fidelity_cells(rare),
            strict=True,
        ),
    ]
    sentences = [kept_sentence(overall), paired_sentence(record)]
    if record.exports:
        sentences.append(f"Exported: {join_names(record.exports)}.")
    return (
        f"Student {record.model_version} ({record.model.words}) of teacher "
        f"{record.teacher.version}\n{table(rows)}{_paragraphs(sentences)}"
    )


def score_summary(record: RunRecord) -> str:
    """Return the row counts, decisions and costs of a scoring run."""
    counts = record.rows
    rows = [
        ("rows in", count(counts.incoming)),
        ("  scored", count(counts.scored)),
        ("  unscorable", count(counts.unscorable)),
        ("  quarantined", count(counts.quarantined)),
        *_first(record.faults, "unscorable for"),
        *((f"decision {name}", count(n)) for name, n in record.decisions.items()),
        ("expected cost, decisions taken", amount(record.expected_cost[DECISIONS_TAKEN])),
        *(
            (f"expected cost, {constant_name(name)}", amount(cost))
            for name, cost in record.constant_costs.items()
        ),
        ("expected savings", savings(record.expected_savings)),
        *_first(record.reasons, "first reason"),
    ]
    return f"Scored {record.run_date} with model {record.model_version}\n{table(rows)}"


def backfill_summary(record: BackfillRecord) -> str:
    """Return what became of each date of a backfill."""
    title = f"Scored {len(record.scored)} of {len(record.dates)} dates"
    rows = [(one.run_date, *_outcome_cells(one)) for one in record.dates]
    head = ("date", "rows in", "scored", "set aside", "")
    return title if not rows else f"{title}\n{table([head, *rows])}"


def vacuum_summary(record: VacuumRecord) -> str:
    """Return what runs have left behind."""
    done = [one for one in record.leftovers if one.removed or not record.removed]
    total = sum(one.bytes for one in done)
    verb = "Removed" if record.removed else "Found"
    lines = [f"{verb} {len(done)} leftovers, {count(total)} bytes"]
    lines += [f"  {one.path}  ({one.reason})" for one in done]
    lines += record.failures
    if record.leftovers and not record.removed:
        lines.append("Nothing was removed; the same with --remove does so.")
    return "\n".join(lines)


def _outcome_cells(one: DateOutcome) -> tuple[str, ...]:
    if one.rows is None:
        return ("", "", "", "not begun" if one.exit_code is None else f"exit {one.exit_code}")
    counts = (one.rows.incoming, one.rows.scored, one.rows.set_aside)
    return (*map(count, counts), "scored")


def _first(texts: Mapping[str, int], what: str) -> list[tuple[str, str]]:
    return [(f"{what}: {text}", count(n)) for text, n in list(texts.items())[:_MAX_TEXTS]]


def monitor_summary(record: MonitoringRecord) -> str:
    """Return how far a table differs from the model's reference rows."""
    drift = record.drift
    rows = [("stability index", "today", "limit", "p-value")]
    measured: list[tuple[str, float | None, float | None]] = [
        (f"probability of {name}", value, record.score_p_values[name])
        for name, value in record.scores.items()
    ]
    measured += [
        (name, value, drift.p_values.get(name))
        for name, value in ranked_columns(drift)[:_MAX_COLUMNS]
    ]
    rows += [
        (name[:48], index(value), number(drift.limit), p_value(chance))
        for name, value, chance in measured
    ]
    shift = record.label_shift
    estimated = shift.estimates.get("saerens_em")
    shares = [("share of the class", "model", "mean probability today", "estimated today")]
    shares += [
        (
            name,
            percent(before),
            percent(shift.mean_probabilities[name]),
            "" if estimated is None else percent(estimated.shares[name]),
        )
        for name, before in shift.prior.items()
    ]
    notes = map(sentence_of, (shift.sentence, *record.diagnosis.values()))
    verdict = _exceeded(record.exceeded) or "\n  no measure is over its limit"
    return (
        f"Table '{record.table}' ({count(record.rows)} rows) compared with model "
        f"{record.model_version}\n{table(rows)}\n\n{table(shares)}{_paragraphs([*notes])}"
        f"{_fairness_table(record.fairness)}{verdict}"
    )


def check_summary(record: CheckRecord) -> str:
    """Return the verdicts of a suite and of each expectation."""
    rows = [("expectation", "severity", "verdict")]
    rows += [
        (result.subject[:48], result.severity, check_verdict(result))
        for result in sort_by_urgency(record.results)
    ]
    verdict = "passes" if record.success else "FAILS"
    errors = [f"{result.subject}: {result.error}" for result in record.results if result.error]
    return (
        f"Table '{record.table}' {verdict} suite "
        f"'{record.suite}'\n{table(rows)}{_paragraphs(errors)}"
    )


def suggest_summary(suite: Mapping[str, Any], target: str) -> str:
    """Return the expectations of a proposed suite, and the next step."""
    rows = [("expectation", "severity", "of")]
    for entry in suite["expectations"]:
        kwargs = entry["kwargs"]
        name = expectation_words(entry["type"], kwargs.get("column"))
        limits = [kwargs[key] for key in ("min_value", "max_value", "mostly") if key in kwargs]
        values = kwargs.get("value_set", limits)
        rows.append((name[:48], entry["severity"], ", ".join(map(str, values))[:40]))
    return (
        f"{len(suite['expectations'])} expectations proposed, in {target}\n{table(rows)}\n"
        "Read them, change them, and name the file under checks."
    )


def stream_summary(record: StreamRecord) -> str:
    """Return where a stream stands."""
    rows = [(head, value) for head, value in stream_facts(record) if value]
    notes = [sentence_of(drift.sentence) for drift in record.drifts[-_MAX_TEXTS:]]
    return (
        f"Stream {record.name}: {record.status} after micro-batch {record.batch}\n{table(rows)}"
        f"{_paragraphs(notes)}"
    )
