"""Reports: what the records hold, told to everybody, safe to open anywhere."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sparkweights.cli.summary import score_summary, train_summary
from sparkweights.records import ImportanceRecord, RunRecord, TrainingRecord, TuningRecord
from sparkweights.records.evaluation import EvaluationSummary
from sparkweights.records.weights import LedgerSummary
from sparkweights.report import figures
from sparkweights.report.evaluation_sections import confusion_section, evaluation_sections
from sparkweights.report.figures.canvas import LONGEST
from sparkweights.report.model_report import model_page, model_report
from sparkweights.report.numbers import NO_SAVINGS, amount, percent, savings, span
from sparkweights.report.page import Fact, Figure, Page, Section, render_page
from sparkweights.report.rounds_sections import rounds_sections
from sparkweights.report.run_report import run_page, run_report
from sparkweights.report.shared_sections import ledger_section
from sparkweights.report.tables import table

GOLDEN = Path(__file__).parents[1] / "golden"
VOID = {"meta", "link", "br", "hr", "img", "input", "wbr"}
NASTY = '<script>alert(1)</script> "q" \'a\' & $x^2$ id="content" _\u4e2d\u6587'
LARGEST = 3_000_000  # bytes of a report


def record(name: str) -> Any:
    """Return a record as a run left it."""
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def renamed(found: Any, old: str, new: str) -> Any:
    """Return a record in which a name, as a key or a value, is another."""
    if isinstance(found, dict):
        return {new if k == old else k: renamed(v, old, new) for k, v in found.items()}
    if isinstance(found, list):
        return [renamed(v, old, new) for v in found]
    return new if found == old else found


@cache
def pages(name: str) -> Page:
    """Return a page of a kind; drawing is slow, so each is drawn once."""
    if name == "run":
        return run_page(RunRecord.from_dict(record("run_manifest")))
    manifest, column = record("model_manifest"), "status_september"
    importance = record("importance_record")
    if name == "model":
        return model_page(
            TrainingRecord.from_dict(manifest),
            tuning=TuningRecord.from_dict(record("tuning_record")),
            importance=ImportanceRecord.from_dict(importance),
        )
    del manifest["evaluation"]["curves"]
    manifest = renamed(renamed(manifest, "default", NASTY), column, NASTY)
    return model_page(
        TrainingRecord.from_dict(manifest),
        importance=ImportanceRecord.from_dict(renamed(importance, column, NASTY)),
    )


@cache
def rendered(name: str) -> str:
    """Return a report of a kind."""
    return render_page(pages(name))


KINDS = ("model", "run", "nasty")


def test_model_page_of_a_training_in_rounds_shows_losses_and_gradients() -> None:
    """Loss by class, the share of clipped steps and the largest of them; without rounds neither."""
    manifest = record("model_manifest")
    names = manifest["classes"]
    manifest["rounds"] = [
        {
            "loss": loss,
            "class_losses": [loss / 2] * len(names),
            "gradient_norm": loss,
            "gradient_variance": None if loss == 0.7 else 4 * loss,
            "largest": 0.25,
            "clipped": 0.5,
            "rate": 0.1,
        }
        for loss in (0.7, 0.5, 0.4)
    ]
    kept = TrainingRecord.from_dict(manifest)
    assert kept.to_dict()["rounds"] == manifest["rounds"]
    sections = {section.id: section for section in rounds_sections(kept)}
    assert "from 0.7 to 0.4" in sections["rounds"].sentence
    assert "50.0 % of the steps were clipped" in sections["gradients"].sentence
    assert "has norm 0.25" in sections["gradients"].sentence
    assert "rounds" not in {section.id for section in pages("model").sections}


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ({"crossed": 5}, "each of 5 models was fitted without one fold and evaluated on it"),
        ({"by": "month"}, "a model of the earlier rows by month was evaluated on the later ones"),
    ],
)
def test_model_page_says_which_rows_the_published_model_learned_from(
    split: dict[str, Any], words: str
) -> None:
    """A model of all rows was not evaluated itself: the page says whose figures it shows."""
    manifest = record("model_manifest")
    held_out = "were held out before training"
    body = {section.id: section for section in pages("model").sections}["made"].body
    assert held_out in " ".join(map(str, body))
    manifest["refit"] = {"rows": "all", "folds": 5, "reason": "the table has at most 50,000 rows"}
    manifest["split"] |= split
    page = model_page(TrainingRecord.from_dict(manifest))
    text = " ".join(map(str, {section.id: section for section in page.sections}["made"].body))
    assert "is fitted on all labelled rows, because the table has at most 50,000 rows" in text
    assert words in text
    assert held_out not in text


class ColumnInTwoModels(HTMLParser):
    """What a browser would see: elements with their attributes, nesting and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str], tuple[str, ...]]] = []
        self.text: dict[str, str] = {}
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Go into an element."""
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, found, tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in {"td", "th"}:
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See an element that closes itself."""
        self.elements.append((tag, {k: v or "" for k, v in attrs}, tuple(self.open)))

    def handle_endtag(self, tag: str) -> None:
        """Leave the innermost element, which must be this one."""
        assert self.open, tag
        assert self.open[-1] == tag, (self.open, tag, self.getpos())
        self.open.pop()

    def handle_data(self, data: str) -> None:
        """Keep text, by its element and by its cell."""
        if self.open:
            self.text[self.open[-1]] = self.text.get(self.open[-1], "") + data
        if set(self.open) & {"td", "th"}:
            self.tables[-1][-1][-1] += data

    def of(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of each element of a kind."""
        return [attributes for name, attributes, _ in self.elements if name == tag]


@cache
def seen(name: str) -> ColumnInTwoModels:
    """Return a report as a browser would see it."""
    return ColumnInTwoModels(rendered(name))


@pytest.mark.parametrize("name", KINDS)
def test_page_any_is_balanced_with_ids_that_are_unique_and_links_that_resolve(name: str) -> None:
    """Every element is closed, and every id that something refers to is there once."""
    page = seen(name)
    assert page.open == []
    ids = Counter(a["id"] for _, a, _ in page.elements if "id" in a)
    assert [one for one, times in ids.items() if times > 1] == []
    links = [a["href"] for a in page.of("a")]
    assert len(links) > 10
    text = rendered(name)
    references = [link.removeprefix("#") for link in links]
    references += re.findall(r"url\(#([^)]+)\)", text) + re.findall(r'xlink:href="#([^"]+)', text)
    for attribute in ("aria-labelledby", "aria-describedby"):
        references += " ".join(a.get(attribute, "") for _, a, _ in page.elements).split()
    assert set(references) <= set(ids)


@pytest.mark.parametrize("name", KINDS)
def test_page_any_is_one_file_that_fetches_and_runs_nothing(name: str) -> None:
    """Nothing outside is named where a browser would fetch it, and there is no script."""
    page, text = seen(name), rendered(name)
    assert len(text.encode()) < LARGEST
    assert not {"script", "link", "img", "iframe", "object", "image"} & {
        tag for tag, _, _ in page.elements
    }
    for _, attributes, _ in page.elements:
        for key, value in attributes.items():
            assert not key.startswith("on")
            if key in {"src", "href", "xlink:href", "action", "data"}:
                assert value.startswith("#")
    assert all(found == "#" for found in re.findall(r"url\(['\"]?(.)", text))
    assert "@import" not in text
    [policy] = [a["content"] for a in page.of("meta") if "http-equiv" in a]
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("name", KINDS)
def test_figure_any_has_a_name_a_reading_and_a_table(name: str) -> None:
    """A figure says what it is and how to read it, and its numbers are in a table beside it."""
    page, text = seen(name), rendered(name)
    drawings = page.of("svg")
    assert len(drawings) >= 4
    for drawing in drawings:
        assert drawing["role"] == "img"
        for attribute, tag in (("aria-labelledby", "title"), ("aria-describedby", "desc")):
            assert re.search(rf'<{tag} id="{drawing[attribute]}">[^<]{{10,}}</{tag}>', text)
    assert len(page.of("figcaption")) == len(page.of("details")) == len(drawings)
    assert text.count("</figure>\n<details>") == len(drawings)


@pytest.mark.parametrize("name", KINDS)
def test_page_any_has_landmarks_headings_in_order_and_tables_with_scopes(name: str) -> None:
    """What a screen reader steers by is there."""
    page = seen(name)
    tags = Counter(tag for tag, _, _ in page.elements)
    assert all(tags[tag] == 1 for tag in ("main", "nav", "header", "footer", "h1"))
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.of("a")[0]["href"] == "#content"
    assert tags["caption"] == tags["table"]
    assert all(a["scope"] in {"row", "col"} for a in page.of("th"))
    for rows in page.tables:
        assert len({len(row) for row in rows}) == 1
        assert all(cell for cell in rows[0])


def test_page_of_nasty_names_shows_them_as_text() -> None:
    """A class or column named like a script, a formula or an id is shown, never obeyed."""
    page, text = seen("nasty"), rendered("nasty")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert any(NASTY in cell for rows in page.tables for row in rows for cell in row)
    assert NASTY[: LONGEST - 1] in page.text["text"]


def test_report_of_the_same_record_is_the_same_bytes() -> None:
    """A report can be compared, cached and archived: it holds no clock and no chance."""
    assert run_report(RunRecord.from_dict(record("run_manifest"))) == rendered("run")


def tables_of(page: Page) -> dict[str, list[tuple[str, ...]]]:
    """Return the rows of each table of a page by its caption."""
    found = [s.table for s in page.sections] + [
        s.figure.table for s in page.sections if s.figure is not None
    ]
    return {one.caption: list(one.rows) for one in found if one is not None}


def test_model_page_holds_the_numbers_of_its_manifest() -> None:
    """The demo's figures, by hand from the manifest."""
    page = pages("model")
    found = tables_of(page)
    assert found["Cost by decision rule"] == [
        ("always approve", "106,762,500", ""),
        ("always decline", "127,324,600", ""),
        ("costs counted twice", "100,537,100", "5.8 %"),
        ("threshold 0.5", "79,589,300", "25.5 %"),
        ("this model", "67,566,800", "36.7 %"),
    ]
    assert found["Rows by decision and class"] == [
        ("approve", "3,002", "431"),
        ("decline", "745", "633"),
    ]
    assert found["Cost by decision and class"][0] == ("approve", "0", "41,230,500")
    assert found["Shares of the classes"] == [
        ("repay", "77.9 %", "53.8 %"),
        ("default", "22.1 %", "46.2 %"),
    ]
    assert found["Predicted and observed, by groups of rows"][-1] == (
        "corrected, 10",
        "481",
        "73.7 %",
        "73.0 %",
    )
    assert [step for _, step in found["Corrections of the probabilities, in order"]] == [
        "Natural class shares: repay 77.9 %, default 22.1 %.",
        "Training used cost weights: inverted.",
        "Calibrated (isotonic) on held-out rows that carry no class weights.",
    ]
    assert page.facts[0] == Fact("Saved", "36.7 %", page.facts[0].note, "good")


def test_run_page_holds_the_numbers_of_its_manifest() -> None:
    """Rows, decisions, checks and seconds, by hand from the manifest."""
    page = pages("run")
    found = tables_of(page)
    assert ("quarantined", "19", "0.3 %") in found["Every row is accounted for"]
    assert "infinite credit_limit (3), cost decline.repay (1)" in page.sections[0].body[-1]
    assert found["Rows by decision"][-1] == ("review", "298", "5.0 %")
    assert found["Seconds by step"][0] == ("check incoming", "4.1 s")
    incoming = next(s.table for s in page.sections if s.id == "checks-0")
    assert incoming is not None
    assert [row[0] for row in incoming.rows[:3]] == [
        "marriage: be in set",
        "age: be between",
        "bill_may: column mean to be between",
    ]
    assert incoming.rows[0][2] == "failed on 19"
    assert page.facts[2].value == "39.9 %"  # 1 - 83,120,400 / 138,401,200


def test_model_page_without_optional_records_leaves_their_sections_out() -> None:
    """What was not recorded is not drawn, and nothing is made up in its place."""
    manifest = record("model_manifest")
    del manifest["evaluation"]["curves"], manifest["evaluation"]["decision_costs"]
    del manifest["evaluation"]["costs"]["double_count"], manifest["files"], manifest["version"]
    del manifest["evaluation"]["savings"]["double_count"]
    manifest |= {"stopping": None}
    manifest["contest"] = {"champion": None, "costs": None, "obstacle": "none", "promoted": True}
    page = model_report(TrainingRecord.from_dict(manifest))
    assert re.findall(r'<section id="([^"]+)"', page) == [
        *("made", "balance", "costs", "decision-cost", "mistakes", "reliability-0", "measures"),
        *("ledger", "card", "versions"),
    ]
    assert "counted twice" not in page


def test_run_page_without_checks_shift_and_review_leaves_their_sections_out() -> None:
    """A run without suites, shift and review has none of their sections."""
    manifest = record("run_manifest")
    del manifest["drift"]
    manifest |= {
        "reasons": {},
        "faults": {},
        "quarantined_for": {},
        "label_shift": None,
        "review": None,
        "checks": {"incoming": None, "scored": None},
    }
    ids = {section.id for section in run_page(RunRecord.from_dict(manifest)).sections}
    assert ids == {
        *(
            "rows",
            "decisions",
            "decision-cost",
            "classes",
            "costs",
            "ledger",
            "durations",
            "versions",
        ),
    }


def test_run_page_of_an_empty_night_is_a_page() -> None:
    """No rows are no reason to have no report."""
    manifest = record("run_manifest")
    for part in ("rows", "decisions", "expected_classes", "expected_cost"):
        manifest[part] = dict.fromkeys(manifest[part], 0)
    found = RunRecord.from_dict(manifest)
    assert "0 incoming rows" in run_report(found)
    assert NO_SAVINGS in run_report(found)
    assert NO_SAVINGS in score_summary(found)


def test_model_page_of_many_classes_draws_each() -> None:
    """Two classes mirror each other, and the rarer is drawn; of three each has its figure."""
    evaluation = record("model_manifest")["evaluation"]
    del evaluation["curves"], evaluation["decision_costs"]
    classes = evaluation["classes"]
    classes["late"] = copy.deepcopy(classes["default"])
    for counts in evaluation["decisions"].values():
        counts["late"] = 7
    found = evaluation_sections(EvaluationSummary.from_dict(evaluation))
    drawn = [section.title for section in found if section.id.startswith("reliability")]
    assert [title.split("(")[1] for title in drawn] == ["repay)", "default)", "late)"]


def test_mistakes_of_many_classes_are_a_table() -> None:
    """Where cells are too small for numbers, they stand in a table only."""
    evaluation = record("model_manifest")["evaluation"]
    classes, decisions = evaluation["classes"], evaluation["decisions"]
    for i in range(7):
        classes[f"kind {i}"] = classes["default"]
        decisions["approve"][f"kind {i}"] = decisions["decline"][f"kind {i}"] = i
    mistakes = confusion_section(EvaluationSummary.from_dict(evaluation))
    assert mistakes.figure is None
    assert mistakes.table is not None
    assert mistakes.table.rows[0][-1] == "6"


def test_ledger_of_equal_weights_says_that_they_bend_nothing() -> None:
    """Weights that are 1 for each class are not a bend, done or undone."""
    manifest = record("run_manifest")
    [bend] = manifest["ledger"]["bends"]
    bend |= {"undone": False}
    bend["rule"] |= {"scheme": "none", "scale": 1.0, "cells": {"repay": "1.0", "default": "1.0"}}
    section = ledger_section(LedgerSummary.from_dict(manifest["ledger"]))
    assert section.table is not None
    assert "nothing changes" in section.table.rows[1][1]
    assert "can be priced" in section.sentence


def test_ledger_that_still_holds_weights_says_so() -> None:
    """A reader is warned where probabilities were not corrected."""
    ledger = record("run_manifest")["ledger"]
    ledger["bends"][0]["undone"] = False
    assert "count the costs twice" in ledger_section(LedgerSummary.from_dict(ledger)).sentence


def test_two_equal_figures_on_a_page_do_not_share_ids() -> None:
    """Clip paths of one figure are not those of another."""
    svg = figures.draw_decisions(figures.Decisions((("approve", 3),)))
    figure = Figure(svg, "Rows by decision", "A bar is rows.", table("t", ("a",), [("b",)]))
    page = Page("t", "s", tuple(Section(i, i, i, figure=figure) for i in ("one", "two")))
    found = Counter(re.findall(r'\bid="([^"]+)"', render_page(page)))
    assert max(found.values()) == 1


def test_no_savings_has_one_value_and_one_wording() -> None:
    """A best constant decision that is free leaves nothing to save: the record has None."""
    manifest = record("model_manifest")
    evaluation = manifest["evaluation"]
    evaluation["savings"] = dict.fromkeys(evaluation["savings"], float("nan"))
    found = TrainingRecord.from_dict(manifest)
    assert set(found.evaluation.savings.values()) == {None}
    assert found.to_dict()["evaluation"]["savings"]["ours"] is None
    page, text = model_page(found), train_summary(found)
    costs = tables_of(page)["Cost by decision rule"]
    assert [row[2] for row in costs] == ["", "", NO_SAVINGS, NO_SAVINGS, NO_SAVINGS]
    assert text.count(NO_SAVINGS) == 3
    assert page.facts[0].value == NO_SAVINGS


def test_terminal_and_page_write_the_same_numbers() -> None:
    """Each cost, saving and interval on the terminal is on the page as well, digit by digit."""
    found = TrainingRecord.from_dict(record("model_manifest"))
    page, text = rendered("model"), train_summary(found)
    told = [amount(cost) for cost in found.evaluation.costs.values()]
    told += [savings(own) for own in found.evaluation.savings.values()]
    told += [percent(own.share) for own in found.evaluation.classes.values()]
    costs = found.comparison.costs
    assert costs is not None
    told += [amount(costs.before), amount(costs.after), span(costs.interval)]
    assert len(told) == 13
    for number in told:
        assert number in page, number
        assert number in text, number


def test_training_tells_which_calibration_it_chose_and_why() -> None:
    """The page and the terminal name the method and the rows that the choice rests on."""
    manifest = TrainingRecord.from_dict(record("model_manifest"))
    made = next(one for one in model_page(manifest).sections if one.id == "made")
    shown = "isotonic. auto: 1,064 effective rows of the rarest class"
    assert made.table is not None
    assert any(row[0] == "calibration" and shown in row[1] for row in made.table.rows)
    assert shown in " ".join(train_summary(manifest).split())
