"""Summaries that a person can read at 80 columns."""

from __future__ import annotations

import json
import math
from textwrap import fill
from typing import TYPE_CHECKING, Any

from sparkweights.report.selection_sections import selection_sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from sparkweights.quality.suite import CheckReport

_POLICIES = {
    "ours": "ours (weights undone, cost cut)",
    "with_review": "ours, and a look at the review band",
    "cut_at_half": "cut at probability 0.5",
    "double_count": "weights AND cost cut (double count)",
}


def table(rows: Sequence[Sequence[str]]) -> str:
    """Align rows of text: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def weights_summary(record: Mapping[str, Any]) -> str:
    """Return the class balance before and after weighting."""
    classes = record["classes"]
    bound = any(not math.isclose(e["share_of_risk"], e["share_aimed"]) for e in classes)
    rows: list[tuple[str, ...]] = [
        ("class", "rows", "share of risk", "weighted share", "mean weight")
    ]
    rows += [
        (
            entry["class"],
            f"{entry['rows']:,}",
            f"{entry['prior']:.2%}",
            f"{entry['share_of_risk']:.2%}",
            f"{entry['mean_weight']:.3f}",
        )
        for entry in classes
    ]
    if bound:  # floor or cap keep a class from what the scheme gives it
        aims = ["without bounds", *(f"{entry['share_aimed']:.2%}" for entry in classes)]
        rows = [(*row[:4], aim, *row[4:]) for row, aim in zip(rows, aims, strict=True)]
    effect = record["diagnostics"]
    return (
        f"Weights: scheme {record['rule']['scheme']}, {record['rows']:,} rows\n{table(rows)}\n"
        f"  kish_ess {effect['kish_ess']:,.0f}   imbalance ratio "
        f"{effect['imbalance_ratio']:.2f}   design effect {effect['design_effect']:.2f}\n"
        f"  gradient variance x {effect['gradient_variance']:.2f}"
    )


def _evaluation_tables(found: Mapping[str, Any]) -> str:
    """Return what ways to decide cost, and how good each class's probability is."""
    costs, savings = found["costs"], found["savings"]
    low, high = found["savings_intervals"]["ours"]
    rows = [(f"on {found['rows']:,} test rows", "cost", "savings", "95 % interval")]
    rows += [
        (f"always {name}", f"{costs[f'always_{name}']:,.0f}", "", "") for name in found["decisions"]
    ]
    policies = [policy for policy in reversed(_POLICIES) if policy in costs]
    rows += [
        (
            _POLICIES[policy],
            f"{costs[policy]:,.0f}",
            _share(savings[policy]),
            f"{_share(low)} to {_share(high)}" if policy == "ours" else "",
        )
        for policy in policies
    ]
    measures = [("class", "share", "mean p", "AUC", "avg. prec.", "Brier", "recall")]
    measures += [
        (
            name,
            f"{entry['share']:.4f}",
            f"{entry['mean_probability']:.4f}",
            f"{entry['auc']:.4f}",
            f"{entry['average_precision']:.4f}",
            f"{entry['brier']:.4f}",
            f"{entry['recall']:.3f}",
        )
        for name, entry in found["classes"].items()
    ]
    sentences = _cost_calibration_sentences(found.get("cost_calibration"))
    if found.get("caution"):
        sentences.append(f"note: {found['caution']}")
    told = "".join(f"\n{fill(sentence, 78, initial_indent='  ', subsequent_indent='  ')}"
                   for sentence in sentences)  # fmt: skip
    return f"{table(rows)}\n\n{table(measures)}" + (f"\n{told}" if told else "")


def _cost_calibration_sentences(found: Mapping[str, Any] | None) -> list[str]:
    """Return expected beside realised cost, and a warning for each part where they differ."""
    if found is None or found["total"]["ratio"] is None:
        return []
    total = found["total"]
    ends = ["any" if end is None else f"{end:.2f}" for end in total["interval"]]
    told = [
        f"expected over realised cost: {total['ratio']:.2f} (95 % interval {ends[0]} to {ends[1]})"
    ]
    return told + [f"warning: {warning}" for warning in found["warnings"]]


def _share(value: float) -> str:
    """Return savings with their sign; where no share can be saved, they are not a number."""
    return "n/a" if math.isnan(value) else f"{value:+.3f}"


def evaluate_summary(record: Mapping[str, Any]) -> str:
    """Return what a model is worth on rows with known outcomes, and on which of them."""
    text = (
        f"Model {record['model_version']} ({record['model']['kind']})\n"
        f"{_evaluation_tables(record['evaluation'])}"
    )
    fairness = record.get("fairness")
    over = [f"\n  over the limit: {sentence}" for sentence in (fairness or {}).get("exceeded", ())]
    return text + _segments_table(record["segments"]) + _fairness_table(fairness) + "".join(over)


def _segments_table(segments: Sequence[Mapping[str, Any]]) -> str:
    if not segments:
        return ""
    rows = [("segment", "rows", "savings", "cost per row")]
    for one in segments:
        name = ", ".join(f"{key} {value}" for key, value in one["segment"].items())
        if one["measured"]:
            told = (_share(one["savings"]), f"{one['cost'] / one['weight']:,.2f}")
        else:
            told = ("", "too few rows")
        rows.append((name[:40], f"{one['rows']:,}", *told))
    return f"\n\n{table(rows)}"


def _fairness_table(found: Mapping[str, Any] | None) -> str:
    """Return who gets the favourable decision, group by group."""
    if found is None:
        return ""
    rows: list[tuple[str, ...]] = [
        (f"who gets {found['favourable']}", "rows", "share", "ratio", "TPR", "FPR")
    ]
    for own in found["columns"]:
        for group in own["groups"]:
            rates = group["rates"]
            rows.append((
                f"{own['column']} {group['group']}"[:34],
                f"{group['rows']:,}",
                *(_plain(value, ".3f") for value in (
                    rates["acceptance"]["value"], group["ratio"]["value"],
                    rates["true_positive_rate"]["value"], rates["false_positive_rate"]["value"],
                )),
            ))  # fmt: skip
    told = [
        f"  {own['column']}: {sum(own['small'].values()):,} rows in groups of fewer than "
        f"{found['min_rows']:,} are counted, not measured"
        for own in found["columns"]
        if own["small"]
    ]
    told += [f"  column {name} {why}" for name, why in found["unmeasured"].items()]
    return "\n\n" + "\n".join([table(rows), *told])


def _plain(value: float | None, form: str) -> str:
    return "" if value is None or math.isnan(value) else f"{value:{form}}"


def backtest_summary(record: Mapping[str, Any]) -> str:
    """Return cost, AUC and calibration by origin, and whether they change with time."""
    names = list(record["origins"][0]["classes"])[1:]
    header = ["known until", "fit rows", "test rows", "cost per row", "savings"]
    header += [f"{word} {name}" for name in names for word in ("share", "mean p", "AUC")]
    rows = [tuple(header)]
    for one in record["origins"]:
        cells = [one["after"], f"{one['rows']['fit']:,}", f"{one['rows']['test']:,}"]
        cells += [f"{one['cost']:,.2f}", _share(one["savings"])]
        for name in names:
            own = one["classes"][name]
            cells += [f"{own['share']:.4f}", f"{own['mean_probability']:.4f}", f"{own['auc']:.4f}"]
        rows.append(tuple(cells))
    lines = []
    for name, trend in record["trends"].items():
        if trend is None:
            lines.append(f"  {name}: too few origins to tell a trend")
            continue
        low, high = trend["interval"]
        verdict = "changes" if trend["shown"] else "no change shown"
        lines.append(
            f"  {name}: {trend['slope']:+.4g} from origin to origin "
            f"(95 % interval {low:+.4g} to {high:+.4g}): {verdict}"
        )
    return f"Backtest by {record['by']} ({record['model']['kind']})\n{table(rows)}\n\n" + "\n".join(
        lines
    )


def train_summary(record: Mapping[str, Any]) -> str:
    """Return what the model is worth on its test rows."""
    costs = record["evaluation"]["costs"]
    text = (
        f"Model {record['version']} ({record['model']['kind']}, "
        f"weights {record['weights']['rule']['scheme']})\n"
        f"{_evaluation_tables(record['evaluation'])}"
    )
    if "double_count" in costs:
        text += (
            "\n  warning: the double count prices probabilities that still carry the cost "
            "weights;\n  it is shown as the mistake it is, and scoring refuses it."
        )
    calibration = record["calibration"]
    if calibration is not None:
        text += f"\n  Calibration: {calibration['method']}. {calibration['reason']}"
    if record.get("selection") is not None:
        text += f"\n  {selection_sentence(record['selection'])}"
    return text + _refit_summary(record["refit"]) + _contest_summary(record["contest"])


def _refit_summary(refit: Mapping[str, Any]) -> str:
    """Return which rows the published model learned from, where they are not the fit rows."""
    if refit["rows"] == "fit":
        return ""
    return (
        f"\n  Evaluated on rows that the evaluated models were not fitted on; the published model\n"
        f"  is fitted on all rows, its calibration on {refit['folds']} held-out folds "
        f"({refit['reason']})."
    )


def _contest_summary(contest: Mapping[str, Any]) -> str:
    """Return how the new model did beside the one in use, and whether it replaces it."""
    use = "It is in use now." if contest["promoted"] else "It is NOT in use; the other one stays."
    if contest["champion"] is None:
        return "" if contest["promoted"] else "\n  It is NOT in use (promote: never)."
    costs = contest["costs"]
    if costs is None:
        return f"\n  Not compared with {contest['champion']}: {contest['obstacle']}.\n  {use}"
    low, high = costs["interval"]
    return (
        f"\n  Against {contest['champion']}, on {costs['rows']:,} rows unseen by both: "
        f"{costs['verdict']}\n  (cost per row {costs['before']:,.2f} -> {costs['after']:,.2f}; "
        f"95 % interval of the change {low:+,.2f} to {high:+,.2f}).\n"
        f"  {_changed_sentence(costs)}\n  {use}"
    )


def _changed_sentence(costs: Mapping[str, Any]) -> str:
    """Return how many rows of each class are decided differently, and whether they are enough."""
    counts = ", ".join(f"{rows:,.0f} {name}" for name, rows in costs["changed"].items())
    text = f"Decided differently: {counts}."
    if costs["scarce"]:
        text += f"\n  At least {costs['needed']} of each class are needed to show which is cheaper."
    return text


def tune_summary(record: Mapping[str, Any]) -> str:
    """Return what each candidate cost, the choice, and whether weighting matters."""
    names = list(record["chosen"]["params"])
    rows = [("weight ratio", *names, "cost per row", "over best", "s.e.", "savings", "")]
    for trial in record["trials"]:
        ratio = "as configured" if trial["ratio"] is None else f"{trial['ratio']:,.4g}"
        marks = [word for word in ("best", "chosen") if trial == record[word]]
        rows.append((
            ratio,
            *(str(trial["params"][name]) for name in names),
            f"{trial['cost']:,.2f}",
            f"{trial['difference']:,.2f}",
            f"{trial['difference_error']:,.2f}",
            f"{trial['savings']:+.3f}",
            " and ".join(marks),
        ))  # fmt: skip
    folds = record["folds"]
    references = ", ".join(f"{name} {ratio:.3g}" for name, ratio in record["references"].items())
    return (
        f"Tuning of {record['model']['kind']}: {record['rows']:,} fit rows, {folds['number']} "
        f"folds by {folds['by']}\n{table(rows)}\n  ratios of the schemes here: {references}\n"
        f"  {_effect_sentence(record['effect'])}\n"
        f"  settings: {json.dumps(record['settings'])}"
    )


def _effect_sentence(effect: Mapping[str, Any] | None) -> str:
    if effect is None:
        return (
            "Candidates with and without weights were not both tried, so the worth of\n  weights "
            "is not known; begin tune.ratio at 1 and end it above to learn it."
        )
    low, high = effect["interval"]
    ratio = "as configured" if effect["ratio"] is None else f"ratio {effect['ratio']:.4g}"
    found = (
        f"{ratio} instead of 1 saves {effect['saving']:+,.2f} a row\n  (95 % interval "
        f"{low:+,.2f} to {high:+,.2f}, for all {effect['compared']} weighted candidates together)"
    )
    if effect["matters"]:
        return f"Weighting pays, and the settings have it: {found}."
    few = "\n  Too few rows are decided differently to know." if effect["scarce"] else ""
    return f"Weighting is not shown to pay, so the settings have none: {found}.{few}"


def explain_summary(record: Mapping[str, Any]) -> str:
    """Return what each column is worth to the model in use and to its unweighted twin."""
    rows = [("not knowing it costs, a row", "weighted", "s.e.", "unweighted", "rank", "change")]
    for entry in record["columns"]:
        change = entry["rank_change"]
        rows.append((
            entry["column"],
            f"{entry['cost']:,.2f}",
            f"{entry['standard_error']:,.2f}",
            f"{entry['unweighted_cost']:,.2f}",
            str(entry["rank"]),
            f"{change:+d}" if change else "",
        ))  # fmt: skip
    return (
        f"Columns of model {record['model_version']}, on {record['rows']:,} test rows\n"
        f"{table(rows)}\n  change: places that weighting moves the column up"
    )


def score_summary(manifest: Mapping[str, Any]) -> str:
    """Return what a scoring run did."""
    counts = manifest["rows"]
    costs = manifest["expected_cost"]
    rows = [("rows in", f"{counts['incoming']:,}")]
    rows += [(f"  {name}", f"{counts[name]:,}") for name in ("scored", "unscorable", "quarantined")]
    rows += [(f"unscorable for: {why}", f"{n:,}") for why, n in [*manifest["faults"].items()][:3]]
    rows += [(f"decision {name}", f"{n:,}") for name, n in manifest["decisions"].items()]
    rows += [
        (f"expected cost, {name.replace('_', ' ')}", f"{cost:,.0f}") for name, cost in costs.items()
    ]
    rows += [(f"first reason: {text}", f"{n:,}") for text, n in [*manifest["reasons"].items()][:3]]
    return f"Scored {manifest['run_date']} with model {manifest['model_version']}\n{table(rows)}"


def monitor_summary(record: Mapping[str, Any]) -> str:
    """Return how far a table is from what the model was made for."""
    drift = record["drift"]
    ranked = sorted(drift["columns"].items(), key=lambda item: -item[1])
    rows = [("stability index", "today", "limit", "p-value")]
    measured = [
        (f"probability of {name}", value, record["score_p_values"][name])
        for name, value in record["scores"].items()
    ]
    measured += [(name, value, drift["p_values"][name]) for name, value in ranked[:8]]
    rows += [
        (name[:48], f"{value:.3f}", f"{drift['limit']:g}", f"{p_value:.2g}")
        for name, value, p_value in measured
    ]
    shift = record["label_shift"]
    estimated = shift["estimates"].get("saerens_em")
    shares = [("share of the class", "model", "mean probability today", "estimated today")]
    shares += [
        (
            name,
            f"{before:.4f}",
            f"{shift['mean_probabilities'][name]:.4f}",
            "" if estimated is None else f"{estimated['shares'][name]:.4f}",
        )
        for name, before in shift["prior"].items()
    ]
    lines = [f"  over the limit: {sentence}" for sentence in record["exceeded"]]
    notes = [f"  {text}" for text in (shift["sentence"], *record["diagnosis"].values())]
    return (
        f"Table '{record['table']}' ({record['rows']:,} rows) beside model "
        f"{record['model_version']}\n{table(rows)}\n\n{table(shares)}\n"
        + "\n".join(notes)
        + _fairness_table(record.get("fairness"))
        + "\n"
        + "\n".join(lines or ["  nothing is over its limit"])
    )


def check_summary(report: CheckReport) -> str:
    """Return a suite's verdict and each expectation's."""
    rows = [("expectation", "severity", "verdict")]
    for result in sorted(report.results, key=lambda r: (r.success, r.severity)):
        verdict = "ok" if result.success else "error" if result.error else "FAILED"
        if not result.success and result.unexpected is not None:
            verdict = f"FAILED on {result.unexpected:,}"
        subject = result.type.removeprefix("expect_").removeprefix("column_values_to_")
        name = subject if result.column is None else f"{result.column}: {subject}"
        rows.append((name[:48], result.severity, verdict))
    verdict = "passes" if report.success else "FAILS"
    told = "".join(f"\n  {result.sentence}" for result in report.results if result.error)
    return f"Table '{report.table}' {verdict} suite '{report.suite}'\n{table(rows)}{told}"


def suggest_summary(suite: dict[str, Any], target: PathLike[str]) -> str:
    """Return what a proposed suite expects, and what to do with it."""
    rows = [("expectation", "severity", "of")]
    for entry in suite["expectations"]:
        kwargs = entry["kwargs"]
        subject = entry["type"].removeprefix("expect_").removeprefix("column_values_to_")
        name = subject if "column" not in kwargs else f"{kwargs['column']}: {subject}"
        limits = [kwargs[key] for key in ("min_value", "max_value", "mostly") if key in kwargs]
        values = kwargs.get("value_set", limits)
        rows.append((name[:48], entry["severity"], ", ".join(map(str, values))[:40]))
    return (
        f"{len(suite['expectations'])} expectations proposed, in {target}\n{table(rows)}\n"
        "Read them, change them, and name the file under checks."
    )
