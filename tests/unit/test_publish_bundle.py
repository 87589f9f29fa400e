"""A bundle is published whole, for its readers alone, whatever else happens in the folder."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from sparkweights.bundle.bundle import Reference, publish_bundle
from sparkweights.bundle.integrity import is_incomplete, read_bundle
from sparkweights.core.errors import ModelError, PublishError
from sparkweights.evaluation.drift import bins_from_dict
from sparkweights.probability.label_shift import histogram_from_dict
from sparkweights.records.training import TrainingRecord
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from sparkweights.models.base import FittedModel

MODELS = Path(__file__).parents[1] / "golden" / "before" / "models"
TRAINED = MODELS / (MODELS / "current").read_text().strip()
KEY = b"a key of thirty-two random bytes"


@dataclass(frozen=True)
class _SavedModel:
    """What publishing needs of a model: files that anybody may read, as Spark writes them."""

    content: str

    def save(self, folder: Location) -> None:
        if not folder.is_local:
            (folder / "data" / ".part-0.crc").create(self.content.encode())
            return
        data = Path(str(folder)) / "data"
        data.mkdir(parents=True)
        (data / ".part-0.crc").write_text(self.content)
        for path in (data.parent, data):
            path.chmod(0o755)
        (data / ".part-0.crc").chmod(0o644)


def _publish(artifacts: Location, version: str, page: str = "a page", **options: Any) -> Location:
    record = TrainingRecord.from_dict(json.loads((TRAINED / "manifest.json").read_text("utf-8")))
    summary = json.loads((TRAINED / "reference.json").read_text("utf-8"))
    reference = Reference(
        histogram_from_dict(summary["scores"]), tuple(map(bins_from_dict, summary["bins"]))
    )
    models = [cast("FittedModel", _SavedModel(version)) for _ in range(2)]
    return publish_bundle(
        artifacts,
        replace(record, version=version),
        models=models,
        reference=reference,
        pages={"report.html": page},
        **options,
    )


def test_published_bundle_is_signed_and_for_owner_and_group_alone(tmp_path: Path) -> None:
    """Also the files that others wrote into it; nothing is left beside it."""
    before = os.umask(0o022)
    try:
        folder = _publish(Location.of(tmp_path) / "models", "v1", key=KEY)
    finally:
        os.umask(before)
    read = read_bundle(folder.parent, None, KEY)
    assert read.version == "v1"
    assert sorted(read.files) == [
        "held_out/0/data/.part-0.crc", "model/data/.part-0.crc", "reference.json", "report.html",
    ]  # fmt: skip
    paths = [tmp_path / "models", *(tmp_path / "models").rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o750}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o640}
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["current", "v1"]


def test_bundles_that_are_published_at_once_are_all_there(tmp_path: Path) -> None:
    """Each training is told the truth; one of the models is in use."""
    artifacts, versions = Location.of(tmp_path) / "models", [f"v{i}" for i in range(6)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda version: _publish(artifacts, version), versions))
    assert [read_bundle(artifacts, version).version for version in versions] == versions
    assert read_bundle(artifacts).version in versions
    assert {each.name for each in artifacts.children()} == {*versions, "current"}


def test_version_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    """Nothing is written into a bundle, also where an attacker has planted a link of its name."""
    artifacts = Location.of(tmp_path) / "models"
    _publish(artifacts, "v1", key=KEY)
    (tmp_path / "outside").mkdir()
    (tmp_path / "models" / "v2").symlink_to(tmp_path / "outside")
    for version in ("v1", "v2"):
        with pytest.raises(PublishError, match=f"Cannot write '.*{version}'"):
            _publish(artifacts, version)
    assert read_bundle(artifacts, None, KEY).version == "v1"
    assert list((tmp_path / "outside").iterdir()) == []


def test_bundle_on_an_object_store_is_read_once_its_last_file_is_there(
    bucket: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a training is killed: its version is refused, and the one before stays in use."""
    _publish(bucket, "v1", key=KEY)
    assert read_bundle(bucket, None, KEY).version == "v1"
    assert {each.name for each in bucket.children()} == {"v1", "current"}
    files = (bucket / "v1").files()
    copy, copied = Location.copy, list[Location]()

    def dies(self: Location, target: Location) -> None:
        if len(copied) == end:
            raise SystemExit
        copied.append(target)
        copy(self, target)

    monkeypatch.setattr(Location, "copy", dies)
    for end in range(len(files) - 1):
        copied.clear()
        with pytest.raises(SystemExit):
            _publish(bucket, f"v2-{end}", key=KEY)
        assert is_incomplete(bucket / f"v2-{end}")
        with pytest.raises(ModelError, match=r"has no manifest\.sha256; it is"):
            read_bundle(bucket, f"v2-{end}", KEY)
        assert read_bundle(bucket, None, KEY).version == "v1"
    assert not is_incomplete(bucket / "v1")
    assert not is_incomplete(bucket / "absent")
    with pytest.raises(PublishError, match=r"Cannot write '.*v1/manifest.json': File exists"):
        _publish(bucket, "v1", "another page")
    assert read_bundle(bucket, None, KEY).version == "v1"


def test_model_whose_pointer_cannot_be_written_is_not_said_to_be_lost(tmp_path: Path) -> None:
    """It is there, and how to bring it into use is told."""
    artifacts = Location.of(tmp_path) / "models"
    (tmp_path / "models" / "current" / "in the way").mkdir(parents=True)
    with pytest.raises(PublishError, match="'v1' WAS published, but is not in use") as caught:
        _publish(artifacts, "v1")
    assert "nothing was published" not in str(caught.value)
    assert read_bundle(artifacts, "v1").version == "v1"
