"""Optional libraries: what needs one ends in a sentence that says how it is installed.

A platform brings its own Spark and often its own XGBoost. The package therefore requires neither,
so that an installation never replaces them; whoever has none of their own asks for an extra.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from sparkweights.core.errors import ConfigError


@dataclass(frozen=True)
class Extra:
    """An optional library, and how it is installed.

    Attributes
    ----------
    module
        Name of the module to import.
    install
        What pip installs.
    others
        Further modules that it installs and that are imported with the first.
    """

    module: str
    install: str
    others: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command that installs it."""
        return f"pip install '{self.install}'"

    @property
    def is_installed(self) -> bool:
        """Whether its modules can be imported; they are not."""
        return self.missing is None

    @property
    def missing(self) -> str | None:
        """The first of its modules that cannot be imported."""
        modules = (self.module, *self.others)
        return next((name for name in modules if find_spec(name) is None), None)

    def require(self, subject: str, otherwise: str = "") -> None:
        """Refuse to go on where the library is missing.

        Parameters
        ----------
        subject
            The start of the sentence: what needs the library.
        otherwise
            The end of the hint: what to do without the library.

        Raises
        ------
        ConfigError
            With the command that installs it.
        """
        if not self.is_installed:
            raise self.refusal(subject, otherwise)

    def refusal(self, subject: str, otherwise: str = "") -> ConfigError:
        """Return the error that `require` raises."""
        hint = f"{self.command}, or {otherwise}." if otherwise else f"{self.command}."
        return ConfigError(
            f"{subject} the {self.missing or self.module} library, which is not installed.",
            hint=hint,
        )


SPARK = Extra("pyspark", "sparkweights[spark]")
XGBOOST = Extra("xgboost", "sparkweights[xgboost]")
CHECKS = Extra("great_expectations", "sparkweights[checks]")
REPORT = Extra("matplotlib", "sparkweights[report]", ("jinja2", "markupsafe"))
POSTGRES = Extra("psycopg", "sparkweights[postgres]")
ONNX = Extra("onnx", "sparkweights[onnx]")
S3 = Extra("s3fs", "sparkweights[s3]")


def missing_extra(error: BaseException) -> ConfigError | None:
    """Return the sentence for an import that failed because an extra is not installed, or None.

    Examples
    --------
    >>> print(missing_extra(ModuleNotFoundError(name="pyspark.sql")).hint)
    pip install 'sparkweights[spark]'.
    """
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    module = error.name.partition(".")[0]
    for extra in (SPARK, XGBOOST, CHECKS, REPORT, POSTGRES, ONNX):
        if module in (extra.module, *extra.others):
            return extra.refusal("This needs")
    return None
