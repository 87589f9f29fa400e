"""The versions that a result depends on, and short digests of settings."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version

import pyspark

from sparkweights.core.about import __version__

_XGBOOST = ("xgboost", "xgboost-cpu")  # two packages of the same library


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    installed = {
        "sparkweights": __version__,
        "spark": pyspark.__version__,
        "python": platform.python_version(),
    }
    for name in ("great-expectations", "numpy", "pandas", "pyarrow", "scikit-learn", *_XGBOOST):
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


def release(version: str) -> tuple[int, int]:
    """Return major and minor number of a version of Spark.

    Examples
    --------
    >>> release("4.3.0.dev1")
    (4, 3)
    """
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def digest(*parts: object) -> str:
    """Return twelve hex digits of a hash of plain values."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
