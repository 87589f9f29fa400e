"""Learners are declared without Spark, and installed packages may add their own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sparkweights.config.load import load_config
from sparkweights.core.errors import ConfigError, ModelError
from sparkweights.core.extras import Extra
from sparkweights.models import base
from sparkweights.models.base import (
    ExplainerSettings,
    FittedModel,
    Learner,
    learner,
    require_trainable,
)
from sparkweights.models.declaration import Capabilities, SparkRelease
from sparkweights.models.registry import (
    AUTO_FLEXIBLE,
    AUTO_SIMPLE,
    BUILT_IN,
    capabilities,
    check_params,
    declaration,
    kinds,
    require_explainable,
)
from sparkweights.storage.location import Location

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Install

LOANS = """
name: loans
columns: {{keys: [id], label: y, classes: {classes}, numeric: [income]}}
costs: {costs}
model: {model}
"""
TWO = {"classes": "{good: 0, bad: 1}", "costs": "{a: {good: 0, bad: 9}, b: {good: 1, bad: 0}}"}
THREE = {
    "classes": "{good: 0, late: 1, bad: 2}",
    "costs": "{a: {good: 0, late: 5, bad: 9}, b: {good: 1, late: 0, bad: 0}}",
}
DECLARED = """
from sparkweights.core.extras import Extra
from sparkweights.models.declaration import LearnerDeclaration
ONE = LearnerDeclaration("one", "package.missing:Learner", {{}}, **{more})
"""


def _load(folder: Path, model: str, rest: str = "", **parts: str) -> object:
    path = folder / "loans.yaml"
    path.write_text(LOANS.format(model=model, **(parts or TWO)) + rest, encoding="utf-8")
    return load_config(path)


def test_configuration_is_loaded_without_spark(tmp_path: Path) -> None:
    """A file with a learner and its parameters is parsed and checked; no engine is imported."""
    _load(tmp_path, "{kind: tree, params: {maxDepth: 3}, prune: gini}")
    code = (
        "import sys; from pathlib import Path; from sparkweights.config.load import load_config; "
        f"load_config(Path({str(tmp_path / 'loans.yaml')!r})); "
        "print([m for m in ('pyspark', 'pandas', 'pyarrow', 'scipy', 'numpy', 'xgboost') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", list(BUILT_IN))
def test_declaration_names_an_implementation_that_keeps_it(kind: str) -> None:
    """Each declaration leads to a learner of its own kind."""
    found = learner(kind)
    assert isinstance(found, Learner)
    assert found.declaration is declaration(kind)


def test_auto_candidates_have_parameters_of_their_learners() -> None:
    """What `auto` tries is within the bounds that a user has; it promises what all can do."""
    for one in (AUTO_SIMPLE, *(one for family in AUTO_FLEXIBLE for one in family)):
        check_params(one.kind, one.params)
    assert not capabilities("auto").linear


def test_installed_learner_is_declared_as_built_in_ones_are(
    tmp_path: Path, toy_learner: str
) -> None:
    """Its parameters and capabilities are checked, and messages list it."""
    assert kinds() == (*BUILT_IN, toy_learner)
    _load(tmp_path, f"{{kind: {toy_learner}, params: {{shrinkage: 0.5}}}}")
    _load(tmp_path, f"{{kind: {toy_learner}}}", "reasons: {against: {b: bad}}")
    refused = {
        "{kind: diagonal_lda, params: {shrinkage: 2}}": "shrinkage: 2; allowed: a number >= 0",
        "{kind: diagonal_lda, prune: gini}": "model.prune: 'gini' needs kind tree; the kind is",
        "{kind: diagonal_lda, patience: 3}": "model.patience: 3 needs kind xgboost, mini_batch, or",
        "{kind: diagonal_lda, monotone: {income: 1}}": "model.monotone: needs kind xgboost",
        "{kind: diagonal_ldo}": "available: .*diagonal_lda, auto.* Did you mean 'diagonal_lda'",
    }
    for model, message in refused.items():
        with pytest.raises(ConfigError, match=message):
            _load(tmp_path, model)
    with pytest.raises(ConfigError, match="'diagonal_lda' needs two classes; there are 3"):
        _load(tmp_path, "{kind: diagonal_lda}", **THREE)


@pytest.mark.parametrize(
    ("value", "module", "message"),
    [
        ("package:ONE", "import no_such_library", r"cannot be imported \(ModuleNotFoundError"),
        ("package:ONE", "1 / 0", "cannot be imported .ZeroDivisionError"),
        ("package:TWO", DECLARED.format(more={}), "cannot be imported .AttributeError"),
        ("package:ONE", "ONE = 3", "is a int; allowed: a LearnerDeclaration"),
        (
            "package:ONE",
            DECLARED.format(more={}).replace('"one"', '"logistic"'),
            "declares the kind 'logistic'; allowed: 'one'",
        ),
    ],
)
def test_entry_point_that_cannot_be_used_is_refused_by_its_package(
    install: Install, value: str, module: str, message: str
) -> None:
    """The sentence names the distribution; other learners stay usable."""
    install("acme-learners", {"one": value}, {"package.py": module})
    check_params("logistic", {})
    with pytest.raises(ConfigError, match=f"package 'acme-learners' .*{message}") as refused:
        check_params("one", {})
    assert refused.value.hint == "update or uninstall acme-learners."


@pytest.mark.parametrize("kind", ["logistic", "auto"])
def test_entry_point_of_a_built_in_kind_is_refused(install: Install, kind: str) -> None:
    """Nobody is given another learner than the one that the name has always stood for."""
    install("acme-learners", {kind: "package:ONE"}, {})
    with pytest.raises(ConfigError, match=f"'acme-learners' .* claims the kind '{kind}', which is"):
        check_params("logistic", {})


def test_kind_of_two_packages_is_refused(install: Install) -> None:
    """Both are named."""
    install("first-learners", {"one": "package:ONE"}, {})
    install("second-learners", {"one": "package:ONE"}, {})
    with pytest.raises(ConfigError, match=r"'first-learners' .* as the package 'second-learners'"):
        kinds()


def test_missing_library_is_told_with_its_extra(install: Install) -> None:
    """The command that installs it is the hint; what is installed is not asked for."""
    more = '{"extra": Extra("no_such_library", "acme-learners[fast]")}'
    install("acme-learners", {"one": "package:ONE"}, {"package.py": DECLARED.format(more=more)})
    with pytest.raises(ConfigError, match="one needs the no_such_library library") as refused:
        check_params("one", {})
    assert refused.value.hint is not None
    assert refused.value.hint.startswith("pip install 'acme-learners[fast]'")
    Extra("json", "nothing").require("model.kind: one needs")


def test_reasons_of_a_learner_that_gives_none_are_refused(install: Install) -> None:
    """By the configuration, and by the model itself."""
    install("acme-learners", {"one": "package:ONE"}, {"package.py": DECLARED.format(more={})})
    told = "give no reasons; available for: logistic, boosted_trees, tree, forest, xgboost"
    with pytest.raises(ConfigError, match=told):
        require_explainable("one")

    class Silent(FittedModel):
        append_margin = scores = save = importances = None

    with pytest.raises(ModelError, match=told):
        Silent(declaration("one"), 2).explainer(ExplainerSettings(1, Location("/")))


def test_learner_of_a_newer_spark_is_refused_on_an_older_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With both releases and the reason, unless older ones can train it for so many classes."""
    session: Any = None
    monkeypatch.setattr(base, "running_spark", "4.2.1")
    told = r"tree of 3 classes needs Spark 4.3 or newer \(this is 4.2.1\): older ones merge leaves"
    with pytest.raises(ConfigError, match=told):
        require_trainable(declaration("tree"), session, 3)
    require_trainable(declaration("tree"), session, 2)
    require_trainable(declaration("logistic"), session, 3)
    newer = replace(Capabilities(), spark=SparkRelease((4, 3), "reasons"))
    own = replace(declaration("logistic"), capabilities=newer)
    with pytest.raises(ConfigError, match=r"logistic needs Spark 4.3 or newer .*: reasons"):
        require_trainable(own, session, 2)
    monkeypatch.setattr(base, "running_spark", "4.3.0.dev1")
    require_trainable(declaration("tree"), session, 3)


@pytest.mark.parametrize(
    ("implementation", "message"),
    [
        ("package.missing:Learner", "cannot be imported"),
        ("package:NOTHING", "cannot be imported"),
        ("package:ONE", "allowed: a subclass of sparkweights.models.base.Learner"),
    ],
)
def test_implementation_that_is_no_learner_is_refused(
    install: Install, implementation: str, message: str
) -> None:
    """A declaration is taken at its word until the learner is used."""
    module = DECLARED.format(more={}).replace("package.missing:Learner", implementation)
    install("acme-learners", {"one": "package:ONE"}, {"package.py": module})
    check_params("one", {})
    with pytest.raises(ConfigError, match=f"'{implementation}' of kind 'one'.* {message}"):
        learner("one")
