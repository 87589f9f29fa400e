r"""Regular expressions of users: refuse those whose matching can take exponential time.

Java's and Python's engines try every way in which a text can match. Where a loop of the pattern
can read one text in two ways, as ``(a+)+`` can, the number of ways doubles with every repetition,
and a row of thirty characters takes hours. The pattern is turned into Glushkov's automaton with
the number of ways of every step (Glushkov 1961); it is refused if the automaton is exponentially
ambiguous, which is if two different paths from a state to itself read the same text (Weber and
Seidl 1991, criterion EDA; Weideman et al. 2016 for backtracking engines).

A pattern is refused as well if more than `MAX_DEGREE` loops in a row can share the repetitions of
one character, as in ``a*a*a*``: the time then grows with that power of the text's length.

Classes that differ in characters beyond ASCII count as overlapping, back references as any
character, and possessive loops as ordinary ones, so that a few harmless patterns are refused.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sparkweights.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_LENGTH = 1_000  # characters of a pattern
MAX_DEPTH = 50  # levels of groups
MAX_POSITIONS = 300  # characters and classes, with the copies of counted loops
MAX_PAIRS = 20_000  # pairs of positions that read the same text
MAX_DEGREE = 4  # loops in a row that can share one text
_COPIES = 8  # counted loops up to this many repetitions, nested ones multiplied, are no loops
_SHOWN = 60  # characters of a pattern in a message
_ASCII = 128
_ALL = (1 << (_ASCII + 1)) - 1  # one bit per ASCII character, one for all others
_COUNTED = re.compile(r"\{(\d+)(,(\d*))?\}")
_NO_CHARACTER = frozenset("bBAzZG")


@dataclass(frozen=True)
class _Chars:
    """One character out of a set of bits."""

    mask: int


@dataclass(frozen=True)
class _Sequence:
    parts: tuple[_Node, ...]


@dataclass(frozen=True)
class _Choice:
    parts: tuple[_Node, ...]


@dataclass(frozen=True)
class _Optional:
    part: _Node


@dataclass(frozen=True)
class _Loop:
    """Any number of repetitions, from 0 or from 1."""

    part: _Node
    least: int = 0


_Node = _Chars | _Sequence | _Choice | _Optional | _Loop
_NOTHING = _Sequence(())


class _UnbalancedError(Exception):
    """The pattern is no regular expression; the engine says so with its own words."""


def require_fast(pattern: str) -> None:
    """Refuse a regular expression whose matching can take exponential time.

    A text that is no regular expression is let through; the engine refuses it.

    Raises
    ------
    ConfigError
        If the pattern is ambiguous within a loop, or too long to tell.

    Examples
    --------
    >>> require_fast(r"^[^@ ]+@([a-z0-9-]+[.])+[a-z]+$")
    """
    if len(pattern) > MAX_LENGTH:
        raise ConfigError(
            f"A pattern of {len(pattern)} characters; at most {MAX_LENGTH} are allowed.",
            hint="split it, or list the values.",
        )
    try:
        parser = _Parser(pattern)
        trees = [parser.parse(), *parser.inner]
    except _UnbalancedError:
        return
    automata = [_Automaton(tree) for tree in trees]
    shown = pattern if len(pattern) <= _SHOWN else f"{pattern[:_SHOWN]}..."
    if any(map(_is_ambiguous, automata)) or any(map(_is_steep, automata)):
        raise ConfigError(
            f"The pattern {shown!r} can take exponential time: its loops read the same text in "
            "many ways.",
            hint="write one loop instead of a loop in a loop or of loops in a row, such as [a-z]+ "
            "for ([a-z]+)+, and alternatives that start with different characters.",
        )


class _Parser:
    """Recursive descent over a pattern in Java's or Python's syntax.

    Attributes
    ----------
    inner
        Parts that are examined on their own: the bodies of counted loops and of look-arounds.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.next = 0
        self.depth = 0
        self.ignores_case = re.search(r"\(\?[a-zA-Z]*i", text) is not None
        self.inner: list[_Node] = []
        self.copies = 1  # most repetitions by counted loops within the group that is being read

    def parse(self) -> _Node:
        tree = self._choice()
        if self.next < len(self.text):
            raise _UnbalancedError
        return tree

    def _choice(self) -> _Node:
        parts = [self._sequence()]
        while self._takes("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else _Choice(tuple(parts))

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self.next < len(self.text) and self.text[self.next] not in "|)":
            before, self.copies = self.copies, 1
            parts.extend(self._repeated(self._atom()))
            self.copies = max(before, self.copies)
        return _Sequence(tuple(parts))

    def _repeated(self, atom: _Node) -> list[_Node]:
        """Return an atom with its quantifiers."""
        if self._takes("*"):
            repeated: list[_Node] = [_Loop(atom)]
        elif self._takes("+"):
            repeated = [_Loop(atom, least=1)]
        elif self._takes("?"):
            repeated = [_Optional(atom)]
        elif match := _COUNTED.match(self.text, self.next):
            self.next = match.end()
            least = int(match[1])
            most = least if match[2] is None else int(match[3]) if match[3] else None
            repeated = self._counted(atom, least, most)
        else:
            return [atom]
        _ = self._takes("?") or self._takes("+")  # lazy, possessive
        return repeated

    def _counted(self, atom: _Node, least: int, most: int | None) -> list[_Node]:
        if most is None:
            return [_Loop(atom, min(least, 1))]
        self.copies *= max(most, 1)
        if self.copies > _COPIES:
            self.inner.append(_Loop(atom))
        if most > _COPIES:
            return [atom, atom] if least == most else [_Loop(atom, min(least, 1))]
        rest: _Node = _NOTHING
        for _ in range(most - least):
            rest = _Optional(_Sequence((atom, rest)))
        return [*[atom] * least, rest]

    def _atom(self) -> _Node:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return _Chars(self._class())
        if character == "\\":
            return self._escape()
        if character in "^$":
            return _NOTHING
        return _Chars(_ALL if character == "." else self._bits(character))

    def _group(self) -> _Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ConfigError(
                f"A pattern of more than {MAX_DEPTH} levels of groups.", hint="simplify it."
            )
        looks = False
        if self._takes("?"):
            if (match := re.compile(r"P?<[A-Za-z_]\w*>|:|>").match(self.text, self.next)) or (
                match := re.compile(r"[a-zA-Z-]+[:)]").match(self.text, self.next)
            ):
                self.next = match.end()
                if "x" in match.group() and "<" not in match.group():
                    raise ConfigError(
                        "A pattern with the flag x.", hint="write the pattern without white space."
                    )
                if match.group().endswith(")"):
                    self.depth -= 1
                    return _NOTHING
            elif match := re.compile(r"<?[=!]").match(self.text, self.next):
                self.next = match.end()
                looks = True
            else:
                raise _UnbalancedError
        tree = self._choice()
        if not self._takes(")"):
            raise _UnbalancedError
        self.depth -= 1
        if looks:
            self.inner.append(tree)
            return _NOTHING
        return tree

    def _escape(self) -> _Node:
        character = self._take()
        if character in _NO_CHARACTER:
            return _NOTHING
        if character == "Q":
            end = self.text.find("\\E", self.next)
            end = len(self.text) if end < 0 else end
            literal, self.next = self.text[self.next : end], end + 2
            return _Sequence(tuple(_Chars(self._bits(one)) for one in literal))
        if character == "k" and (match := re.compile(r"<\w+>").match(self.text, self.next)):
            self.next = match.end()
            return _Chars(_ALL)
        return _Chars(self._escaped(character))

    def _escaped(self, character: str) -> int:
        """Return the characters of an escape whose first letter was taken."""
        if character in _CLASSES:
            return _CLASSES[character]
        if character in "pPNX" or character in "123456789RHhVvc":
            match = _ARGUMENT.match(self.text, self.next)
            self.next = match.end() if match else self.next
            name = match.group().strip("{}") if match else ""
            return _PROPERTIES.get(name, _ALL) if character == "p" else _ALL
        code = _CODE.match(self.text, self.next - 1)
        if code is not None:
            self.next = code.end()
            return self._bits(chr(min(int(code[code.lastindex or 0], 16), 0x10FFFF)))
        return self._bits({"t": "\t", "n": "\n", "r": "\r", "f": "\f"}.get(character, character))

    def _class(self) -> int:
        """Return the characters of a class in brackets."""
        negated, mask, is_exact, first = self._takes("^"), 0, True, True
        while first or self._peek() != "]":
            first = False
            character = self._take()
            if character == "[" or (character == "&" and self._peek() == "&"):
                is_exact = False  # unions and intersections of Java
                if character == "[":
                    self._class()
                continue
            if character == "\\":
                escape = self._take()
                bits = self._escaped(escape)
                is_exact = is_exact and bits != _ALL and not (negated and bits >> _ASCII)
            else:
                bits = self._bits(character)
            if self._peek() == "-" and self.text[self.next + 1 : self.next + 2] not in {"]", ""}:
                self.next += 1
                upper = self._take()
                end = self._escaped(self._take()) if upper == "\\" else self._bits(upper)
                bits = self._range(bits, end)
            mask |= bits
        self.next += 1
        if not is_exact:
            return _ALL
        if negated:
            return _ALL & ~mask | 1 << _ASCII
        return mask

    def _range(self, low: int, high: int) -> int:
        """Return the bits between two characters, and both."""
        least = (low & -low).bit_length() - 1
        bits = (1 << high.bit_length()) - (1 << least) if high.bit_length() > least else low | high
        return self._both_cases(bits) if self.ignores_case else bits

    def _bits(self, character: str) -> int:
        bits = 1 << min(ord(character), _ASCII)
        return self._both_cases(bits) if self.ignores_case else bits

    @staticmethod
    def _both_cases(bits: int) -> int:
        upper, lower = bits >> ord("A") & _LETTERS, bits >> ord("a") & _LETTERS
        return bits | (upper | lower) << ord("A") | (upper | lower) << ord("a")

    def _peek(self) -> str:
        return self.text[self.next : self.next + 1]

    def _take(self) -> str:
        if self.next >= len(self.text):
            raise _UnbalancedError
        self.next += 1
        return self.text[self.next - 1]

    def _takes(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self.next += 1
        return True


def _bits_of(characters: Sequence[str]) -> int:
    return sum(1 << ord(character) for character in set(characters))


_LETTERS = (1 << 26) - 1
_DIGITS = _bits_of("0123456789")
_WORD = _DIGITS | _LETTERS << ord("A") | _LETTERS << ord("a") | _bits_of("_") | 1 << _ASCII
_SPACE = _bits_of(" \t\n\r\f\v")
_CLASSES = {
    "d": _DIGITS,
    "D": _ALL & ~_DIGITS,
    "w": _WORD,
    "W": _ALL & ~_WORD | 1 << _ASCII,
    "s": _SPACE,
    "S": _ALL & ~_SPACE,
}
_UPPER, _LOWER = _LETTERS << ord("A"), _LETTERS << ord("a")
_PROPERTIES = {
    "L": _UPPER | _LOWER | 1 << _ASCII,
    "Lu": _UPPER | 1 << _ASCII,
    "Ll": _LOWER | 1 << _ASCII,
    "N": _DIGITS | 1 << _ASCII,
    "Nd": _DIGITS | 1 << _ASCII,
    "Alpha": _UPPER | _LOWER,
    "Upper": _UPPER,
    "Lower": _LOWER,
    "Digit": _DIGITS,
    "Alnum": _UPPER | _LOWER | _DIGITS,
    "Space": _SPACE,
}
_ARGUMENT = re.compile(r"\{[^}]*\}|(?<=[pPc]).|\d*")
_CODE = re.compile(r"x([0-9a-fA-F]{2})|x\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})")


@dataclass(frozen=True)
class _Ends:
    """The positions that a part can start and end with, and the number of ways to skip it."""

    first: Counter[int]
    last: Counter[int]
    empty: int


class _Automaton:
    """Glushkov's automaton: a state per position; steps with the number of their ways."""

    def __init__(self, tree: _Node) -> None:
        self.masks: list[int] = []
        self.steps: Counter[tuple[int, int]] = Counter()
        self._add(tree)

    def _add(self, node: _Node) -> _Ends:
        match node:
            case _Chars(mask):
                if len(self.masks) >= MAX_POSITIONS:
                    raise ConfigError(
                        f"A pattern of more than {MAX_POSITIONS} characters with its loops written "
                        "out.",
                        hint="split it, or list the values.",
                    )
                self.masks.append(mask)
                position = len(self.masks) - 1
                return _Ends(Counter([position]), Counter([position]), 0)
            case _Sequence(parts):
                ends = _Ends(Counter(), Counter(), 1)
                for part in parts:
                    ends = self._join(ends, self._add(part))
                return ends
            case _Choice(parts):
                every = [self._add(part) for part in parts]
                return _Ends(
                    sum((one.first for one in every), Counter()),
                    sum((one.last for one in every), Counter()),
                    sum(one.empty for one in every),
                )
            case _Optional(part):
                ends = self._add(part)
                return _Ends(ends.first, ends.last, ends.empty + 1)
            case _Loop(part, least):
                ends = self._add(part)
                self._connect(ends.last, ends.first)
                return _Ends(ends.first, ends.last, ends.empty if least else 1)

    def _join(self, left: _Ends, right: _Ends) -> _Ends:
        self._connect(left.last, right.first)
        return _Ends(
            left.first + _times(right.first, left.empty),
            right.last + _times(left.last, right.empty),
            left.empty * right.empty,
        )

    def _connect(self, ends: Counter[int], starts: Counter[int]) -> None:
        for (end, count), (start, other) in product(ends.items(), starts.items()):
            self.steps[end, start] += count * other


def _times(counts: Counter[int], factor: int) -> Counter[int]:
    """Return counts times a factor, where more than two ways are two."""
    factor = min(factor, 2)
    return Counter({key: min(count * factor, 2) for key, count in counts.items() if factor})


def _is_ambiguous(automaton: _Automaton) -> bool:
    """Whether two different paths from a state to itself read the same text."""
    masks = automaton.masks
    if not masks:
        return False
    loop_of = _components(list(automaton.steps), len(masks))
    inside = [step for step in automaton.steps if loop_of[step[0]] == loop_of[step[1]]]
    if any(automaton.steps[step] > 1 for step in inside):
        return True
    after: dict[int, list[int]] = {}
    for start, end in inside:
        after.setdefault(start, []).append(end)
    pairs = {(state, state): i for i, state in enumerate(after)}
    steps, remaining = [], list(pairs)
    while remaining:
        left, right = remaining.pop()
        for pair in _following(after[left], after[right], masks):
            if pair not in pairs:
                if pair[0] not in after or pair[1] not in after:
                    continue
                pairs[pair] = len(pairs)
                remaining.append(pair)
            steps.append((pairs[left, right], pairs[pair]))
        if len(pairs) > MAX_PAIRS:
            raise ConfigError(
                "A pattern whose loops are too long to examine.", hint="split it, or simplify it."
            )
    component_of = _components(steps, len(pairs))
    same = {component_of[i] for (left, right), i in pairs.items() if left == right}
    return any(component_of[i] in same for (left, right), i in pairs.items() if left != right)


def _is_steep(automaton: _Automaton) -> bool:
    """Whether more than `MAX_DEGREE` loops in a row read the repetitions of one character."""
    masks = automaton.masks
    readers = {
        tuple(i for i, mask in enumerate(masks) if mask >> bit & 1) for bit in range(_ASCII + 1)
    }
    return any(_loops_in_a_row(positions, automaton.steps) > MAX_DEGREE for positions in readers)


def _loops_in_a_row(positions: Sequence[int], steps: Counter[tuple[int, int]]) -> int:
    """Return the largest number of loops on a path through these positions."""
    number = {position: i for i, position in enumerate(positions)}
    inside = [(number[a], number[b]) for a, b in steps if a in number and b in number]
    component = _components(inside, len(positions))
    loops = {component[a] for a, b in inside if component[a] == component[b]}
    edges = {(component[a], component[b]) for a, b in inside if component[a] != component[b]}
    before: dict[int, set[int]] = {}
    for start, end in edges:
        before.setdefault(end, set()).add(start)
    most = {node: int(node in loops) for node in component}
    for node in TopologicalSorter(before).static_order():
        earlier = (most[other] for other in before.get(node, ()))
        most[node] = (node in loops) + max(earlier, default=0)
    return max(most.values(), default=0)


def _following(
    lefts: Sequence[int], rights: Sequence[int], masks: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Yield the pairs of states that one character can lead to."""
    for left, right in product(lefts, rights):
        if masks[left] & masks[right]:
            yield left, right


def _components(steps: Sequence[tuple[int, int]], count: int) -> Sequence[int]:
    """Return the strongly connected component of each of so many nodes."""
    starts, ends = zip(*steps, strict=True) if steps else ((), ())
    graph = coo_array((np.ones(len(starts)), (starts, ends)), shape=(count, count))
    labels: np.ndarray[tuple[int], np.dtype[np.int32]] = connected_components(
        graph, connection="strong"
    )[1]
    return [int(label) for label in labels]
