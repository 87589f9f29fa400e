"""The README's code runs, and its map and figures are true."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sparkweights.cli.options import make_parser

if TYPE_CHECKING:
    import pytest
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def _loans(rows: int, seed: int) -> pd.DataFrame:
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


def test_readme_configuration_and_notebook_code_run(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A reader who pastes the YAML and the Python gets a model and a scored table."""
    (configuration,) = _blocks("yaml")
    quick = f"{configuration}train: {{refit: none}}  # one fit of each learner, not six\n"
    (tmp_path / "loan.yaml").write_text(quick, encoding="utf-8")
    for name, frame in (
        ("history", _loans(3_000, 1)),
        ("incoming", _loans(300, 2).drop(columns="outcome")),
    ):
        (tmp_path / "data" / name).mkdir(parents=True)
        frame.to_parquet(tmp_path / "data" / name / "part-0.parquet", index=False)
    monkeypatch.chdir(tmp_path)
    for block in _blocks("python"):
        # Spark resolves a relative path from where it was started, not from where a test stands.
        code = block.replace('parquet("data/', f'parquet("{tmp_path}/data/')
        exec(compile(code, "README.md", "exec"), {"spark": spark})  # noqa: S102 (the point of the test)
    ess, savings, decisions = capsys.readouterr().out.splitlines()
    assert 0 < float(ess) < 3_000
    assert float(savings) > 0
    assert "approve" in decisions
    assert (tmp_path / "out" / "scored" / "run_date=2026-03-01").is_dir()


def test_readme_commands_exist() -> None:
    """Every command and make target in a code block is one that there is."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in "\n".join(_blocks("sh")).splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["sparkweights"]:
            make_parser().parse_args(words[1:])
        elif words[:1] == ["make"]:
            assert f"\n{words[1]}:" in makefile
        elif words[:1] == ["spark-submit"]:
            (job,) = [word for word in words if word.endswith(".py")]
            assert (ROOT / job).is_file()


def test_readme_pictures_are_drawings_with_text() -> None:
    """Each is an SVG file of ours, without a script or anything from elsewhere."""
    places = re.findall(r"!\[.+?\]\((.+?)\)", README)
    assert len(places) >= 2
    for place in places:
        picture = (ROOT / place).read_text(encoding="utf-8")
        assert picture.startswith("<svg")
        assert "<text" in picture
        assert "<script" not in picture
        assert not re.search(r'href="http', picture)


def test_readme_map_names_every_room() -> None:
    """A room that is missing from the map cannot be found by a newcomer."""
    rooms = {
        path.name + ("/" if path.is_dir() else "")
        for path in (ROOT / "sparkweights").iterdir()
        if not path.name.startswith("_") and path.suffix in {"", ".py"}
    }
    table = README.partition("## The map")[2].partition("##")[0]
    mapped = set(re.findall(r"^\| `([\w/.]+)` \|", table, re.MULTILINE))
    assert rooms == mapped
    for room in mapped:
        for module in re.findall(r"`(\w+\.py)`", _row(room)):
            assert (ROOT / "sparkweights" / room / module).is_file() or room == module


def _row(room: str) -> str:
    return next(line for line in README.splitlines() if line.startswith(f"| `{room}` |"))


def test_readme_speaks_of_no_machine() -> None:
    """No absolute path and no registry host has slipped into what users read."""
    texts = [README, *(p.read_text(encoding="utf-8") for p in (ROOT / "conf").rglob("*.yaml"))]
    for text in texts:
        assert not re.search(r"(?<![\w.])/(work|tmp|root|home)/", text)
