"""Write the tables of the documentation from the code: ``python docs/generate.py``.

A page holds a table between ``<!-- begin NAME ARGUMENT -->`` and ``<!-- end -->``; this script
replaces what is between them, and a test fails where a page is not up to date.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from sparkweights.cli.options import make_parser
from sparkweights.config.schema import Config
from sparkweights.core import errors
from sparkweights.models.registry import AUTO, BUILT_IN
from sparkweights.probability.settings import CALIBRATIONS
from sparkweights.spec import security, settings, stream, tables
from sparkweights.spec.outputs import QUARANTINE, SCORED
from sparkweights.weights.spec import SCHEMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sparkweights.models.declaration import ParamValue

    Schema = Mapping[str, Any]  # JSON

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sparkweights"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
GENERATED = re.compile(r"(<!-- begin (\w+) ?(\S*) -->\n).*?(<!-- end -->)", re.DOTALL)

# Keys whose type is text and whose values another module checks.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "weights.scheme": SCHEMES,
    "model.kind": (AUTO, *BUILT_IN),
    "decision.calibration": CALIBRATIONS,
}
# A path may hold <names>; a test compares the paths with what the verbs wrote.
FILES: Mapping[str, tuple[str, str]] = {
    "<artifacts>/current": ("train", "Version of the bundle in use."),
    "<artifacts>/<version>/model/": ("train", "The model, as its library saves it."),
    "<artifacts>/<version>/held_out/": (
        "train",
        "Models that were fitted without a fold, where the published one was fitted on all rows.",
    ),
    "<artifacts>/<version>/manifest.json": (
        "train",
        (
            "Record of the model: prior, weights, ledger, calibration, costs, evaluation, the "
            "configuration, versions, and the SHA-256 of each file."
        ),
    ),
    "<artifacts>/<version>/manifest.sha256": ("train", "SHA-256 of the manifest."),
    "<artifacts>/<version>/manifest.hmac": (
        "train",
        "Signature of the manifest. Only with `signing`.",
    ),
    "<artifacts>/<version>/reference.json": (
        "train",
        "Histograms of scores and features that `monitor` and label shift compare with.",
    ),
    "<artifacts>/<version>/report.html": ("train", "The model's report, one self-contained page."),
    "<artifacts>/weights/": ("weights", "`weights.json` and `weights.parquet`."),
    "<artifacts>/tuning/": (
        "tune",
        "`tuning.json`, `tuning.parquet`, `curve.svg` and `report.html`.",
    ),
    "<artifacts>/evaluation/<version>/": ("evaluate", "`evaluation.json` and `report.html`."),
    "<artifacts>/backtest/": ("evaluate --backtest", "`backtest.json` and `report.html`."),
    "<students>/<version>/": ("distill", "A student's bundle, with the files of any bundle."),
    "<students>/current": ("distill", "Version of the student in use."),
    "<students>/distillation/<version>/": ("distill", "`distillation.json` and `report.html`."),
    "<students>/export/<version>/": (
        "distill",
        "`model.sql`, `model.spark.sql`, `model.json`, `standalone.py`, as `distill.export` says.",
    ),
    "<artifacts>/importance/<version>/": (
        "explain",
        "`importance.json`, `importance.parquet` and `report.html`.",
    ),
    "<runs>/run_date=<date>/manifest.json": (
        "score",
        (
            "Record of the run, written after the tables: row counts, what rows were set aside for "
            "(`quarantined_for`) or unscorable for (`faults`), prior, ledger, costs, checks, the "
            "configuration without secrets, sources, versions and durations."
        ),
    ),
    "<runs>/run_date=<date>/manifest.pending.json": (
        "score",
        (
            "Record of a run that ended while it published. Its `scored_at`, compared with that of "
            "the rows, tells which tables it had replaced."
        ),
    ),
    "<runs>/run_date=<date>/report.html": ("score", "The run's report, one self-contained page."),
    "<runs>/run_date=<date>/monitor.json": ("monitor", "Drift measures and limits."),
    "<runs>/run_date=<date>/monitor.html": ("monitor", "The same as a page."),
}
ACTIONS: Mapping[int, str] = {
    1: "Do what the last line says, or see Spark's own log; run the date again once.",
    2: "Correct what the line names.",
    3: "The last line names the gate: expectations, base rate, cost, duplicate keys, or rows set "
    "aside. For a suite, `sparkweights check --table labelled` or `--table incoming` lists every "
    "expectation. Readers see the old rows.",
    4: "Run the job that fills the table, then this date.",
    5: "No model: `train`. An altered one: `score --model VERSION`, or write an older version into "
    "`current`. Another configuration's: give each configuration its own `artifacts`. A newer "
    "Spark: score there, or train again.",
    6: "Wait for the run that holds the table, or make room; then run the date again.",
    7: "Read the report; it names the columns.",
}


def main() -> None:
    """Bring every page up to date."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (current := refresh(text)) != text:
            page.write_text(current, encoding="utf-8")


def refresh(text: str) -> str:
    """Return a page with its generated parts written anew."""
    return GENERATED.sub(
        lambda found: f"{found[1]}\n{BLOCKS[found[2]](found[3])}\n\n{found[4]}", text
    )


def key_table(section: str) -> str:
    """Return what a section of the configuration is, and its keys: values, default and meaning."""
    schema = Config.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    if section == "top":
        meanings, required, intro = _attributes(Config), schema["required"], ""
        keys = {key: one for key, one in schema["properties"].items() if key in meanings}
        del keys["folder"]  # of the file, and no key in it
    else:
        definition, intro = definitions[section], _intro(_sections()[section])
        keys, required = definition["properties"], definition.get("required", ())
        meanings = _attributes(_sections()[section])
    prefix = "" if section == "top" else f"{section.lower()}."
    rows = []
    for key, one in keys.items():
        values = CHOICES.get(prefix + key)
        rows.append((
            f"`{key}`",
            _code(values) if values else _values(one),
            "required" if key in required else _default(one),
            meanings[key],
        ))  # fmt: skip
    return intro + _table(("key", "values", "default", "meaning"), rows)


def parameter_table(_: str) -> str:
    """Return what ``model.params`` accepts, by learner."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for kind, learner in BUILT_IN.items():
        for name, bound in learner.params.items():
            default = learner.defaults.get(name)
            told = f"`{kind}`" + ("" if default is None else f" (default {_shown(default)})")
            kinds.setdefault((name, str(bound)), []).append(told)
    rows = [(f"`{name}`", bound, ", ".join(of)) for (name, bound), of in kinds.items()]
    return _table(("parameter", "values", "learners"), rows)


def _shown(value: ParamValue) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def verb_table(_: str) -> str:
    """Return the verbs of the command line, with their options."""
    parser = make_parser()
    (verbs,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    helps = {one.dest: one.help for one in verbs._choices_actions}
    rows = []
    for name, verb in verbs.choices.items():
        options = [one.option_strings[-1] for one in verb._actions if one.option_strings]
        rows.append((
            f"`{name}`",
            str(helps[name]),
            _code(one for one in options if one not in {"--help", "--quiet", "--json"}),
        ))  # fmt: skip
    return _table(("verb", "purpose", "options"), rows)


def column_table(table: str) -> str:
    """Return the columns of a table that is written."""
    columns = {"scored": SCORED, "quarantine": QUARANTINE}[table]
    rows = ((f"`{one.name}`", f"`{one.type}`", one.meaning) for one in columns)
    return _table(("column", "type", "content"), rows)


def file_table(_: str) -> str:
    """Return the files beside the tables."""
    rows = ((f"`{path}`", f"`{verb}`", text) for path, (verb, text) in FILES.items())
    return _table(("path", "written by", "content"), rows)


def exit_code_table(_: str) -> str:
    """Return the exit codes: their meaning and what to do."""
    meanings = {
        one.exit_code: (f"`{name}`", str(inspect.getdoc(one)).partition("\n")[0])
        for name, one in vars(errors).items()
        if inspect.isclass(one) and issubclass(one, errors.SparkweightsError)
    }
    meanings[1] = ("", "A bug; or no Java; or Spark itself failed (memory, network, executors).")
    rows = [("0", "", "Done.", "")]
    rows += [(str(code), *meanings[code], ACTIONS[code]) for code in sorted(meanings)]
    rows += [("130, 143", "", "Interrupted, or ended by SIGTERM.", "Run the date again.")]
    return _table(("code", "raised as", "meaning", "what to do"), rows)


def layer_list(_: str) -> str:
    """Return the layers that import-linter enforces, upper to lower."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = (one["layers"] for one in contracts if one["type"] == "layers")
    return "\n".join(["```text", *(one.replace("sparkweights.", "") for one in layers), "```"])


def module_map(_: str) -> str:
    """Return every module with the first sentence of its docstring, by package."""
    parts = []
    folders = [PACKAGE, *sorted(one.parent for one in PACKAGE.rglob("__init__.py"))]
    for folder in dict.fromkeys(folders):
        name = folder.relative_to(PACKAGE.parent).as_posix()
        modules = [one for one in sorted(folder.glob("*.py")) if one.name != "__init__.py"]
        parts.append(f"### {name}\n\n{_summary(folder / '__init__.py')}")
        if modules:
            rows = ((f"`{one.name}`", _summary(one)) for one in modules)
            parts.append(_table(("module", "content"), rows))
    return "\n\n".join(parts)


def dependency_table(_: str) -> str:
    """Return the releases of the locked run-time packages, which ``dependencies.py`` has read."""
    record = json.loads((ROOT / "docs" / "dependencies.json").read_text(encoding="utf-8"))
    rows = (
        (
            f"`{one['name']}`",
            one["version"],
            one["licence"],
            one["released"],
            one["first"],
            one["newest"],
            "not stated" if one["advisories"] is None else ", ".join(one["advisories"]) or "none",
        )
        for one in record["releases"]
    )
    head = ("package", "version", "licence", "released", "first", "newest", "vulnerabilities")
    return f"As the package index stated on {record['read_on']}:\n\n{_table(head, rows)}"


BLOCKS: Mapping[str, Callable[[str], str]] = {
    "keys": key_table,
    "parameters": parameter_table,
    "verbs": verb_table,
    "columns": column_table,
    "files": file_table,
    "exit_codes": exit_code_table,
    "layers": layer_list,
    "modules": module_map,
    "dependencies": dependency_table,
}


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def _code(words: Iterable[object]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _summary(module: Path) -> str:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    text = (ast.get_docstring(tree) or "").partition("\n\n")[0]
    return _markdown(" ".join(text.split()))


def _markdown(text: str) -> str:
    """Return the words of a docstring with code marked as Markdown marks it."""
    return text.replace("``", "`")


def _sections() -> dict[str, type[BaseModel]]:
    return {
        name: one
        for name, one in {
            **vars(security),
            **vars(settings),
            **vars(stream),
            **vars(tables),
        }.items()
        if inspect.isclass(one) and issubclass(one, BaseModel)
    }


def _intro(section: type) -> str:
    """Return the paragraphs of a section's docstring above its keys."""
    told = str(inspect.getdoc(section)).partition("Attributes\n----------\n")[0]
    told = re.sub(r"; see `sparkweights\.[^`]+`", "", told)  # readers of the page see no code
    return "".join(f"{_markdown(one)}\n\n" for one in told.strip().split("\n\n"))


def _attributes(section: type[BaseModel]) -> dict[str, str]:
    """Return what a section's docstring says of each key, by the key in the file."""
    told = str(inspect.getdoc(section)).partition("Attributes\n----------\n")[2]
    told = told.partition("\n\nRaises\n------\n")[0]
    found = re.findall(r"^(\w[\w, ]*)\n((?:    .*(?:\n|$)|\n)+)", told, re.MULTILINE)
    aliases = {name: field.alias or name for name, field in section.model_fields.items()}
    return {aliases[name]: _markdown(" ".join(text.split())) for name, text in found}


def _default(schema: Schema) -> str:
    value = schema.get("default")
    if value in (None, {}, []):
        return ""
    if isinstance(value, dict):
        return "its defaults"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _values(schema: Schema) -> str:
    """Return what a JSON schema allows, in a few words."""
    match schema:
        case {"anyOf": [*options]}:
            words = [_values(one) for one in options if _is_set(one)]
            return " or ".join(dict.fromkeys(one for one in words if _adds(one, words)))
        case {"$ref": str(name)}:
            return f"a `{name.rpartition('/')[2]}`"
        case {"type": "array", "prefixItems": [first, *others]}:
            return f"{1 + len(others)} of: {_values(first)}"
        case {"type": "array", "items": item}:
            return f"list of {_values(item)}"
        case {"type": "object"}:
            (item,) = _entries(schema)
            return f"map of name to {_values(item)}"
    return _scalar(schema)


def _scalar(schema: Schema) -> str:
    match schema:
        case {"enum": [*values]}:
            return _code(values)
        case {"type": "boolean"}:
            return "`true` or `false`"
        case {"type": "string"}:
            return str(schema.get("format", "text"))
    return _number(schema)


def _is_set(schema: Schema) -> bool:
    return schema.get("type") != "null"


def _adds(words: str, all_words: Iterable[str]) -> bool:
    """Whether a type says more than the others do: whole numbers are numbers."""
    return words != "whole number" or "number" not in all_words


def _entries(schema: Schema) -> Iterable[Schema]:
    patterns = schema.get("patternProperties")
    return patterns.values() if isinstance(patterns, dict) else [schema["additionalProperties"]]


def _number(schema: Schema) -> str:
    kind = "whole number" if schema["type"] == "integer" else "number"
    signs = {
        "exclusiveMinimum": ">",
        "minimum": ">=",
        "exclusiveMaximum": "<",
        "maximum": "<=",
    }
    bounds = [f"{sign} {schema[name]}" for name, sign in signs.items() if name in schema]
    return " ".join([kind, " and ".join(bounds)]).strip()


if __name__ == "__main__":
    main()
