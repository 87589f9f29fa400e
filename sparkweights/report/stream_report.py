"""A stream's report, from its record: what an operator reads while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkweights.report import figures
from sparkweights.report.numbers import amount, count, known, number, percent
from sparkweights.report.page import BAD, GOOD, PLAIN, Fact, Figure, Page, Section, render_page
from sparkweights.report.sentences import sentence_of
from sparkweights.report.shared_sections import version_section
from sparkweights.report.tables import facts_table, table

if TYPE_CHECKING:
    from sparkweights.records import StreamRecord


def stream_report(record: StreamRecord) -> str:
    """Return the record of a stream as one HTML file."""
    return render_page(stream_page(record))


def stream_page(record: StreamRecord) -> Page:
    """Return the page of `stream_report`."""
    return Page(
        f"{record.name}: stream, micro-batch {record.batch}",
        f"Model {record.model_version}; written at {record.updated_at}",
        (
            _state_section(record),
            *_cost_sections(record),
            _prior_section(record),
            _drift_section(record),
            version_section(record.versions, sentence="Versions that wrote the record."),
        ),
        (
            Fact(
                "Status", record.status, record.reason, BAD if record.status == "stopped" else GOOD
            ),
            Fact(
                "Model",
                record.model_status,
                f"learning is {record.learning}",
                BAD if record.drifts else GOOD,
            ),
            Fact("Rows", count(record.rows.incoming), "since the stream began", PLAIN),
            Fact(
                "Realised cost",
                amount(record.costs.realised),
                f"of {count(record.rows.with_outcome)} decisions whose outcome has come",
                PLAIN,
            ),
        ),
    )


def stream_facts(record: StreamRecord) -> list[tuple[str, str]]:
    """Return names and values of the state; a value that is empty does not apply."""
    lag = record.lag_s
    return [
        ("rows scored", f"{count(record.rows.scored)} of {count(record.rows.incoming)}"),
        ("rows per second, last micro-batch", count(record.rows_per_second)),
        ("rows per second, all", count(record.mean_rows_per_second)),
        ("seconds since the latest event", "" if lag is None else count(lag)),
        ("rows with outcome", count(record.rows.with_outcome)),
        ("rows let go without outcome", count(record.rows.expired)),
        ("outcomes whose row has not come", count(record.rows.unmatched_outcomes)),
        ("rows in the window", count(record.window_rows)),
        ("expected cost of all decisions", amount(record.costs.expected)),
        ("realised cost", amount(record.costs.realised)),
        ("expected cost of the same decisions", amount(record.costs.expected_of_realised)),
        ("model", f"{record.model_status}, learning {record.learning}"),
        ("micro-batches set aside", ", ".join(map(str, record.set_aside))),
    ]


def _state_section(record: StreamRecord) -> Section:
    return Section(
        "state",
        "State: rows, speed and cost to date",
        f"The last micro-batch that was committed is {record.batch}.",
        table=facts_table("State of the stream", stream_facts(record)),
    )


def _cost_sections(record: StreamRecord) -> list[Section]:
    """Return the costs by micro-batch; nothing before the first."""
    batches = record.by_batch
    if not batches:
        return []
    curve = figures.CostByBatch(
        tuple(entry.batch for entry in batches),
        tuple(known(entry.expected) for entry in batches),
        tuple(known(entry.constant) for entry in batches),
        tuple(known(entry.realised) for entry in batches),
        record.rarest,
        tuple(entry.share for entry in batches),
        tuple(drift.after for drift in record.drifts),
    )
    expected = sum(entry.expected_cost for entry in batches)
    constant = sum(entry.constant_cost for entry in batches)
    return [
        Section(
            "costs",
            "Costs: what do decisions save?",
            f"In the latest {count(len(batches))} micro-batches the decisions have an expected "
            f"cost of {amount(expected)}; the least costly single decision for all rows of each "
            f"micro-batch would have {amount(constant)}.",
            figure=Figure(
                figures.draw_cost_by_batch(curve),
                "Costs by micro-batch",
                "Blue below grey: decisions cost less than one decision for all rows. Circles far "
                "from blue: outcomes disagree with the probabilities; many are of rows that were "
                f"decided earlier. Dotted, on the right axis: the share of {record.rarest} that a "
                "micro-batch was decided for. A red line: a drift began.",
                figures.cost_by_batch_table(curve),
            ),
        )
    ]


def _prior_section(record: StreamRecord) -> Section:
    names = list(record.prior["model"])
    rows = [
        (
            name,
            percent(record.prior["model"][name]),
            percent(record.prior["outcomes"][name]),
            percent(record.prior["target"][name]),
            count(record.window.get(name)),
            number(record.weights.get(name)),
        )
        for name in names
    ]
    header = (
        "class", "model", "with the window's outcomes", "next micro-batch", "rows in the window",
        "weight",
    )  # fmt: skip
    shift = "" if record.shift is None else sentence_of(f"By the latest scores, {record.shift}")
    return Section(
        "prior",
        "Class shares: what is the next micro-batch decided for?",
        "The model's shares are moved until its probabilities agree with the window's outcomes, "
        "and then by the latest scores, if these show label shift.",
        table=table("Class shares", header, rows),
        body=(shift,) if shift else (),
    )


def _drift_section(record: StreamRecord) -> Section:
    sentence = (
        "No change was found in the error of the probabilities or in the scores."
        if not record.drifts
        else f"{count(len(record.drifts))} changes were found; the model should be trained again."
    )
    return Section(
        "drift",
        "Drift: is a new model needed?",
        sentence,
        body=tuple(sentence_of(drift.sentence) for drift in record.drifts),
    )
