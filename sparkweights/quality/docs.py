"""Great Expectations' Data Docs of results, as pages without scripts and without other files.

The library's templates do not escape text, and load scripts and styles from other hosts. Every
special character of names, kwargs and results is therefore replaced by a private one before the
library renders them, and becomes its HTML entity afterwards. Scripts and links to other files are
removed in between, when the page is made of the library's own markup alone.
"""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sparkweights.quality.conditions import row_condition_text
from sparkweights.quality.library import Native, context_of, expectation, native_suite
from sparkweights.storage.location import Location
from sparkweights.storage.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkweights.quality.suite import Suite

_NO_FILE_NAME = re.compile(r"[^\w.-]+")  # of a suite's name, which becomes that of a page
_SPECIAL = "<>&\"'$*`[]\\"  # of HTML, of string templates, and of Markdown
_PRIVATE = 0xF0000  # the first of the private characters that stand for them
_HIDE = {ord(character): chr(_PRIVATE + ord(character)) for character in _SPECIAL}
_SHOW = {_PRIVATE + ord(character): html.escape(character) for character in _SPECIAL}
_FOREIGN = re.compile(
    r"<script\b.*?</script\s*>|<(?:link|img|iframe|object|embed|base)\b[^>]*>"
    r"|<style\b.*?</style\s*>",
    re.IGNORECASE | re.DOTALL,
)
_HANDLER = re.compile(r"\s(?:on\w+|src|integrity)\s*=\s*(?:\"[^\"]*\"|'[^']*')", re.IGNORECASE)
_HEAD = re.compile(r"<head\b[^>]*>", re.IGNORECASE)
_POLICY = (
    '<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
)
_STYLE = """<style>
body { font: 15px/1.5 sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: .5em 0 }
td, th { border: 1px solid #ccc; padding: .3em .6em }
ul, ol { padding-left: 1.5em } pre { overflow-x: auto } h1, h2, h3, h4 { line-height: 1.25 }
</style>"""


def write_docs(
    gx: Native, suite: Suite, outcomes: Sequence[Native], *, table: str, docs: Location
) -> None:
    """Write the library's Data Docs from existing results; nothing is run.

    Parameters
    ----------
    outcomes
        The library's own results for the suite's expectations.
    table
        The table's name, for the pages.
    docs
        The folder to write into.
    """
    from great_expectations.core import (
        ExpectationSuiteValidationResult,
        RunIdentifier,
    )
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    name = _NO_FILE_NAME.sub("_", suite.name)
    entries = {entry["id"]: _hidden_entry(entry) for entry in suite.expectations}
    natives = [expectation(gx, _without_conditions(entry), {}) for entry in entries.values()]
    run, of_suite = RunIdentifier(run_time=datetime.now(UTC)), ExpectationSuiteIdentifier(name)
    statistics = _statistics(outcomes)
    meta = {
        "run_id": run,
        "great_expectations_version": gx.__version__,
        "batch_spec": {"data_asset_name": table},  # the pages read the table's name from it
    }
    result = ExpectationSuiteValidationResult(
        success=not statistics["unsuccessful_expectations"],
        results=[_hidden_outcome(outcome, entries) for outcome in outcomes],
        suite_name=name,
        statistics=statistics,
        meta=meta,
    )
    # The library writes to a local filesystem alone.
    with scratch_folder(Location.temporary()) as built:
        context = _context(gx, built)
        context.suites.add(native_suite(gx, natives, name))
        context.validation_results_store.store_validation_results(
            suite_validation_result=result,
            suite_validation_result_identifier=ValidationResultIdentifier(
                expectation_suite_identifier=of_suite, run_id=run, batch_identifier=table
            ),
            expectation_suite_identifier=of_suite,
        )
        context.build_data_docs()
        _copy_self_contained(built, docs)


def _hidden(value: object) -> Any:  # noqa: ANN401 (any JSON)
    """Return a value in which every text has private characters for its special ones."""
    match value:
        case str():
            return value.translate(_HIDE)
        case dict():
            return {_hidden(key): _hidden(part) for key, part in value.items()}
        case list() | tuple():
            return [_hidden(part) for part in value]
        case _:
            return value


def _hidden_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    kwargs = dict(entry["kwargs"])
    if kwargs.pop("condition_parser", None) or kwargs.get("row_condition") is not None:
        kwargs["row_condition"] = row_condition_text(kwargs.get("row_condition"))
    notes = (entry.get("meta") or {}).get("notes")
    return {
        "id": entry["id"],
        "type": entry["type"],
        "severity": entry["severity"],
        "kwargs": _hidden(kwargs),
        "meta": {} if notes is None else {"notes": _hidden(notes)},
    }


def _without_conditions(entry: Mapping[str, Any]) -> dict[str, Any]:
    kwargs = {key: value for key, value in entry["kwargs"].items() if key != "row_condition"}
    return {**entry, "kwargs": kwargs}


def _hidden_outcome(outcome: Native, entries: Mapping[str, Mapping[str, Any]]) -> Native:
    """Return a result of the library for the pages, with the suite's own kwargs."""
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import (
        ExpectationConfiguration,
    )

    entry = entries[outcome.expectation_config.meta["sparkweights_id"]]
    return ExpectationValidationResult(
        success=outcome.success,
        expectation_config=ExpectationConfiguration(
            type=entry["type"], kwargs=entry["kwargs"], meta=entry["meta"]
        ),
        result=_hidden(outcome.result),
        exception_info=_hidden(outcome.exception_info),
        meta={},
    )


def _statistics(outcomes: Sequence[Native]) -> dict[str, object]:
    passed, evaluated = sum(outcome.success for outcome in outcomes), len(outcomes)
    return {
        "evaluated_expectations": evaluated,
        "successful_expectations": passed,
        "unsuccessful_expectations": evaluated - passed,
        "success_percent": 100 * passed / evaluated if evaluated else None,
    }


def _context(gx: Native, docs: Location) -> Native:
    context = context_of(gx)
    context.add_data_docs_site(
        site_name="docs",
        site_config={
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": docs.local_path,
            },
        },
    )
    return context


def _copy_self_contained(built: Location, docs: Location) -> None:
    """Copy the library's pages, and list all that are there in an index without scripts."""
    for page in built.files():
        if page.name.endswith(".html"):
            target = docs / page.relative_to(built)
            target.write_bytes(self_contained(page.read_text()).encode())
    index, links = docs / "index.html", ""
    for page in docs.files():
        path = page.relative_to(docs)
        if path.endswith(".html") and page != index:
            links += (
                f'<li><a href="{quote(path)}">{html.escape(path.removesuffix(".html"))}</a></li>'
            )
    text = (
        f'<!doctype html><html lang="en"><head>{_POLICY}<title>Data Docs</title>{_STYLE}</head>'
        f"<body><h1>Data Docs</h1><ul>{links}</ul></body></html>"
    )
    index.write_bytes(text.encode())


def self_contained(page: str) -> str:
    """Return a page of the library without scripts and references, with the text of users escaped.

    A page that was rewritten before is returned as it is.
    """
    if _POLICY in page:
        return page
    page = _HANDLER.sub("", _FOREIGN.sub("", page))
    page = _HEAD.sub(lambda match: match.group() + _POLICY + _STYLE, page, count=1)
    return page.translate(_SHOW)
