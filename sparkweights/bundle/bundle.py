"""The model bundle: native Spark models and a manifest with the checksum of every file.

``<artifacts>/<version>/`` holds the models as MLlib saves them, ``manifest.json`` (what the model
is, and the SHA-256 of each file) and ``manifest.sha256``. ``<artifacts>/current`` names the version
in use. A bundle is written below another name and then renamed; nothing in it is a pickle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyspark import __version__ as running_spark

from sparkweights.core.errors import ModelError
from sparkweights.core.versions import release
from sparkweights.evaluation.drift import bins_from_dict
from sparkweights.features.plan import FeaturePlan
from sparkweights.models.base import learner
from sparkweights.models.registry import kinds
from sparkweights.probability.calibration import Calibrator, calibrator_from_dict
from sparkweights.probability.corrections import Ledger
from sparkweights.probability.label_shift import histogram_from_dict, histogram_to_dict
from sparkweights.records.base import stated_name
from sparkweights.records.training import TrainingRecord
from sparkweights.storage.files import sha256, write_json, write_text
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkweights.evaluation.drift import ColumnBins
    from sparkweights.models.base import FittedModel
    from sparkweights.probability.priors import ScoreHistogram
    from sparkweights.storage.location import AnyLocation

CURRENT, MANIFEST, CHECKSUM = "current", "manifest.json", "manifest.sha256"
REFERENCE, REPORT = "reference.json", "report.html"
MODEL, HELD_OUT = "model", "held_out"


@dataclass(frozen=True)
class Reference:
    """A summary of labelled rows that a model was not fitted on, to compare later tables with.

    Attributes
    ----------
    scores
        Their probabilities, by class.
    bins
        How the values of each feature column fall into bins.
    """

    scores: ScoreHistogram
    bins: tuple[ColumnBins, ...]


@dataclass(frozen=True)
class HeldOutModel:
    """A model beside the published one, which was not fitted on the rows it is evaluated on."""

    model: FittedModel
    calibrator: Calibrator | None
    plan: FeaturePlan


@dataclass(frozen=True)
class ModelBundle:
    """A fitted model with all that scoring needs.

    Attributes
    ----------
    version
        Its name under the artifacts folder.
    model
        The fitted model.
    calibrator
        Fitted on held-out rows, or None.
    plan
        How rows become feature vectors.
    ledger
        The reweightings of its training data, which scoring inverts.
    reference
        The summary of rows that tables are compared with.
    manifest
        The record of its training, as written.
    folder
        Its folder. ``model`` in it is written by the learner; ``held_out`` holds the evaluated
        models where the published one is fitted on all rows.
    """

    version: str
    model: FittedModel
    calibrator: Calibrator | None
    plan: FeaturePlan
    ledger: Ledger
    reference: Reference
    manifest: TrainingRecord
    folder: Location

    @property
    def kind(self) -> str:
        """The kind of learner that fitted it."""
        return self.model.kind


def publish_bundle(
    artifacts: Location,
    record: TrainingRecord,
    *,
    models: Sequence[FittedModel],
    reference: Reference,
    report: str,
    promote: bool = True,
) -> Location:
    """Write a bundle, rename it to its version, and point ``current`` to it if it is promoted.

    Parameters
    ----------
    record
        Of the training; its ``version`` names the bundle.
    models
        The published model, then those of the record's ``held_out``.
    report
        The model's report, as HTML.

    Raises
    ------
    PublishError
        If the folder cannot be written; the old pointer stays.
    """
    version = str(record.version)
    staged = artifacts / f"_staging-{version}"
    staged.remove()
    staged.make_folder()
    folders = [staged / MODEL, *(staged / HELD_OUT / str(i) for i in range(len(models) - 1))]
    for model, folder in zip(models, folders, strict=True):
        model.save(folder)
    reference_record = {
        "scores": histogram_to_dict(reference.scores),
        "bins": [bins.to_dict() for bins in reference.bins],
    }
    write_json(staged / REFERENCE, reference_record)
    write_text(staged / REPORT, report)
    files = {file.relative_to(staged): sha256(file) for file in staged.files()}
    write_json(staged / MANIFEST, replace(record, files=files).to_dict())
    write_text(staged / CHECKSUM, sha256(staged / MANIFEST) + "\n")
    target = artifacts / version
    try:
        staged.rename(target)
    except OSError as error:
        staged.remove()
        raise target.unwritable(error) from None
    if promote:
        write_text(artifacts / CURRENT, version + "\n")
    return target


def name_in_use(artifacts: Location) -> str | None:
    """Return the name of the configuration whose model is in use, or None if it cannot be read.

    Nothing is verified; `load_bundle` does that.
    """
    try:
        return stated_name((artifacts / _current(artifacts) / MANIFEST).read_text())
    except (ModelError, OSError, ValueError):
        return None


def load_bundle(artifacts: AnyLocation, version: str | None = None) -> ModelBundle:
    """Load a bundle after checking every byte of it.

    Parameters
    ----------
    artifacts
        The folder of all versions.
    version
        A version's name, or None for the current one.

    Raises
    ------
    ModelError
        If there is none, a file is missing, altered or added, the Spark that wrote it is newer
        than the one running, its kind is not in this version of the product, or its calibration
        was written in the form of an older one.
    """
    root = Location.of(artifacts)
    try:
        if version is None:
            version = _current(root)
        folder = root / version
        manifest = _verified_manifest(folder)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ModelError(
            f"A file of the models under '{root}' cannot be read: {reason}.",
            hint="check the permissions of the running user, or restore the folder from a copy.",
        ) from None
    _require_spark(manifest.spark, folder)
    kind = manifest.model.kind
    if kind not in kinds():
        raise ModelError(
            f"The model '{version}' is of kind '{kind}'; available: {', '.join(kinds())}.",
            hint="install the package that registers this kind, or the version of sparkweights "
            "that wrote the model; or train it anew.",
        )
    # Only classes that are registered here are loaded; the files cannot name another.
    calibration = manifest.calibration
    return ModelBundle(
        version=version,
        model=learner(kind).load(folder / "model", len(manifest.classes)),
        calibrator=None if calibration is None else calibrator_from_dict(calibration.to_dict()),
        plan=FeaturePlan.from_dict(manifest.features),
        ledger=Ledger.from_dict(manifest.ledger.to_dict()),
        reference=_reference(folder),
        manifest=manifest,
        folder=folder,
    )


def load_held_out(bundle: ModelBundle) -> tuple[HeldOutModel, ...]:
    """Load the models that were evaluated, where they are not the published one.

    Only evaluations, comparisons and explanations need them; scoring does not.
    """
    kind, classes = learner(bundle.kind), len(bundle.manifest.classes)
    return tuple(
        HeldOutModel(
            kind.load(bundle.folder / HELD_OUT / str(position), classes),
            None
            if summary.calibration is None
            else calibrator_from_dict(summary.calibration.to_dict()),
            bundle.plan if summary.features is None else FeaturePlan.from_dict(summary.features),
        )
        for position, summary in enumerate(bundle.manifest.held_out)
    )


def _reference(folder: Location) -> Reference:
    summary = json.loads((folder / REFERENCE).read_text())
    if "scores" not in summary:
        raise ModelError(
            f"The model bundle '{folder}' was written before bundles kept the summary that tables "
            "are compared with.",
            hint="train again.",
        )
    bins = tuple(bins_from_dict(entry) for entry in summary["bins"])
    return Reference(histogram_from_dict(summary["scores"]), bins)


def _current(artifacts: Location) -> str:
    try:
        return (artifacts / CURRENT).read_text().strip()
    except OSError:
        raise ModelError(
            f"No current model under '{artifacts}'.",
            hint="run `sparkweights train` first, or correct artifacts in the configuration.",
        ) from None


def _verified_manifest(folder: Location) -> TrainingRecord:
    advice = "restore the folder from a copy, or train again."
    for name in (MANIFEST, CHECKSUM):
        if not (folder / name).is_file():
            raise ModelError(
                f"The model bundle '{folder}' has no {name}; it is missing or incomplete.",
                hint=advice,
            )
    if (folder / CHECKSUM).read_bytes() != f"{sha256(folder / MANIFEST)}\n".encode():
        raise ModelError(
            f"The model bundle '{folder}' was altered: {MANIFEST} does not match {CHECKSUM}.",
            hint=advice,
        )
    manifest = TrainingRecord.from_dict(json.loads((folder / MANIFEST).read_text()))
    checksums = manifest.files
    present = {file.relative_to(folder): file for file in folder.files()}
    for name in (MANIFEST, CHECKSUM):
        present.pop(name)
    for name in sorted(checksums.keys() | present.keys()):
        if name not in present:
            raise ModelError(f"The model bundle '{folder}' lacks the file '{name}'.", hint=advice)
        if name not in checksums:
            raise ModelError(
                f"The model bundle '{folder}' holds the file '{name}', which its manifest does "
                "not list.",
                hint=advice,
            )
        if sha256(present[name]) != checksums[name]:
            raise ModelError(
                f"The model bundle '{folder}' was altered: '{name}' is not the file that "
                "training wrote (its SHA-256 differs).",
                hint=advice,
            )
    return manifest


def _require_spark(written: str, folder: Location) -> None:
    if release(written) > release(running_spark):
        raise ModelError(
            f"The model bundle '{folder}' was written by Spark {written}; this is Spark "
            f"{running_spark}, which may not read a newer one's models.",
            hint="run on Spark of that release or newer, or train again here.",
        )
