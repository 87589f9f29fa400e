"""Plain technical English: the private words of earlier releases stay out of what people read."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

from docs.generate import GENERATED

ROOT = Path(__file__).parents[2]
CHECKED = (
    *ROOT.glob("README.md"),
    *ROOT.glob("docs/*.md"),
    *sorted(ROOT.glob("sparkweights/**/*.py")),  # comments, texts and names
)
# Keys of the records that are read by other programs, and attributes that are named after them.
KEPT = frozenset(
    {
        "right_decisions",
        "cuts",
        "ours",
        "cut",
        "bends",
        "undone",
        "contest",
        "cut_at_half",
        "cost_by_cut",
    }
)
# Private word, as a regular expression of whole words -> the field's word.
PRIVATE = {
    r"(un)?ben(d|ds|ding|t)": "reweighting, correction, invert",
    r"(to)?nights?|nightly|3 a\.m\.": "run, run date",
    r"rooms?": "module, package",
    r"doors?": "entry point",
    r"faces?": "interface",
    r"houses?": "package, project",
    r"roads?": "path",
    r"shops?": "fixture",
    r"lender's": "user's",
    r"judg(e|es|ed|ing|ement|ment)s?": "evaluate a model, validate data",
    r"twins?": "unweighted baseline",
    r"contests?": "comparison with the champion",
    r"stamps?|seals?|sealed": "run metadata, checksum",
    r"leases?": "lock",
    r"announc(e|es|ed|ing)": "write pending manifest",
    r"cuts?|cutting": "threshold, boundary, cutoff, fold",
    r"thin(s|ned|ning)": "resampling",
    r"dearer": "more expensive",
    r"money": "cost",
    r"ours|theirs": "model",
    r"right decisions?": "least-cost decision",
    r"fall-?outs?": "false positive rate",
    r"undo|undoes|undone|undoing": "correct, invert",
    r"unbent|admitting|finishing|weighed|weighing": "schema checks, select, weighted",
    r"\(?as above\)?": "the text itself",
}
PATTERN = re.compile(
    r"(?<![\w-])(" + "|".join(PRIVATE) + r")(?![\w-])", re.IGNORECASE
)  # a word with a hyphen is another word


def prose(path: Path) -> str:
    """Return what a file says to people, without code."""
    text = path.read_text(encoding="utf-8")
    return _python_prose(text) if path.suffix == ".py" else _markdown_prose(text)


def _markdown_prose(text: str) -> str:
    # What is generated is checked where it is written.
    text = GENERATED.sub("", text)
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"`[^`]+`", "", text)
    return re.sub(r"\]\([^)]+\)", "]", text)


def _python_prose(text: str) -> str:
    """Return comments, texts and names; names as the words that they are made of."""
    parts = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.string.strip("\"'") in KEPT:
            continue
        if token.type in {tokenize.COMMENT, tokenize.STRING}:
            parts.append(re.sub(r"`[^`]+`", "", token.string))
        elif token.type == tokenize.NAME:
            parts.append(re.sub(r"_|(?<=[a-z])(?=[A-Z])", " ", token.string))
    return "\n".join(parts)


def private_words(text: str) -> list[str]:
    """Return the private words of a text."""
    return [found[0] for found in PATTERN.finditer(text)]


@pytest.mark.parametrize("path", CHECKED, ids=lambda path: path.name)
def test_text_holds_no_private_word(path: Path) -> None:
    """Each has a word of the field instead; see PRIVATE."""
    assert private_words(prose(path)) == []


def test_private_words_are_found_in_prose_alone(tmp_path: Path) -> None:
    """In text, comments and names; not in code, in links or within another word."""
    page = tmp_path / "page.md"
    page.write_text("It bends. `bend` [x](night.md) Classroom tonight.\n```sh\ncut\n```\n")
    assert private_words(prose(page)) == ["bends", "tonight"]
    module = tmp_path / "module.py"
    module.write_text('def run_night(roomy):\n    """Undo it, `judge`."""  # the twin\n')
    assert private_words(prose(module)) == ["night", "Undo", "twin"]
