"""Cost expressions: values by a second evaluator that shares no code, and texts that are none."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from oracle import CANARY, TEXTS, Failure, failures

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("a", "loan.amount", "c d", "tick`ed", "größe")
VALUES = (None, math.nan, 0.0, -0.0, -0.5, 1.0, 3.25, -7.0, 1e6, 1e200, 5e-324)
Row = Mapping[str, float | None]
_PIECES = ("+", "-", "*", "/", "(", ")", ",", "min(", "max", "coalesce(", "`", "1e", ".", "e5", "1",
           "a", "\n", "exp(", "a.b", "1e400", "\u0661", "½", " ", "--",
           "`a", "``", *(text for text in TEXTS if CANARY not in text))  # fmt: skip


def written(rng: random.Random, depth: int, row: Row) -> tuple[str, float | None]:
    """Return an expression's text, fully in parentheses, and its value on a row."""
    if depth == 0 or rng.random() < 0.2:
        if rng.random() < 0.4:
            number = rng.choice(["0", "1", "2.5", ".75", "3.", "1e3", "4E-2", "1e308"])
            return number, float(number)
        name = rng.choice(COLUMNS)
        value = row[name]
        text = name if name.isidentifier() else f"`{name.replace('`', '``')}`"
        return text, None if value is None or value != value else value  # noqa: PLR0124 (NaN)
    kind = rng.random()
    if kind < 0.1:
        text, value = written(rng, depth - 1, row)
        return f"-({text})", None if value is None else 0.0 - value
    if kind < 0.65:
        left, x = written(rng, depth - 1, row)
        right, y = written(rng, depth - 1, row)
        operator = rng.choice("+-*/")
        return f"({left}){operator} ({right})", _operation(operator, x, y)
    parts = [written(rng, depth - 1, row) for _ in range(rng.randint(2, 3))]
    function = rng.choice(["min", "max", "coalesce"])
    text = f"{function}({', '.join(part for part, _ in parts)})"
    return text, _function(function, [value for _, value in parts])


def _operation(operator: str, x: float | None, y: float | None) -> float | None:
    if x is None or y is None or (operator == "/" and y == 0):
        return None
    return {"+": x.__add__, "-": x.__sub__, "*": x.__mul__, "/": x.__truediv__}[operator](y)


def _function(function: str, values: list[float | None]) -> float | None:
    if function == "coalesce":
        return next((value for value in values if value is not None), None)
    if None in values:
        return None
    numbers = [value for value in values if value is not None]
    if function == "max":  # NaN, of infinite operands, is greater than all
        return math.nan if any(map(math.isnan, numbers)) else max(numbers)
    return min((n for n in numbers if not math.isnan(n)), default=math.nan)


def rows(rng: random.Random, count: int) -> list[dict[str, float | None]]:
    """Return rows of missing, special and plain numbers."""
    return [{name: rng.choice(VALUES) for name in COLUMNS} for _ in range(count)]


def inputs(seed: int, count: int) -> Iterator[tuple[str, Row, float | None, bool]]:
    """Yield a text, a row, the value on it, and whether the text is of the language."""
    rng = random.Random(seed)
    for _ in range(count):
        (row,) = rows(rng, 1)
        text, value = written(rng, 4, row)
        if rng.random() < 0.6:
            yield text, row, value, True
            continue
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(_PIECES) * rng.choice([1, 1, 300]) + text[at + 1 :]
        yield text, row, None, False


def is_same(found: float | None, expected: float | None) -> bool:
    """Whether two values are equal; NaN equals NaN."""
    if found is None or expected is None:
        return found is expected
    return found == expected or (math.isnan(found) and math.isnan(expected))


def fuzz(seed: int, count: int, _folder: Path) -> list[Failure]:
    """Compare values on a row, and those of the canonical text, with the second evaluator's."""
    from sparkweights.costs.expression import evaluate, names, parse, render, substitute

    def target(given: tuple[str, Row, float | None, bool]) -> None:
        text, row, value, is_sound = given
        if is_sound and text.count("(") > 40:
            return
        tree = parse(text)
        row = {**dict.fromkeys((name.name for name in names(tree)), 2.0), **row}
        found = evaluate(tree, row)
        expected = value if is_sound else found
        assert is_same(found, expected), (found, expected)
        assert is_same(evaluate(parse(render(tree)), row), expected), render(tree)
        known = {name: number for name, number in row.items() if number is not None}
        substitute(tree, known)

    return failures(target, inputs(seed, count))
