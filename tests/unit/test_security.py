"""Keys and permissions: what the configuration says of them, and what no record holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkweights.app.signing import signing_key
from sparkweights.app.tables import require_outside_bundles
from sparkweights.config.schema import Config
from sparkweights.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KEY = "0123456789abcdef0123456789abcdef"


def _config(folder: Path, **changes: Any) -> Config:
    stated: dict[str, Any] = {
        "name": "loans",
        "columns": {
            "keys": ["id"],
            "label": "outcome",
            "classes": {"repaid": 0, "defaulted": 1},
            "numeric": ["income"],
        },
        "folder": str(folder),
    }
    return Config(**{**stated, **changes})


@pytest.mark.parametrize("place", ["key_file", "key_variable"])
def test_signing_key_is_read_where_it_is_named_and_is_in_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A line break at its end, as editors write one, is no part of it."""
    (tmp_path / "key").write_text(KEY + "\n")
    monkeypatch.setenv("MODEL_KEY", KEY)
    named = {"key_file": "key", "key_variable": "MODEL_KEY"}[place]
    config = _config(tmp_path, signing={place: named})
    assert signing_key(config) == KEY.encode()
    assert KEY not in json.dumps(config.fingerprint())
    # Rows and models do not depend on it, so neither do the ids that settings make.
    assert config.fingerprint() == _config(tmp_path).fingerprint()
    assert signing_key(_config(tmp_path)) is None


@pytest.mark.parametrize(
    ("signing", "message"),
    [
        ({"key_file": "absent"}, "signing.key_file: '.*absent' cannot be read"),
        ({"key_file": "short"}, "signing.key_file: the key has 15 bytes; at least 16"),
        ({"key_variable": "NO_SUCH_KEY"}, "has no variable 'NO_SUCH_KEY'"),
        ({"key_variable": "A-B"}, "signing.key_variable"),
        ({}, "neither of key_file and key_variable"),
        ({"key_file": "a", "key_variable": "A"}, "both of key_file and key_variable"),
    ],
)
def test_signing_key_that_cannot_be_used_is_a_config_error(
    tmp_path: Path, signing: dict[str, str], message: str
) -> None:
    """It says what is wrong, never what the key is."""
    (tmp_path / "short").write_text(KEY[:15])
    with pytest.raises(ConfigError, match=message) as caught:
        signing_key(_config(tmp_path, signing=signing))
    assert KEY[:15] not in str(caught.value)


def test_output_mode_is_that_of_every_location_of_the_configuration(tmp_path: Path) -> None:
    """0750 unless the file says otherwise."""
    assert _config(tmp_path).path("out").mode == 0o750
    config = _config(tmp_path, output_mode="0770")
    assert (config.path("out") / "below").parent.parent.mode == 0o770
    assert config.path(str(tmp_path / "absolute")).mode == 0o770


@pytest.mark.parametrize("stated", [488, "750", "0650", "0758", "rwxr-x---", "07500", None])
def test_output_mode_that_is_none_is_refused(tmp_path: Path, stated: object) -> None:
    """The owner keeps every right, or no run could go on."""
    with pytest.raises(ConfigError, match="output_mode"):
        _config(tmp_path, output_mode=stated)


@pytest.mark.parametrize("key", ["artifacts", "runs", "scored", "quarantine"])
def test_folder_that_lies_in_a_model_is_refused(tmp_path: Path, key: str) -> None:
    """A record more, and the model would count as altered."""
    bundle = tmp_path / "models" / "v1"
    bundle.mkdir(parents=True)
    (bundle / "manifest.sha256").write_text("")
    inside: dict[str, Any] = {"artifacts": "other", key: "models/v1/new"}
    if key in {"scored", "quarantine"}:
        inside = {"artifacts": "other", "tables": {key: {"location": "models/v1/new"}}}
    with pytest.raises(ConfigError, match=f"{key}: '.*' is in the model '.*v1'"):
        require_outside_bundles(_config(tmp_path, **inside))
    require_outside_bundles(_config(tmp_path))
