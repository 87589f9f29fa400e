"""The integrity of bundles: what training writes about its files, and what is checked of it.

A bundle lists the SHA-256 of each of its files in ``manifest.json``, and that of the manifest in
``manifest.sha256``. This finds accidents: a file that is truncated, lost, mixed up or left behind.
Whoever may write into the folder can also write new checksums. A signature (``manifest.hmac``, an
HMAC-SHA256 with a key that is stored elsewhere) finds their changes as well; it covers the
manifest, and so every file and the version. It says that the key's owner trained the model, not
that it is the one that should be in use: ``current`` is not signed.

A bundle consists of regular files, each with one name, and of folders. Every file is read once,
and what is loaded are the bytes that were verified, whatever happens to the files in the meantime.
"""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from sparkweights.core.errors import ModelError
from sparkweights.records.base import stated_text
from sparkweights.records.training import TrainingRecord
from sparkweights.storage.files import as_json
from sparkweights.storage.local_files import FILE, FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkweights.storage.location import Location

CURRENT = "current"
MANIFEST, CHECKSUM, SIGNATURE = "manifest.json", "manifest.sha256", "manifest.hmac"
MAX_BYTES = 2**31  # of a file; the driver holds a bundle in memory
_WRITTEN_LAST = (MANIFEST, CHECKSUM, SIGNATURE)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SIGNED = (
    b"sparkweights bundle\x00"  # a signature of anything else by the same key is none of these
)
_ADVICE = "restore the folder from a copy, or train again."


class SigningKey(bytes):
    """A key that no representation of what holds it shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<key>"


@dataclass(frozen=True)
class VerifiedBundle:
    """The content of a bundle, after every check that its manifest allows.

    Attributes
    ----------
    version
        Its name under the artifacts folder, which is also in its manifest.
    folder
        Where it was read, for messages.
    manifest
        The record of its training.
    files
        Path below the folder -> bytes, without the manifest, its checksum and its signature.
    """

    version: str
    folder: Location
    manifest: TrainingRecord
    files: Mapping[str, bytes] = field(repr=False)

    def write_copy(self, target: Location) -> None:
        """Write the verified files into a folder, for libraries that read files alone.

        Parameters
        ----------
        target
            A folder that nobody else may write to, see `sparkweights.storage.scratch`.

        Raises
        ------
        PublishError
            If that is not possible.
        """
        for path, content in self.files.items():
            (target / path).create(content)


def write_manifest(folder: Location, record: TrainingRecord, key: bytes | None) -> None:
    """Write the manifest of a bundle whose other files are complete, its checksum and signature.

    Parameters
    ----------
    key
        Of the signature; None for a bundle without one.

    Raises
    ------
    PublishError
        If that is not possible.
    """
    files = {
        file.relative_to(folder): sha256(file.read_bytes()).hexdigest() for file in folder.files()
    }
    content = as_json(replace(record, files=files).to_dict()).encode()
    (folder / MANIFEST).create(content)
    (folder / CHECKSUM).create(_line(sha256(content).hexdigest()))
    if key is not None:
        (folder / SIGNATURE).create(_line(_signature(content, key)))


def copy_bundle(staged: Location, target: Location) -> None:
    """Copy a complete bundle to its version, on a storage that cannot rename a folder.

    The manifest is the first file and its checksum the last: a bundle without the checksum is
    incomplete, and refused.

    Raises
    ------
    PublishError
        If that is not possible, or another bundle has that version.
    """
    (target / MANIFEST).create((staged / MANIFEST).read_bytes())
    names = {file.relative_to(staged) for file in staged.files()} - {MANIFEST, CHECKSUM}
    for name in (*sorted(names), CHECKSUM):
        (staged / name).copy(target / name)


def is_incomplete(folder: Location) -> bool:
    """Whether a bundle was copied in part, by a training that was killed."""
    return (folder / MANIFEST).is_file() and not (folder / CHECKSUM).is_file()


def read_bundle(
    artifacts: Location, version: str | None = None, key: bytes | None = None
) -> VerifiedBundle:
    """Read a bundle, and verify every byte of it.

    Parameters
    ----------
    artifacts
        The folder of all versions.
    version
        A version's name, or None for the current one.
    key
        With which its signature is verified; None if none is asked for.

    Raises
    ------
    ModelError
        If there is none; if it holds anything but regular files and folders; if a file is missing,
        altered or added; if it was written as another version; or if a key is given and its
        signature is missing or not by that key.
    """
    try:
        named = _current(artifacts) if version is None else version
        folder = artifacts / _require_name(named)
        present = _list_files(folder)
        content = _verified_manifest(folder, present, key)
        manifest = _parse(folder, content)
        if manifest.version != named:
            raise ModelError(
                f"The model bundle '{folder}' is version '{manifest.version}'; a bundle has the "
                "name under which it was trained.",
                hint="rename the folder to its version, or restore the version from a copy.",
            )
        return VerifiedBundle(named, folder, manifest, _verified_files(folder, present, manifest))
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8 text"
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
        raise ModelError(
            f"A file of the models under '{artifacts}' cannot be read: {reason}.",
            hint="check the permissions of the running user, or restore the folder from a copy.",
        ) from None


def name_in_use(artifacts: Location) -> str | None:
    """Return the name of the configuration whose model is in use, or None if it cannot be read.

    Nothing is verified; `read_bundle` does that.
    """
    try:
        file = artifacts / _require_name(_current(artifacts)) / MANIFEST
        return stated_text(file.read_plain(MAX_BYTES).decode(), "name")
    except (ModelError, OSError, ValueError, RecursionError):
        return None


def containing_bundle(location: Location) -> Location | None:
    """Return the bundle that a location is or lies in; None outside of bundles.

    Nothing may be written there: a file more, and the bundle is refused.
    """
    folders = (location, *location.parents)
    return next((each for each in folders if _is_bundle(each)), None)


def _is_bundle(folder: Location) -> bool:
    try:
        return (folder / CHECKSUM).is_file()
    except PermissionError:  # of a folder above, where nothing is written
        return False


def _current(artifacts: Location) -> str:
    try:
        return (artifacts / CURRENT).read_plain(MAX_BYTES).decode().strip()
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(
            f"No current model under '{artifacts}'.",
            hint="run `sparkweights train` first, or correct artifacts in the configuration.",
        ) from None


def _require_name(version: str) -> str:
    if _VERSION.fullmatch(version) is None:
        raise ModelError(
            "The version of a model is the name of one folder below artifacts (letters, digits, "
            "'.', '_' and '-'), and no path.",
            hint="name a version; for models of another folder set artifacts in the configuration.",
        )
    return version


def _list_files(folder: Location) -> frozenset[str]:
    """Return the paths of all files of a bundle, and refuse what is neither file nor folder."""
    try:
        entries = folder.entries()
    except (FileNotFoundError, NotADirectoryError):
        raise _incomplete(folder, MANIFEST) from None
    for path, kind in sorted(entries.items()):
        if kind not in {FILE, FOLDER}:
            raise ModelError(
                f"The model bundle '{folder}' holds '{path}', a {kind}; a bundle consists of "
                "regular files with one name each, and of folders.",
                hint="restore the folder by copying its files, or train again.",
            )
    files = frozenset(path for path, kind in entries.items() if kind == FILE)
    needed = {above for path in files for above in _folders_above(path)}
    for path in sorted(entries.keys() - files - needed):
        raise _unlisted(folder, path)
    return files


def _folders_above(path: str) -> list[str]:
    above = path.rpartition("/")[0]
    return [above, *_folders_above(above)] if above else []


def _verified_manifest(folder: Location, present: frozenset[str], key: bytes | None) -> bytes:
    for name in (MANIFEST, CHECKSUM):
        if name not in present:
            raise _incomplete(folder, name)
    content = (folder / MANIFEST).read_plain(MAX_BYTES)
    if (folder / CHECKSUM).read_plain(MAX_BYTES) != _line(sha256(content).hexdigest()):
        raise ModelError(
            f"The model bundle '{folder}' was altered: {MANIFEST} does not match {CHECKSUM}.",
            hint=_ADVICE,
        )
    if key is None:
        return content
    if SIGNATURE not in present:
        raise ModelError(
            f"The model bundle '{folder}' has no signature, and one is asked for.",
            hint="train again with signing in the configuration, or name a signed version.",
        )
    signature = (folder / SIGNATURE).read_plain(MAX_BYTES)
    if not hmac.compare_digest(signature, _line(_signature(content, key))):
        raise ModelError(
            f"The signature of the model bundle '{folder}' is not by this key: it was altered, or "
            "signed with another key.",
            hint="check the key, which signing names in a configuration; else restore the folder "
            "from a copy, or train again.",
        )
    return content


def _parse(folder: Location, content: bytes) -> TrainingRecord:
    try:
        stated = json.loads(content)
    except (ValueError, RecursionError):
        stated = None
    if not isinstance(stated, dict):
        raise ModelError(
            f"The {MANIFEST} of the model bundle '{folder}' is not a record.", hint=_ADVICE
        )
    return TrainingRecord.from_dict(stated)


def _verified_files(
    folder: Location, present: frozenset[str], manifest: TrainingRecord
) -> dict[str, bytes]:
    listed = manifest.files
    for name in sorted(listed.keys() - present):
        raise ModelError(f"The model bundle '{folder}' lacks the file '{name}'.", hint=_ADVICE)
    for name in sorted(present - listed.keys() - set(_WRITTEN_LAST)):
        raise _unlisted(folder, name)
    files = dict[str, bytes]()
    for name in sorted(listed):
        content = (folder / name).read_plain(MAX_BYTES)
        if sha256(content).hexdigest() != listed[name]:
            raise ModelError(
                f"The model bundle '{folder}' was altered: '{name}' is not the file that "
                "training wrote (its SHA-256 differs).",
                hint=_ADVICE,
            )
        files[name] = content
    return files


def _incomplete(folder: Location, name: str) -> ModelError:
    return ModelError(
        f"The model bundle '{folder}' has no {name}; it is missing or incomplete.", hint=_ADVICE
    )


def _unlisted(folder: Location, path: str) -> ModelError:
    return ModelError(
        f"The model bundle '{folder}' holds the file or folder '{path}', which its manifest does "
        "not list.",
        hint=_ADVICE,
    )


def _signature(content: bytes, key: bytes) -> str:
    return hmac.new(key, _SIGNED + content, sha256).hexdigest()


def _line(text: str) -> bytes:
    return f"{text}\n".encode()
