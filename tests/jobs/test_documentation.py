"""Every command and code block of README and docs runs, and does what the pages say."""

from __future__ import annotations

import copy
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import yaml
from packaging.requirements import Requirement
from pages import Block, blocks

from docs.generate import FILES, PAGES
from sparkweights import load_config
from sparkweights.cli.main import main
from sparkweights.cli.options import make_parser
from sparkweights.spec.outputs import QUARANTINE, SCORED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[2]
RUN_DATE = "2026-03-01"  # of the commands in the pages


def _fresh_loans(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    late = rng.poisson(1, rows)
    return pd.DataFrame({
        "loan_id": np.arange(rows),
        "income": rng.lognormal(8, 0.4, rows),
        "amount": rng.integers(1, 40, rows) * 250.0,
        "late_payments": late,
        "age": 40,
        "outcome": (rng.random(rows) < 1 / (1 + np.exp(3 - 1.2 * late))).astype(int),
    })  # fmt: skip


(CONFIGURATION,) = (block.text for block in blocks("yaml") if block.page == "README.md")


def _write_loans(folder: Path, configuration: str) -> Path:
    """Write README's configuration with one fit of each learner, not six, and its tables."""
    text = f"{configuration}train: {{refit: none}}\nruns: runs\n"
    (folder / "loan.yaml").write_text(text, encoding="utf-8")
    for name, frame in (
        ("history", _fresh_loans(3_000, 1)),
        ("incoming", _fresh_loans(300, 2).drop(columns="outcome")),
    ):
        (folder / "data" / name).mkdir(parents=True)
        frame.to_parquet(folder / "data" / name / "part-0.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def loans(
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    """Run README's commands in a folder that holds its configuration and its tables."""
    folder = _write_loans(tmp_path_factory.mktemp("loans"), CONFIGURATION)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in blocks("sh"):
            for words in _commands(block):
                if block.page == "README.md" and words[0] == "sparkweights":
                    assert main(words[1:]) == 0, words
    return folder


def _commands(block: Block) -> list[list[str]]:
    text = block.text.replace("\\\n", " ")
    lines = (shlex.split(line, comments=True) for line in text.splitlines())
    return [words for words in lines if words]


def test_readme_commands_train_a_model_that_saves_and_score_the_date(loans: Path) -> None:
    """Whoever pastes the configuration and the commands gets savings and a scored table."""
    models = loans / "out" / "models"
    version = (models / "current").read_text(encoding="utf-8").strip()
    manifest = json.loads((models / version / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["evaluation"]["savings"]["ours"] > 0
    scored = pd.read_parquet(loans / "out" / "scored" / f"run_date={RUN_DATE}")
    assert len(scored) == 300
    assert set(scored["decision"].astype(str)) == {"approve", "decline"}
    assert json.loads((loans / "suite.json").read_text(encoding="utf-8"))["expectations"]


def test_outputs_page_lists_the_columns_of_both_tables(loans: Path, spark: SparkSession) -> None:
    """No column is written that the page does not name, nor the other way round."""
    names = {
        "<keys>": ["loan_id"],
        "probability_<class>": ["probability_repaid", "probability_defaulted"],
        "expected_cost_<decision>": ["expected_cost_approve", "expected_cost_decline"],
        "reason_1 .. reason_k": [],  # without `reasons` in the configuration
        "malformed_record": [],  # without `malformed: quarantine` of a text table
        "<all>": spark.read.parquet(str(loans / "data" / "incoming")).columns,
    }
    for table, stated in (("scored", SCORED), ("quarantine", QUARANTINE)):
        written = {
            field.name: field.dataType.simpleString()
            for field in spark.read.parquet(str(loans / "out" / table)).schema
        }
        expected = [name for one in stated for name in names.get(one.name, [one.name])]
        assert sorted(written) == sorted(expected)
        plain = {one.name: one.type for one in stated if one.name not in names}
        assert {name: written[name] for name in plain} == plain


def test_outputs_page_lists_every_file_beside_the_tables(loans: Path) -> None:
    """Whatever a verb leaves below artifacts and runs is on the page."""
    stated = [
        re.sub(
            r"<\w+>", "[^/]+", path.replace("<artifacts>", "out/models").replace("<runs>", "runs")
        )
        for path in FILES
    ]
    written = [
        str(path.relative_to(loans))
        for root in ("out/models", "runs")
        for path in (loans / root).rglob("*")
        if path.is_file() and not path.name.startswith(".")
    ]
    assert len(written) > 8
    unknown = [one for one in written if not any(re.match(f"{path}", one) for path in stated)]
    assert not unknown


def test_python_blocks_of_the_readme_run_and_print_what_it_states(
    unobserved: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A reader who pastes the Python gets the output beside it."""
    own = [block for block in blocks("python") if block.page == "README.md"]
    assert any(block.output for block in own)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(type(unobserved), "_instantiatedSession", unobserved)
    _run_blocks(own, tmp_path, unobserved, capsys)


@pytest.mark.slow
def test_python_blocks_of_all_pages_run_and_print_what_they_state(
    unobserved: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a model and a scored table at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(type(unobserved), "_instantiatedSession", unobserved)
    printed = _run_blocks(blocks("python"), tmp_path, unobserved, capsys)
    assert sum(bool(block.output) for block in blocks("python")) >= 3
    ess = printed["notebooks.md", "print(model.stages[0].weight_diagnostics().kish_ess)"]
    assert 0 < float(ess) < 3_000
    savings, decisions = printed["notebooks.md", "print(run.record.decisions)"].splitlines()
    assert float(savings) > 0
    assert "approve" in decisions
    assert (tmp_path / "out" / "scored" / f"run_date={RUN_DATE}").is_dir()


def _run_blocks(
    wanted: list[Block], folder: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> dict[tuple[str, str], str]:
    """Run blocks in a folder with README's tables; return page and last line -> output."""
    _write_loans(folder, CONFIGURATION.replace("kind: auto", "kind: logistic"))
    printed = {}
    for block in wanted:
        # Spark resolves a relative path from where it was started, not from where a test stands.
        code = block.text.replace('parquet("', f'parquet("{folder}/')
        exec(compile(code, str(block), "exec"), {"spark": spark})  # noqa: S102 (the point of the test)
        found = capsys.readouterr().out
        printed[block.page, block.text.splitlines()[-1]] = found
        if block.output:
            assert found.strip() == block.output.strip(), str(block)
    return printed


@pytest.mark.parametrize(
    "block", [block for block in blocks("yaml") if block.page != "README.md"], ids=str
)
def test_yaml_blocks_are_accepted_in_place_of_the_readmes_sections(
    block: Block, tmp_path: Path
) -> None:
    """Each is a part of a configuration that loads."""
    settings = _merged(yaml.safe_load(CONFIGURATION), yaml.safe_load(block.text))
    path = tmp_path / "loan.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    config = load_config(path)
    stated = yaml.safe_load(block.text)
    assert set(stated) <= config.model_fields_set


def _merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(settings)
    for name, value in changes.items():
        own = merged.get(name)
        replaced = name == "weights" or not (isinstance(own, dict) and isinstance(value, dict))
        merged[name] = value if replaced else {**own, **value}
    return merged


@pytest.mark.parametrize(
    "words",
    [words for block in blocks("sh") for words in _commands(block) if words[0] != "sparkweights"],
    ids=" ".join,
)
def test_shell_commands_other_than_the_readmes_own_are_valid(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Targets exist, jobs take their arguments, and what is installed can be."""
    match words:
        case ["make", *targets]:
            # Resolves every prerequisite, and runs nothing: `make test` would start this test.
            subprocess.run(["make", "-n", *targets], cwd=ROOT, check=True, capture_output=True)
        case ["spark-submit", *options]:
            (at,) = (i for i, word in enumerate(options) if word.endswith(".py"))
            job = options[at].removeprefix("local:///opt/sparkweights/")
            arguments = options[at + 1 :]
            assert _submitted(job, arguments, monkeypatch).verb == arguments[0]
        case ["docker", "build", "--target", stage, "-t", _, "."]:
            assert f" AS {stage}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
        case ["pip" | "env/bin/pip", "install", *requirements]:
            _require_installable(requirements)
        case _:  # the standard library's venv, and variables that Spark documents
            assert words[:3] == ["python3", "-m", "venv"] or words[0] == "export"
            known = ("PYSPARK_PYTHON=", "PYSPARK_DRIVER_PYTHON=", "SPARK_REMOTE=")
            assert shutil.which(words[0]) or words[1].startswith(known)


def _submitted(job: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a job up to the command line, which `test_cluster.py` goes beyond on a cluster."""
    parsed = []

    def parse(given: list[str]) -> int:
        parsed.append(make_parser().parse_args(given))
        return 0

    monkeypatch.setattr(sys.modules["sparkweights.cli.main"], "main", parse)
    monkeypatch.setattr(sys, "argv", [job, *arguments])
    runpy.run_path(str(ROOT / job), run_name="__main__")
    (options,) = parsed
    return options


def _require_installable(requirements: list[str]) -> None:
    """Refuse an extra or a release that the package does not have; no index is asked."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (spark,) = map(Requirement, project["optional-dependencies"]["spark"])
    for text in requirements:
        if text.startswith("."):
            assert set(re.findall(r"[\w-]+", text)) <= set(project["optional-dependencies"])
            continue
        wanted = Requirement(text)
        (release,) = (one.version for one in wanted.specifier)
        assert wanted.name == spark.name
        assert spark.specifier.contains(release)


def test_every_language_of_the_pages_is_tested_here() -> None:
    """A block in another language would be one that nothing runs."""
    texts = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    found = set(re.findall(r"^```(\w*)$", texts, re.MULTILINE))
    assert found - {""} == {"yaml", "sh", "python", "sql", "text"}
