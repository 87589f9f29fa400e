"""What every fuzz target asks of the product: a refusal in one sentence, or a result; never more.

A target is a function of one input. It may return, or raise a `SparkweightsError` whose message a
terminal can show; any other exception, more than `MAX_SECONDS` of the processor, or a secret in the
message is a failure.
"""

from __future__ import annotations

import copy
import signal
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sparkweights.core.errors import MAX_MESSAGE, SparkweightsError, escape_controls

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
MAX_SECONDS = 5.0
CANARY = "canary7041"  # the value of options and the password of locations: in no message


@dataclass(frozen=True)
class Failure:
    """An input that the product answered wrongly."""

    input: object
    answer: str

    def __str__(self) -> str:
        return f"{self.input!r:.2000}\n    {self.answer}"


class TooSlow(BaseException):
    """An input took longer than `MAX_SECONDS`; no ``except Exception`` may catch this."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` after so many seconds of the processor, which a busy machine does not use."""

    def stop(_signal: int, _frame: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def answer(target: Callable[[T], object], given: T) -> str | None:
    """Return what is wrong with the answer to an input, or None."""
    try:
        with limited(MAX_SECONDS):
            target(given)
    except SparkweightsError as error:
        return _fault(error)
    except TooSlow:
        return f"more than {MAX_SECONDS} s"
    except Exception as error:  # noqa: BLE001 (this is what the fuzz looks for)
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"
    return None


def _fault(error: SparkweightsError) -> str | None:
    text = str(error)
    if CANARY in text:
        return f"the message holds a secret: {text}"
    if escape_controls(text) != text or len(text) > 3 * MAX_MESSAGE:
        return f"the message is not fit for a terminal: {text!r:.300}"
    if error.exit_code == 1:
        return f"the exit code is that of a bug: {text}"
    return None


def failures(target: Callable[[T], object], inputs: Iterable[T]) -> list[Failure]:
    """Return the inputs that a target answers wrongly."""
    answers = ((given, answer(target, given)) for given in inputs)
    return [Failure(given, wrong) for given, wrong in answers if wrong is not None]


TEXTS = (
    "", " ", "x", "y" * 3_000, "a.b", "`", "``", "a`b", "näive", "日本", "\U0001f600", "\u202eabc",
    "\x1b[2J", "\x00", "\x7f", "a\nb", "\ud800", "~", "null", "NO", "0500", "1e-3", "0x10",
    "2026-02-30", "0001-01-01", "9999-12-31", "{run_date}", "${HOME}", "${", "../..", "/",
    f"s3a://key:{CANARY}@lake/x", "s3a://x", "file:", "file://", "a::b", "memory://m", "1_000",
    "(a+)+$", "(", "[a-z", "*", "1 / 0", "max(1)", "-" * 60 + "1", "(" * 60,
    "coalesce(a, 1e308 * 10)", "3 months", "99999999 months",
    "-1 day", "review", "unscorable", "decision", "run_id", "__x", "auto", "all", "none", "always",
    "xgboost", "tree", "cost_by_row", "estimate", "natural",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 7, 100, 2**31, 2**63, 10**30, -(10**400), 0.0, -0.0, 0.5, 1.0, 1e-320, 1e308,
    -1e308, float("inf"), float("-inf"), float("nan"), True, False, None,
)  # fmt: skip


def wild_value(rng: random.Random, depth: int = 2) -> object:
    """Return a value of any type: few are allowed anywhere."""
    kind = rng.random()
    if depth and kind < 0.12:
        return [wild_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    if depth and kind < 0.24:
        names = (rng.choice(TEXTS) for _ in range(rng.randrange(4)))
        return {name: wild_value(rng, depth - 1) for name in names}
    return rng.choice(NUMBERS if kind < 0.5 else TEXTS)


def containers(tree: object) -> Iterator[dict[str, object] | list[object]]:
    """Yield every mapping and list of a tree that is not empty."""
    if isinstance(tree, dict | list) and tree:
        yield tree
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from containers(value)


def mutate_tree(rng: random.Random, tree: object) -> None:
    """Change one value, key or entry of a tree in place."""
    container = rng.choice(list(containers(tree)) or [[]])
    if not container:
        return
    keys = list(container) if isinstance(container, dict) else list(range(len(container)))
    key = rng.choice(keys)
    match rng.randrange(6):
        case 0:
            del container[key]
        case 1:
            donor = rng.choice(list(containers(tree)))
            value = rng.choice(list(donor.values() if isinstance(donor, dict) else donor))
            if not isinstance(value, str) or CANARY not in value:  # a secret has its own keys
                container[key] = copy.deepcopy(value)
        case 2 if isinstance(container, dict):
            container[str(rng.choice(TEXTS))] = container.pop(key)
        case 3 if isinstance(container, dict):
            container[str(rng.choice(TEXTS))] = wild_value(rng)
        case 3:
            container.append(wild_value(rng))
        case _:
            container[key] = wild_value(rng)
