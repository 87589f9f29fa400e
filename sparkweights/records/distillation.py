"""The record of the distilling stage: a student beside its teacher."""

from __future__ import annotations

from collections.abc import Mapping

from sparkweights.records.base import Measure, Part, Record, part, segment_words
from sparkweights.records.learner import ModelSummary
from sparkweights.records.training import ComparisonCosts, TeacherSummary


@part
class FidelitySummary(Part):
    """How closely a student follows its teacher; see `sparkweights.evaluation.fidelity.Fidelity`.

    Losses and the divergence are in nats, costs are those of a row.
    """

    rows: int
    mean_difference: Measure
    divergence: Measure
    teacher_loss: Measure
    student_loss: Measure
    equal_decisions: Measure
    teacher_cost: Measure
    student_cost: Measure
    teacher_savings: Measure
    student_savings: Measure
    rank_correlation: Measure

    @property
    def retained(self) -> float | None:
        """The student's savings over the teacher's; None where the teacher saves nothing."""
        teacher, student = self.teacher_savings, self.student_savings
        if teacher is None or student is None or teacher <= 0:
            return None
        return student / teacher


@part
class SegmentFidelity(Part):
    """A segment of the test rows.

    Attributes
    ----------
    segment
        Column -> its value in the segment; None is missing.
    rows
        How many.
    fidelity
        None where the rows are too few to be measured.
    """

    segment: Mapping[str, str | None]
    rows: int
    fidelity: FidelitySummary | None

    @property
    def words(self) -> str:
        """The segment in words."""
        return segment_words(self.segment)


@part
class DistillationRecord(Record):
    """The distilling stage, on test rows that neither model was fitted on.

    Attributes
    ----------
    teacher
        The teacher, and what the student was taught.
    model_version, model
        The student.
    rare_class
        The class with the fewest rows.
    overall, rare
        On all test rows, and on those of the rare class.
    segments, min_rows
        By ``evaluate.by``; a segment of fewer rows is counted and not measured.
    costs
        Paired on the same rows: of the teacher before, of the student after.
    exports
        The files that compute the same as the student.
    """

    name: str
    teacher: TeacherSummary
    model_version: str
    model: ModelSummary
    rare_class: str
    overall: FidelitySummary
    rare: FidelitySummary
    segments: tuple[SegmentFidelity, ...]
    min_rows: int
    costs: ComparisonCosts
    exports: tuple[str, ...]
    versions: Mapping[str, str]
