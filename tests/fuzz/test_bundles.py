"""What training wrote is loaded, and nothing else: the checks of a bundle, without Spark."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from bundles import ALTERATIONS, KEY, Models, fuzz, write_models

from sparkweights.bundle.integrity import containing_bundle, name_in_use, read_bundle
from sparkweights.core.errors import ModelError
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["unsigned", "signed"])
def models(request: pytest.FixtureRequest, tmp_path: Path) -> Models:
    """Return two sound bundles."""
    return write_models(tmp_path, signed=request.param == "signed")


def test_altered_bundles_are_refused(tmp_path: Path) -> None:
    """Twice each kind of alteration; `make fuzz` has 2,000."""
    assert fuzz(seed=1, count=2 * len(ALTERATIONS), folder=tmp_path) == []


def test_sound_bundle_is_read_with_its_key_and_where_none_is_asked_for(models: Models) -> None:
    """By its name, or as the one in use; its files are those of the folder."""
    root = Location.of(models.root)
    for key in {None, KEY if models.signed else None}:
        for version in (None, models.version, models.other):
            read = read_bundle(root, version, key)
            assert read.version == read.manifest.version == (version or models.version)
    files = {path: models.bundle / path for path in read_bundle(root).files}
    assert "reference.json" in files
    assert {name: path.read_bytes() for name, path in files.items()} == read_bundle(root).files
    assert name_in_use(root) == "small_lender"


def test_loaded_bytes_are_those_that_were_verified(models: Models, tmp_path: Path) -> None:
    """Whatever becomes of the folder between the check and the load."""
    read = read_bundle(Location.of(models.root))
    shutil.rmtree(models.bundle)
    read.write_copy(Location.of(tmp_path) / "copy")
    copied = {
        str(path.relative_to(tmp_path / "copy")): path.read_bytes()
        for path in (tmp_path / "copy").rglob("*")
        if path.is_file()
    }
    assert copied == read.files


@pytest.mark.parametrize(
    ("signed", "key", "message"),
    [
        (True, b"another key of thirty-two bytes!", "is not by this key"),
        (False, KEY, "has no signature, and one is asked for"),
    ],
)
def test_signature_that_is_wrong_or_missing_is_refused_in_a_sentence(
    tmp_path: Path, *, signed: bool, key: bytes, message: str
) -> None:
    """With the next step, and without the key."""
    root = Location.of(write_models(tmp_path, signed=signed).root)
    with pytest.raises(ModelError, match=message) as caught:
        read_bundle(root, None, key)
    assert "train again" in str(caught.value)
    assert key.decode() not in str(caught.value)


def test_location_in_a_bundle_is_told_from_one_beside_it(models: Models) -> None:
    """Records of a model lie beside the bundles, never in one."""
    root = Location.of(models.root)
    bundle = root / models.version
    for inside in (bundle, bundle / "evaluation", bundle / "model" / "a" / "b"):
        assert containing_bundle(inside) == bundle
    for outside in (root, root / "evaluation" / models.version, root / "absent"):
        assert containing_bundle(outside) is None
