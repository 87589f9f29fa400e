"""Groups of people beside each other, in `evaluate` and in `monitor`."""

from __future__ import annotations

import json

import pytest
from conftest import Shop, history


@pytest.mark.slow
def test_evaluate_compares_sensitive_groups_without_being_asked(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """By age, which is no feature: the rows of the test part, and their shares of approvals."""
    config = shop.config("fair.yaml")
    assert shop.run("evaluate", config, "--quiet", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    found, evaluation = record["fairness"], record["evaluation"]
    assert (found["favourable"], found["positive"]) == ("approve", ["repaid"])
    [ages] = found["columns"]
    assert len(ages["groups"]) == 4
    assert sum(own["rows"] for own in ages["groups"]) == evaluation["rows"]
    approved = sum(own["rates"]["acceptance"]["value"] * own["rows"] for own in ages["groups"])
    taken = evaluation["decisions"]["approve"]
    assert approved == pytest.approx(sum(taken.values()))
    place = shop.folder / "out" / "models" / "evaluation" / record["model_version"]
    assert (
        "Fairness: how do decisions differ between groups?" in (place / "report.html").read_text()
    )
    assert shop.run("evaluate", config, "--quiet") == 0
    assert "who gets approve" in capsys.readouterr().out


def test_monitor_unequal_acceptance_exits_7_and_a_missing_column_is_told(
    own_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """A card that the model approves less often, on a table without outcomes, by stated limits."""
    stated = {"columns": ["card type", "age", "sex"], "ranges": {"age": [30, 50]}, "ratio": 0.9,
              "reference": {"age": "children"}}  # fmt: skip
    config = own_shop.config("fair.yaml", fairness=stated, monitor={"psi": 9, "shift": 9})
    incoming = history(2_000, seed=5).drop(columns="outcome")
    own_shop.table("incoming", incoming)
    assert own_shop.run("monitor", config, "--quiet", "--json") == 7
    record = json.loads(capsys.readouterr().out)
    found = record["fairness"]
    cards, ages = found["columns"]
    assert cards["gaps"]["acceptance"]["low"] == "store"
    assert "true_positive_rate" not in cards["gaps"]
    assert [own["group"] for own in ages["groups"]] == [
        "below 30", "30 to below 50", "50 and above",
    ]  # fmt: skip
    assert found["unmeasured"]["sex"] == "is not in the table"
    assert found["unmeasured"]["age"].startswith("has no group 'children' of 100 rows")
    [sentence] = found["exceeded"]
    assert sentence in record["exceeded"]
    assert sentence.startswith("card type store gets approve at")
    assert shop_accepts(own_shop, {**stated, "ratio": 0.1}) == 0


def shop_accepts(shop: Shop, stated: dict[str, object]) -> int:
    """Return the exit code of `monitor` with other limits."""
    config = shop.config("fair.yaml", fairness=stated, monitor={"psi": 9, "shift": 9})
    return shop.run("monitor", config, "--quiet")


def test_monitor_known_outcomes_compare_true_and_false_positive_rates(
    own_shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the labelled table, every rate of every card is there, with an interval around it."""
    config = own_shop.config("fair.yaml", fairness={"columns": ["card type"], "ratio": 0.01})
    own_shop.run("monitor", config, "--table", "labelled", "--quiet", "--json")
    record = json.loads(capsys.readouterr().out)
    [cards] = record["fairness"]["columns"]
    rows = history()
    for own in cards["groups"]:
        assert own["rows"] == (rows["card type"] == own["group"]).sum()
        for rate in ("acceptance", "true_positive_rate", "false_positive_rate"):
            found = own["rates"][rate]
            assert found["low"] < found["value"] < found["high"]
    assert set(cards["gaps"]) == {"acceptance", "true_positive_rate", "false_positive_rate"}
