"""What `import sparkweights` offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sparkweights


@pytest.mark.parametrize("name", sparkweights.__all__)
def test_public_name_is_there_and_comes_from_one_module(name: str) -> None:
    """Each can be imported, and is listed where the module finds it."""
    found = getattr(sparkweights, name)
    if name != "__version__":
        assert found.__name__ == name
        assert found.__module__ == sparkweights._HOMES[name]


def test_unknown_name_is_refused() -> None:
    """As by any module."""
    with pytest.raises(AttributeError, match="has no attribute 'Runer'"):
        _ = sparkweights.Runer


def test_errors_and_settings_are_imported_without_spark() -> None:
    """A scheduler may catch errors, and a check may read a file, where there is no Spark."""
    code = (
        "import sys; from sparkweights import Config, ConfigError, QualityGateError, load_config; "
        "print('pyspark' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
