"""The model bundle: native Spark models and a manifest with the checksum of every file.

``<artifacts>/<version>/`` holds the models as MLlib saves them, ``manifest.json`` (what the model
is, and the SHA-256 of each file) and ``manifest.sha256``. ``<artifacts>/current`` names the version
in use. A bundle is written in a scratch folder and then renamed, or copied with its checksum last
where the storage cannot rename; nothing in it is a pickle. It is loaded from a private copy of the
bytes that were verified.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark import __version__ as running_spark
from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

from sparkweights.bundle.integrity import CURRENT, copy_bundle, read_bundle, write_manifest
from sparkweights.core.engine_errors import LOADING_ERRORS
from sparkweights.core.errors import ModelError, PublishError, SparkweightsError, spark_message
from sparkweights.core.session_settings import read_setting
from sparkweights.core.versions import release
from sparkweights.evaluation.drift import bins_from_dict
from sparkweights.features.plan import FeaturePlan
from sparkweights.models.base import learner
from sparkweights.models.registry import kinds
from sparkweights.probability.calibration import Calibrator, calibrator_from_dict
from sparkweights.probability.corrections import Ledger
from sparkweights.probability.label_shift import histogram_from_dict, histogram_to_dict
from sparkweights.storage.files import as_json, write_text
from sparkweights.storage.location import Location
from sparkweights.storage.scratch import lasting_scratch_folder, scratch_folder
from sparkweights.storage.shared_folders import require_shared

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkweights.bundle.integrity import VerifiedBundle
    from sparkweights.evaluation.drift import ColumnBins
    from sparkweights.models.base import FittedModel
    from sparkweights.probability.priors import ScoreHistogram
    from sparkweights.records.training import TrainingRecord
    from sparkweights.storage.location import AnyLocation

REFERENCE = "reference.json"
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
        A private copy of its folder, which is removed when the run ends. ``model`` in it is written
        by the learner; ``held_out`` holds the evaluated models where the published one is fitted on
        all rows.
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
    pages: Mapping[str, str],
    promote: bool = True,
    key: bytes | None = None,
) -> Location:
    """Write a bundle, name it by its version, and point ``current`` to it if it is promoted.

    Parameters
    ----------
    record
        Of the training; its ``version`` names the bundle.
    models
        The published model, then those of the record's ``held_out``.
    pages
        The model's report: file name -> text.
    key
        Signs the bundle; None for a bundle without a signature.

    Raises
    ------
    PublishError
        If the folder cannot be written; the old pointer stays.
    """
    version = str(record.version)
    target = artifacts / version
    with scratch_folder(artifacts) as scratch:
        staged = scratch / version
        staged.make_folder()
        folders = [staged / MODEL, *(staged / HELD_OUT / str(i) for i in range(len(models) - 1))]
        for model, folder in zip(models, folders, strict=True):
            model.save(folder)
        reference_record = {
            "scores": histogram_to_dict(reference.scores),
            "bins": [bins.to_dict() for bins in reference.bins],
        }
        (staged / REFERENCE).create(as_json(reference_record).encode())
        for name, text in pages.items():
            (staged / name).create(text.encode())
        write_manifest(staged, record, key)
        try:
            if staged.is_local:
                staged.with_mode(artifacts.mode).settle()
                staged.rename(target)
            else:
                copy_bundle(staged, target)
        except OSError as error:
            raise target.unwritable(error) from None
    if promote:
        _point_to(artifacts, version)
    return target


def _point_to(artifacts: Location, version: str) -> None:
    try:
        write_text(artifacts / CURRENT, version + "\n")
    except PublishError as error:
        raise PublishError(
            error.message,
            hint=f"the model '{version}' WAS published, but is not in use; repair the storage, "
            f"then write its version into '{CURRENT}', or train again.",
        ) from None


def load_bundle(
    artifacts: AnyLocation,
    version: str | None = None,
    *,
    key: bytes | None = None,
    scratch: AnyLocation | None = None,
) -> ModelBundle:
    """Load a bundle after checking every byte of it, for as long as this process runs.

    Parameters
    ----------
    artifacts
        The folder of all versions.
    version
        A version's name, or None for the current one.
    key
        With which its signature is verified; None if none is asked for.
    scratch
        A folder for a private copy until the process ends, which driver and executors share. By
        default that is the folder for temporary files in a session on this machine alone, and
        else ``artifacts``.

    Raises
    ------
    ConfigError
        If the server of a Spark Connect session does not share the folder of the copy.
    ModelError
        If there is none, a file is missing, altered or added, its signature is missing or wrong,
        the Spark that wrote it is newer than the one running, its kind is not in this version of
        the product, or its calibration was written in the form of an older one.
    """
    root = Location.of(artifacts)
    verified = read_bundle(root, version, key)
    if scratch is None:
        scratch = Location.temporary() if _is_on_this_machine() else root
    folder = Location.of(scratch)
    require_shared(SparkSession.active(), folder)
    return _load(verified, lasting_scratch_folder(folder))


@contextmanager
def open_bundle(verified: VerifiedBundle, scratch: Location) -> Iterator[ModelBundle]:
    """Load a verified bundle for the length of a run.

    Parameters
    ----------
    scratch
        A folder that driver and executors share, for a private copy.

    Raises
    ------
    ConfigError, ModelError
        As `load_bundle`.
    """
    require_shared(SparkSession.active(), scratch)
    with scratch_folder(scratch) as folder:
        yield _load(verified, folder)


def _is_on_this_machine() -> bool:
    if is_remote():
        return False
    return (read_setting(SparkSession.active(), "spark.master") or "").startswith("local")


def _load(verified: VerifiedBundle, scratch: Location) -> ModelBundle:
    manifest, version = verified.manifest, verified.version
    _require_spark(manifest.spark, verified.folder)
    kind = manifest.model.kind
    if kind not in kinds():
        raise ModelError(
            f"The model '{version}' is of kind '{kind}'; available: {', '.join(kinds())}.",
            hint="install the package that registers this kind, or the version of sparkweights "
            "that wrote the model; or train it anew.",
        )
    folder = scratch / version
    verified.write_copy(folder)
    calibration = manifest.calibration
    reference = _reference(verified)
    with _content_of(verified):
        return ModelBundle(
            version=version,
            # Only classes that are registered here are loaded; the files cannot name another.
            model=learner(kind).load(folder / MODEL, len(manifest.classes)),
            calibrator=None if calibration is None else calibrator_from_dict(calibration.to_dict()),
            plan=FeaturePlan.from_dict(manifest.features),
            ledger=Ledger.from_dict(manifest.ledger.to_dict()),
            reference=reference,
            manifest=manifest,
            folder=folder,
        )


@contextmanager
def _content_of(verified: VerifiedBundle) -> Iterator[None]:
    """Turn what libraries raise about content that no release has written into a `ModelError`.

    Checksums without a signature do not prove that training wrote it.
    """
    try:
        yield
    except SparkweightsError:
        raise
    except LOADING_ERRORS as error:
        raise ModelError(
            f"The model bundle '{verified.folder}' cannot be loaded by Spark: "
            f"{spark_message(error)}.",
            hint="on a cluster, check that the executors can read the scratch folder; else restore "
            "the bundle from a copy, or train again.",
        ) from None
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(
            f"The model bundle '{verified.folder}' holds what no release of sparkweights writes "
            f"({type(error).__name__}).",
            hint="restore the bundle from a copy, or train again.",
        ) from None


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


def _reference(verified: VerifiedBundle) -> Reference:
    with _content_of(verified):
        summary = json.loads(verified.files[REFERENCE])
        if "scores" not in summary:
            raise ModelError(
                f"The model bundle '{verified.folder}' was written before bundles kept the summary "
                "that tables are compared with.",
                hint="train again.",
            )
        bins = tuple(bins_from_dict(entry) for entry in summary["bins"])
        return Reference(histogram_from_dict(summary["scores"]), bins)


def _require_spark(written: str, folder: Location) -> None:
    if release(written) > release(running_spark):
        raise ModelError(
            f"The model bundle '{folder}' was written by Spark {written}; this is Spark "
            f"{running_spark}, which may not read a newer one's models.",
            hint="run on Spark of that release or newer, or train again here.",
        )
