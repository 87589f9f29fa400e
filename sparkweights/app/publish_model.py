"""Publish a trained model: comparison with the one in use, record, bundle and exports."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from sparkweights.bundle.bundle import Reference, publish_bundle
from sparkweights.bundle.integrity import read_bundle
from sparkweights.export.files import export_files
from sparkweights.report import pages_of
from sparkweights.training.champion import compare_with_champion
from sparkweights.training.records import model_version, training_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame

    from sparkweights.config.schema import Config
    from sparkweights.core.progress import Progress
    from sparkweights.evaluation.selection import Selection
    from sparkweights.records import TrainingRecord
    from sparkweights.records.training import TeacherSummary
    from sparkweights.spec.training import TrainingSpec
    from sparkweights.storage.tables import TableSource
    from sparkweights.training.data import WeightingResult
    from sparkweights.training.train import TrainingResult


class LabelledTable(NamedTuple):
    """The labelled rows that models learn from; why others were left out -> how many; the table."""

    df: DataFrame
    spec: TrainingSpec
    left_out: Mapping[str, int]
    source: TableSource


def publish_model(
    config: Config,
    table: LabelledTable,
    class_weights: WeightingResult,
    trained: TrainingResult,
    *,
    selection: Selection | None,
    progress: Progress,
    key: bytes | None,
    teacher: TeacherSummary | None = None,
) -> TrainingRecord:
    """Compare a model with the champion, and publish its bundle.

    The configuration's ``promote`` decides whether it is promoted.

    Parameters
    ----------
    key
        Signs the bundle; None for a bundle without a signature.
    teacher
        Of a student.
    """
    labelled_df, spec, left_out, _ = table
    artifacts = config.path(config.artifacts)
    progress.step("comparing with the model in use")
    comparison = compare_with_champion(
        labelled_df, spec, trained, artifacts, config.promote, key=key
    )
    if comparison.champion is not None and comparison.obstacle is not None:
        progress.warn(
            f"Model {comparison.champion} could not be compared with: {comparison.obstacle}."
        )
    now = datetime.now(UTC)
    progress.step("publishing the model")
    record = training_record(
        config.name,
        spec,
        labelled_df.schema,
        class_weights,
        trained,
        comparison=comparison,
        selection=selection,
        left_out=left_out,
        settings=config.resolve(labelled_df.columns).fingerprint(),
        now=now,
    )
    version = model_version(config.fingerprint(), now)
    record = replace(record, version=version, teacher=teacher)
    publish_bundle(
        artifacts,
        record,
        models=[trained.scorer.model, *(held_out.model for held_out in trained.held_out)],
        reference=Reference(trained.scores, trained.bins),
        pages=pages_of(record),
        promote=comparison.promoted,
        key=key,
    )
    return record


def export_model(
    config: Config, record: TrainingRecord, forms: Sequence[str], key: bytes | None
) -> list[str]:
    """Write a published model in other languages; return the names of the files.

    Raises
    ------
    ModelError
        If it has no export.
    PublishError
        If the files cannot be written.
    """
    if not forms:
        return []
    artifacts, version = config.path(config.artifacts), str(record.version)
    contents = export_files(read_bundle(artifacts, version, key), forms)
    for name, content in contents.items():
        (artifacts / "export" / version / name).write_bytes(content)
    return list(contents)
