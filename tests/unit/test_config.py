"""The configuration file: every mistake is told by file, line, key path, and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sparkweights.config.load import load_config, resolve_secrets
from sparkweights.config.schema import Config
from sparkweights.core.errors import ConfigError, InputError
from sparkweights.demo import write_demo

CONF = Path(__file__).parents[2] / "conf"
DEMO = Path(__file__).parents[2] / "sparkweights" / "demo"

GOOD = """\
name: loans
tables:
  labelled: {format: parquet, location: data/history}
  scored: {format: parquet, location: out/scored}
columns:
  keys: [id]
  label: outcome
  classes: {no: 0, yes: 1}
  numeric: [income, loan]
  sensitive: [age]
costs:
  approve: {no: 0, yes: 0.75 * loan}
  decline: {no: 100, yes: 0}
weights: {scheme: cost}
model: {kind: logistic, params: {regParam: 0.01}}
"""


def _load(folder: Path, text: str) -> object:
    path = folder / "loan.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


@pytest.mark.parametrize("path", sorted([*CONF.glob("**/*.yaml"), *DEMO.glob("*.yaml")]), ids=str)
def test_load_config_every_shipped_file_is_valid(path: Path) -> None:
    """What we ship as an example loads."""
    assert load_config(path).matrix.decisions


def test_demo_without_the_library_of_reasons_leaves_them_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain installation gets a demo that runs, and is told what is missing."""
    monkeypatch.setattr("sparkweights.core.extras.find_spec", lambda _: None)
    folder = write_demo(tmp_path)
    config = load_config(folder / "credit_card.yaml")
    assert config.reasons is None
    assert config.weights.scheme == "cost"
    assert "pip install 'sparkweights[xgboost]'" in (folder / "credit_card.yaml").read_text()


def test_load_config_keys_stay_as_written(tmp_path: Path) -> None:
    """YAML 1.1 reads the key `no` as false; a class of that name stays `no`."""
    path = tmp_path / "loan.yaml"
    path.write_text(GOOD, encoding="utf-8")
    config = load_config(path)
    assert config.roles.class_names == ("no", "yes")
    assert str(config.path("data")) == str(tmp_path.resolve() / "data")
    with pytest.raises(ValueError, match="frozen"):
        config.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("weights: {scheme", "weights: {schem", ["loan.yaml:14", "weights.schem", "allowed: scheme", "'scheme'?"]),
        ("weights:", "weigths:", ["Unknown key 'weigths'", "Did you mean 'weights'?"]),
        ("scheme: cost", "scheme: costs", ["weights.scheme", "'costs'", "available: none, balanced, inverse_sqrt", "'cost'?"]),
        ("scheme: cost", "scheme: focal", ["weights.scheme", "'focal'", "available:"]),
        ("scheme: cost", "scheme: manual", ["weights.manual"]),
        ("scheme: cost", "scheme: manual, manual: {no: 1, yess: 5}", ["weights.manual", "'yess' is no class", "'yes'?"]),
        ("scheme: cost", "scheme: cost, cap: 0.5", ["weights.cap", "0.5", "not below 1"]),
        ("kind: logistic", "kind: logistics", ["model.kind", "'logistics'", "available: logistic, boosted_trees", "'logistic'?"]),
        ("kind: logistic", "prune: gini, kind: logistic", ["model.prune", "'gini'", "kind tree"]),
        ("kind: logistic", "max_leaves: 8, kind: logistic", ["model.max_leaves: 8", "kind tree"]),
        ("kind: logistic", "max_leaves: 1, kind: tree", ["model.max_leaves: value 1", "greater than or equal to 2"]),
        ("kind: logistic", "kind: perceptron", ["model.kind", "'perceptron'", "available: logistic, boosted_trees, tree, forest, xgboost, mini_batch"]),
        ("regParam: 0.01", "regParm: 0.01", ["'regParm'", "allowed: maxIter", "'regParam'?"]),
        ("regParam: 0.01", "regParam: -1", ["model.params.regParam", "-1", ">= 0"]),
        ("regParam: 0.01", "maxIter: 2.5", ["model.params.maxIter", "2.5", "whole number"]),
        ("regParam: 0.01", "weightCol: income", ["Param 'weightCol' is set by sparkweights, from weights", "allowed here:"]),
        ("regParam: 0.01", "scale_pos_weight: 3", ["'scale_pos_weight' is set", "state weights, costs"]),
        ("regParam: 0.01", "thresholds: 3", ["'thresholds' is set", "from costs"]),
        ("regParam: 0.01", "missing: 3", ["'missing' is set", "features.impute"]),
        ("numeric: [income, loan]", "numeric: income", ["columns.numeric", "'income'"]),
        ("numeric: [income, loan]", "numeric: []", ["no features"]),
        ("numeric: [income, loan]", "numeric: [income, loan, id]", ["columns.numeric", "'id'", "columns.keys"]),
        ("numeric: [income, loan]", "numeric: [income, outcome]", ["'outcome'", "columns.label"]),
        ("numeric: [income, loan]", "weight: loan\n  numeric: [income, loan]", ["'loan'", "columns.weight"]),
        ("numeric: [income, loan]", "numeric: [income, age]", ["columns.sensitive", "age", "use_sensitive"]),
        ("{no: 0, yes: 1}", "{no: 0, yes: 0}", ["columns.classes", "two classes"]),
        ("{no: 0, yes: 1}", "{no: 0}", ["columns.classes", "at least two"]),
        ("{no: 0, yes: 1}", "{no: 0, yes: bad}", ["columns.classes", "mix types"]),
        ("{no: 0, yes: 1}", "{no: 0, yes: 1.5}", ["columns.classes.yes", "1.5"]),
        ("keys: [id]", "keys: []", ["columns.keys"]),
        ("keys: [id]", "keys: [decision]", ["columns.keys", "decision"]),
        ("  label: outcome\n", "", ["columns.label", "required"]),
        ("name: loans", "name: 3", ["loan.yaml:1", "name", "3"]),
        ("name: loans", "name: loans\nname: again", ["loan.yaml:2", "'name'", "twice"]),
        ("scheme: cost", "scheme: cost, by: [loan]", ["weights.by", "'cost'", "cost_balanced"]),
        ("scheme: cost", "scheme: cost_by_row, by: [loan]", ["weights.by", "'cost_by_row'", "cost_balanced"]),
        ("scheme: cost", "scheme: balanced, window: month", ["weights.window", "columns.time"]),
        ("scheme: cost", "scheme: tempered", ["weights.power", "needs power"]),
        ("scheme: cost", "scheme: cost, floor: 2", ["weights.floor", "2"]),
        ("name: loans", "name: loans\nreview: {cost: -40}", ["review.cost", "-40", ">= 0"]),
        ("name: loans", "name: loans\nreview: {cost: 40, capacity: 0}", ["review.capacity", "0", "greater than 0"]),
        ("name: loans", "name: loans\nreview: {cost: 40, capacity: 1}", ["review.capacity", "1", "less than 1"]),
        ("costs:\n  approve:", "review: {cost: 40}\ncosts:\n  review:", ["costs.review", "a human looks at"]),
        ("name: loans", 'name: loans\nreasons: {against: {declin: "yes"}}', ["reasons.against", "'declin' is no decision", "'decline'?"]),
        ("name: loans", "name: loans\nreasons: {against: {decline: maybe}}", ["reasons.against", "'maybe' is no class", "no, yes"]),
        ("name: loans", 'name: loans\nreasons: {against: {decline: "yes"}, texts: {incom: Income}}', ["reasons.texts", "'incom'", "'income'?"]),
        ("name: loans", 'name: loans\nreasons: {against: {decline: "yes"}, prices: {loans: Size}}', ["reasons.prices", "'loans' is no column of a cost", "'loan'?"]),
        ("name: loans", 'name: loans\nreasons: {against: {decline: "yes"}, top: 0}', ["reasons.top", "0", "greater than or equal to 1"]),
        ("name: loans", "name: loans\nreasons: {against: {}}", ["reasons.against"]),
        ("  sensitive: [age]", '  sensitive: [income, loan]\n  use_sensitive: true\nreasons: {against: {decline: "yes"}}', ["reasons.sensitive", "no reason is left"]),
        ("name: loans", "name: loans\nresample: {method: both}", ["resample.method", "'both'", "under"]),
        ("name: loans", "name: loans\nresample: {method: over, ratio: 0}", ["resample.ratio", "0"]),
        ("name: loans", "name: loans\ndecision: {calibration: sigmoyd}", ["decision.calibration", "'sigmoid'?"]),
        ("name: loans", "name: loans\ndecision: {target_prior: guess}", ["decision.target_prior", "natural, estimate or {class: share}"]),
        ("name: loans", "name: loans\ndecision: {target_prior: {no: 0.9, yes: 0.2}}", ["decision.target_prior", "sum to 1.1"]),
        ("name: loans", "name: loans\ndecision: {target_prior: {no: 0.9, maybe: 0.1}}", ["decision.target_prior", "'maybe'", "no, yes"]),
        ("name: loans", "name: loans\ndecision: {target_prior: {no: 0.9}}", ["decision.target_prior", "no share for class yes"]),
        ("name: loans", "name: loans\ndecision: {target_prior: {no: 1.0, yes: 0.0}}", ["decision.target_prior.no", "between 0 and 1"]),
        ("name: loans", "name: loans\nsplit: {calibrate: 0.6, test: 0.5}", ["split", "0.6", "0.5"]),
        ("location: out/scored", "location: data/history", ["tables.scored", "tables.labelled", "overlap"]),
        ("labelled: {format: parquet, location: data/history}", "labelled: {format: parquet, location: file:///lender/x}\n  quarantine: {location: /lender/x}", ["tables.quarantine", "tables.labelled", "overlap"]),
        ("location: out/scored", "location: 'out/{run_date}'", ["tables.scored.location", "{run_date}", "every date"]),
        ("location: out/scored", "location: out/scored, schema: id bigint", ["tables.scored.schema", "from the run"]),
        ("location: out/scored", "location: out/scored, where: id > 1", ["tables.scored.where", "a table that is read"]),
        ("labelled: {", "labelled: {where: \"reflect('a', 'b') = 1\", ", ["tables.labelled.where", "'reflect' at line 1"]),
        ("numeric: [income, loan]", "numeric: [income, loan, probability_yes]", ["columns:", "probability_yes", "scored table"]),
        ("0.75 * loan", "0.75 * loan * probability_yes", ["costs:", "probability_yes", "scored table"]),
        ("name: loans", "name: loans\nartifacts: s3a:bucket/models", ["artifacts", "'s3a:bucket/models'", "a URI with '://'"]),
        ("name: loans", "name: loans\nruns: s3a://key:hush@bucket/runs", ["runs", "s3a://bucket/runs", "holds a password"]),
        ("location: out/scored", "location: dbfs:/scored", ["tables.scored.location", "is on dbfs"]),
        ("location: out/scored", "location: ~/scored", ["tables.scored.location", "without ~"]),
        ("numeric: [income, loan]", "numeric: [income, loan, AGE]", ["columns.sensitive", "AGE", "use_sensitive"]),
        ("{no: 0, yes: 1}", "{no: 2026-02-30, yes: 1}", ["loan.yaml:8: columns.classes", "'2026-02-30', 1 mix types"]),
        ("keys: [id]", "keys: id", ["loan.yaml:6: columns.keys", "'id'", "allowed: a list, for instance [a, b]"]),
        ("name: loans", "name: loans\nchecks:", ["loan.yaml:2: checks: nothing is not allowed", "a section of keys and values"]),
        ("name: loans", "name: loans\nchecks: {max_quarantined: true}", ["checks.max_quarantined", "True", "allowed: a number"]),
        ("name: loans", "name: loans\nmonitor: {psi: .inf}", ["monitor.psi", "inf", "a finite number"]),
        ("regParam: 0.01", "regParam: .inf", ["model.params.regParam", "inf", ">= 0"]),
        ("numeric: [income, loan]", "numeric: [{form: income, to: loan}]", ["Unknown key 'form'", "columns.numeric[0].form", "allowed: from, to", "'from'?"]),
        ("numeric: [income, loan]", "numeric: [{from: income}]", ["Missing key", "columns.numeric[0].to"]),
        ("name: loans", "name: loans\ndecision: {target_prior: [1]}", ["decision.target_prior", "text (in quotes", "or a section"]),
        ("name: loans", "name: loans\nseed: -1", ["loan.yaml:2: seed", "-1", "greater than or equal to 0"]),
        ("name: loans", "name: lo\0ans", ["not valid YAML"]),
        ("location: out/scored", 'location: "out\\0scored"', ["tables.scored.location", "without control characters"]),
        ("location: out/scored", "location: out/scored, options: {maxColumns: 100}", ["tables.scored.options.maxColumns", "not shown", "in quotes"]),
        ("scheme: cost", "scheme: costs", ["loan.yaml:14: weights.scheme"]),
        ("name: loans", "name: loans\n? [a, b]\n: 1", ["loan.yaml:2", "keys are text"]),
        ("decline: {no: 100", "Approve: {no: 100", ["costs", "'Approve'", "'approve'", "upper from lower case"]),
        ("{no: 0, yes: 1}", "{no: !ENV x, yes: 1}", ["columns.classes.no", "cannot be read", "tags"]),
        ("{no: 0, yes: 1}", "&a {no: 0, yes: *a}", ["nested too deep"]),
        ("{no: 0, yes: 1}", "{no:0, yes: 1}", ["columns.classes.no:0", "no value", "space behind a colon"]),
        ("location: out/scored", "location: s3://bucket/x", ["tables.scored.location", "s3"]),
        ("scored: {format: parquet", "scored: {format: csv", ["tables.scored.format", "parquet, orc"]),
        ("labelled: {format: parquet", "labelled: {format: csv", ["tables.labelled.schema"]),
        ("0.75 * loan", "0.75 * reflect(loan)", ["costs.approve.yes", "'reflect'", "line 1, column 8"]),
        ("0.75 * loan", "(select max(x) from t)", ["costs.approve.yes", "column 9"]),
        ("0.75 * loan", "-1", ["costs.approve.yes", ">= 0"]),
        ("0.75 * loan", ".nan", ["costs.approve.yes", ">= 0"]),
        ("yes: 0.75 * loan", "maybe: 3", ["costs.approve", "'maybe'"]),
        ("approve:", "unscorable:", ["costs.unscorable"]),
        ("name: loans", "name: [", ["not valid YAML", "line"]),
    ],
)  # fmt: skip
def test_load_config_mistake_is_one_helpful_sentence(
    tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    """Each mistake names its place, the value and what is allowed."""
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, GOOD.replace(old, new, 1))
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "loan.yaml" in message


@pytest.mark.parametrize("content", [None, "", "- 1\n", "\xff"])
def test_load_config_unusable_file_is_refused(tmp_path: Path, content: str | None) -> None:
    """A missing, empty, wrongly shaped or undecodable file is told apart from a wrong key."""
    path = tmp_path / "loan.yaml"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"loan\.yaml"):
        load_config(path)


def test_resolve_secrets_late_and_without_telling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret comes from the environment; a missing one is named, not shown."""
    monkeypatch.setenv("LAKE_KEY", "hush")
    assert resolve_secrets({"key": "k-${LAKE_KEY}"}, where="tables.labelled.options") == {
        "key": "k-hush"
    }
    with pytest.raises(ConfigError, match="no variable 'NOT_THERE'"):
        resolve_secrets({"key": "${NOT_THERE}"}, where="tables.labelled.options")


def test_fingerprint_holds_names_of_options_and_a_digest_and_no_value(tmp_path: Path) -> None:
    """Any option may be a secret, whatever its name; a change of one is still seen."""
    path = tmp_path / "loan.yaml"

    def recorded(url: str, location: str = "s3a://user:hush@lake/rows?sig=hush") -> dict[str, Any]:
        options = f'{{header: "true", "fs.s3a.secret.key": hush, url: "{url}"}}'
        labelled = f"labelled: {{format: parquet, location: '{location}', options: {options}}}"
        text = GOOD.replace("labelled: {format: parquet, location: data/history}", labelled)
        path.write_text(text, encoding="utf-8")
        config = load_config(path)
        assert config.table("labelled").options["fs.s3a.secret.key"] == "hush"
        assert config.table("labelled").location == location
        return config.fingerprint()["tables"]["labelled"]  # type: ignore[index, no-any-return]

    first, second = recorded("jdbc:x?password=hush"), recorded("jdbc:x?password=hash")
    assert list(first["options"]) == ["header", "fs.s3a.secret.key", "url"]
    assert first["location"] == "s3a://lake/rows?..."
    assert "hush" not in str(first)
    assert "true" not in str(first["options"])
    assert first != second
    assert first == recorded("jdbc:x?password=hush")


def test_fingerprint_is_plain_and_knows_no_folder(tmp_path: Path) -> None:
    """Two copies of one file in different folders are the same settings."""
    path = tmp_path / "loan.yaml"
    path.write_text(GOOD, encoding="utf-8")
    record = load_config(path).fingerprint()
    assert str(tmp_path) not in yaml.safe_dump(record)


def test_resolve_names_found_late_are_features(tmp_path: Path) -> None:
    """A pattern's columns are features of the resolved file, and may not clash with it either."""
    path = tmp_path / "loan.yaml"
    path.write_text(GOOD.replace("[income, loan]", "[{matching: 'g_.*'}]"), encoding="utf-8")
    config = load_config(path)
    assert config.roles.features == ()
    columns = ["id", "outcome", "loan", "age", "g_1", "g_2"]
    assert config.resolve(columns).roles.features == ("g_1", "g_2")
    path.write_text(GOOD.replace("[income, loan]", "[{matching: 'prob.*'}]"), encoding="utf-8")
    with pytest.raises(ConfigError, match="probability_yes is also the name of a column"):
        load_config(path).resolve(["id", "outcome", "loan", "age", "probability_yes"])


def test_resolve_sensitive_column_never_slips_in(tmp_path: Path) -> None:
    """A pattern passes over it however it is spelt, and a name that the table lacks is refused."""
    path = tmp_path / "loan.yaml"
    path.write_text(GOOD.replace("[income, loan]", "[{matching: '.*'}]"), encoding="utf-8")
    found = load_config(path).resolve(["id", "outcome", "income", "loan", "AGE"])
    assert found.roles.features == ("income", "loan")
    with pytest.raises(InputError, match="no column 'age'; beside a range or a pattern"):
        load_config(path).resolve(["id", "outcome", "income", "loan", "ages"])


def test_load_config_values_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    """Norway is a country, 010 is a branch, and 1e-3 is a number."""
    text = GOOD.replace("regParam: 0.01", "regParam: 1e-3").replace(
        "labelled: {", "labelled: {partition: {country: NO, branch: 010, as_of: 2026-03-01}, "
    )
    path = tmp_path / "loan.yaml"
    path.write_text(text.replace("no: 100", "no: 0500"), encoding="utf-8")
    config = load_config(path)
    assert config.model.params == {"regParam": 0.001}
    assert config.tables.labelled is not None
    found = config.tables.labelled.partition
    assert found == {"country": "NO", "branch": "010", "as_of": "2026-03-01"}
    assert config.matrix.to_dict()["decline"]["no"] in (500, "500")


def test_load_config_never_shows_the_value_of_an_option(tmp_path: Path) -> None:
    """A password that looks like a number is a mistake to tell, not a value to print."""
    options = ("{password: 90210445}", "{password: !env 90210445}", "'password=90210445'")
    for wrong in options:
        text = GOOD.replace("location: out/scored", f"location: out/scored, options: {wrong}")
        with pytest.raises(ConfigError, match=r"tables\.scored\.options") as caught:
            _load(tmp_path, text)
        assert "90210445" not in str(caught.value)


def test_ranges_pass_over_the_clock_and_the_decision_that_was_taken(tmp_path: Path) -> None:
    """What orders the split, or was decided by somebody, is no feature; reasons need none named."""
    path = tmp_path / "loan.yaml"
    text = GOOD.replace("[income, loan]", "[{from: booked, to: income}]")
    more = """
split: {by: booked}
monitor: {decided: taken}
reasons: {against: {decline: "yes"}}
"""
    path.write_text(text + more, encoding="utf-8")
    config = load_config(path).resolve(
        ["id", "booked", "taken", "loan", "income", "outcome", "age"]
    )
    assert config.roles.numeric == ("loan", "income")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": -1}, ["Config: seed: value -1 is not allowed", "greater than or equal to 0"]),
        ({"costz": {}}, ["Unknown key 'costz' at Config", "Did you mean 'costs'?"]),
        ({"model": {"kind": "lgoistic"}}, ["unknown kind 'lgoistic'", "Did you mean 'logistic'?"]),
        ({"split": {"test": 0.7, "calibrate": 0.5}}, ["leave no rows to fit on"]),
    ],
)
def test_config_built_in_a_notebook_is_checked_like_a_files(
    changes: dict[str, Any], words: list[str]
) -> None:
    """The same sentences, with what holds between sections, and no library's trace."""
    stated: dict[str, Any] = {
        "name": "loans",
        "columns": {"keys": ["id"], "label": "y", "classes": {"a": 0, "b": 1}, "numeric": ["x"]},
    }
    Config(**stated)
    with pytest.raises(ConfigError) as caught:
        Config(**{**stated, **changes})
    for word in words:
        assert word in str(caught.value)
