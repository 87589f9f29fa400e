"""A distillation's report, from its record: how closely the student follows its teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.core.errors import join_names
from sparkweights.report import figures
from sparkweights.report.numbers import NOTHING, amount, count, measure, percent, savings, span
from sparkweights.report.page import BAD, GOOD, Fact, Figure, Page, Section, render_page
from sparkweights.report.sentences import changed_sentence
from sparkweights.report.shared_sections import version_section
from sparkweights.report.tables import table

if TYPE_CHECKING:
    from sparkweights.records import DistillationRecord
    from sparkweights.records.distillation import FidelitySummary

_HEADER = (
    "rows",
    "mean |p_s - p_t|",
    "divergence",
    "log loss, teacher",
    "log loss, student",
    "equal decisions",
    "rank correlation",
)


def distillation_report(record: DistillationRecord) -> str:
    """Return the record of the distilling stage as one HTML file."""
    retained, overall = record.overall.retained, record.overall
    page = Page(
        f"{record.name}: distillation",
        f"Student {record.model_version} ({record.model.words}) of teacher "
        f"{record.teacher.version} ({record.teacher.kind.replace('_', ' ')})",
        (
            student_cost_section(record),
            _fidelity_section(record),
            *_segment_sections(record),
            _teaching_section(record),
            version_section(record.versions, sentence="What a reproduction needs."),
        ),
        (
            Fact(
                "Savings kept",
                percent(retained),
                "of the teacher's, on its test rows",
                GOOD if (retained or 0) > 0 else BAD,
            ),
            Fact("Equal decisions", percent(overall.equal_decisions), "of the test rows"),
            Fact("Test rows", count(overall.rows), "not used to fit either model"),
        ),
    )
    return render_page(page)


def student_cost_section(record: DistillationRecord) -> Section:
    """Return what the decisions of teacher and student cost."""
    overall, costs = record.overall, record.costs
    bars = [
        ("teacher", overall.teacher_cost or 0.0, savings(overall.teacher_savings)),
        ("student", overall.student_cost or 0.0, savings(overall.student_savings)),
    ]
    if overall.teacher_cost is not None and (overall.teacher_savings or 0) > 0:
        constant = overall.teacher_cost / (1 - (overall.teacher_savings or 0))
        bars.append(("one decision for all", constant, savings(0.0)))
    drawn = figures.Costs(tuple(bars), frozenset({"student"}))
    return Section(
        "cost",
        "Cost of a row: what does the smaller model cost?",
        f"{kept_sentence(overall)} {paired_sentence(record)}",
        figure=Figure(
            figures.draw_costs(drawn),
            "Cost of a row by decision rule",
            "Shorter is better. Blue: the student.",
            figures.costs_table(drawn),
        ),
        body=(changed_sentence(costs),),
    )


def kept_sentence(overall: FidelitySummary) -> str:
    """Return how much of the teacher's savings the student keeps."""
    if overall.retained is None:
        return "The teacher saves nothing against one decision for all rows."
    return (
        f"The student saves {savings(overall.student_savings)}, the teacher "
        f"{savings(overall.teacher_savings)}: it keeps {percent(overall.retained)} of them."
    )


def paired_sentence(record: DistillationRecord) -> str:
    """Return what a row costs more with the student, with its interval."""
    costs = record.costs
    return (
        f"A row costs {amount(costs.after - costs.before)} more with the student (95 % interval "
        f"{span(costs.interval)}, paired)."
    )


def fidelity_cells(fidelity: FidelitySummary | None) -> list[str]:
    """Return the measures of fidelity in words, without the number of rows."""
    if fidelity is None:
        return [NOTHING] * (len(_HEADER) - 1)
    return [
        measure(fidelity.mean_difference),
        measure(fidelity.divergence),
        measure(fidelity.teacher_loss),
        measure(fidelity.student_loss),
        percent(fidelity.equal_decisions),
        measure(fidelity.rank_correlation),
    ]


def _fidelity_section(record: DistillationRecord) -> Section:
    named = (("all test rows", record.overall), (f"{record.rare_class} alone", record.rare))
    rows = [(name, count(fidelity.rows), *fidelity_cells(fidelity)) for name, fidelity in named]
    return Section(
        "fidelity",
        "Fidelity: how closely does the student follow?",
        f"Both decide {percent(record.overall.equal_decisions)} of the rows alike, and "
        f"{percent(record.rare.equal_decisions)} of the rows of {record.rare_class}.",
        table=table("Student against teacher", ("", *_HEADER), rows),
        body=(
            (
                "Divergence is Kullback and Leibler's, of the student from the teacher, in nats. "
                f"The rank correlation is Spearman's, of the probability of {record.rare_class}."
            ),
        ),
    )


def _segment_sections(record: DistillationRecord) -> list[Section]:
    if not record.segments:
        return []
    rows = [
        (
            segment.words,
            count(segment.rows),
            *fidelity_cells(segment.fidelity),
            amount(None if segment.fidelity is None else segment.fidelity.teacher_cost),
            amount(None if segment.fidelity is None else segment.fidelity.student_cost),
        )
        for segment in record.segments
    ]
    costs = ("cost of a row, teacher", "cost of a row, student")
    return [
        Section(
            "segments",
            "Fidelity by segment",
            f"Segments of at least {count(record.min_rows)} test rows are measured.",
            table=table("Student against teacher, by segment", ("segment", *_HEADER, *costs), rows),
        )
    ]


def _teaching_section(record: DistillationRecord) -> Section:
    teacher = record.teacher
    exports = join_names(record.exports) if record.exports else "none"
    rows = [
        ("temperature of the teacher's probabilities", f"{teacher.temperature:g}"),
        ("share of the outcome in a target", percent(teacher.hard_share)),
        ("rows without outcome", count(teacher.unlabelled_rows)),
        ("exports", exports),
    ]
    return Section(
        "teaching",
        "Targets: what was the student fitted to?",
        "Each row was fitted on once per class, weighted by the class's weight times the target of "
        "the class; calibration and evaluation are by outcomes.",
        table=table("Settings", ("what", "value"), rows),
    )
