"""The files of a bundle, verified by their checksums, without Spark."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkweights.core.errors import ModelError
from sparkweights.records.training import TrainingRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.storage.location import Location

CURRENT, MANIFEST, CHECKSUM = "current", "manifest.json", "manifest.sha256"


@dataclass(frozen=True)
class VerifiedBundle:
    """The content of a bundle, after every check that its manifest allows.

    Attributes
    ----------
    version
        Its name under the artifacts folder.
    folder
        Where it was read, for messages.
    manifest
        The record of its training.
    files
        Path below the folder -> bytes, without the manifest and its checksum.
    """

    version: str
    folder: Location
    manifest: TrainingRecord
    files: Mapping[str, bytes] = field(repr=False)


def read_bundle(artifacts: Location, version: str | None = None) -> VerifiedBundle:
    """Read a bundle, and verify every byte of it.

    Parameters
    ----------
    artifacts
        The folder of all versions.
    version
        A version's name, or None for the current one.

    Raises
    ------
    ModelError
        If there is none, or a file is missing, altered or added, or cannot be read.
    """
    try:
        named = _current(artifacts) if version is None else version
        folder = artifacts / named
        return VerifiedBundle(named, folder, *_verified(folder))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ModelError(
            f"A file of the models under '{artifacts}' cannot be read: {reason}.",
            hint="check the permissions of the running user, or restore the folder from a copy.",
        ) from None


def _current(artifacts: Location) -> str:
    try:
        return (artifacts / CURRENT).read_text().strip()
    except OSError:
        raise ModelError(
            f"No current model under '{artifacts}'.",
            hint="run `sparkweights train` first, or correct artifacts in the configuration.",
        ) from None


def _verified(folder: Location) -> tuple[TrainingRecord, dict[str, bytes]]:
    advice = "restore the folder from a copy, or train again."
    for name in (MANIFEST, CHECKSUM):
        if not (folder / name).is_file():
            raise ModelError(
                f"The model bundle '{folder}' has no {name}; it is missing or incomplete.",
                hint=advice,
            )
    stated = (folder / MANIFEST).read_bytes()
    if (folder / CHECKSUM).read_bytes() != f"{_sha256(stated)}\n".encode():
        raise ModelError(
            f"The model bundle '{folder}' was altered: {MANIFEST} does not match {CHECKSUM}.",
            hint=advice,
        )
    manifest = TrainingRecord.from_dict(json.loads(stated))
    checksums, files = manifest.files, dict[str, bytes]()
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
        files[name] = present[name].read_bytes()
        if _sha256(files[name]) != checksums[name]:
            raise ModelError(
                f"The model bundle '{folder}' was altered: '{name}' is not the file that "
                "training wrote (its SHA-256 differs).",
                hint=advice,
            )
    return manifest, files


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
