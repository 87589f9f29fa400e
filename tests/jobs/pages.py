"""The code blocks of README and docs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from docs.generate import PAGES

# A block that is followed by a text block prints it.
BLOCK = re.compile(r"```(\w+)\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One code block of a page, with the output that the page states."""

    page: str
    language: str
    text: str
    output: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0]}"


def blocks(language: str) -> list[Block]:
    """Return the blocks of a language, in the order of the pages."""
    return [
        Block(page.name, *found)
        for page in PAGES
        for found in BLOCK.findall(page.read_text(encoding="utf-8"))
        if found[0] == language
    ]
