"""Comparing what a program printed with what was expected."""

import difflib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

from snekhouse.shortening import cut

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|inf(?:inity)?|nan)", re.IGNORECASE)
"""A token that is compared as a number; `float` takes more, such as underscores."""

_TOKEN = re.compile(r"\S+")

_CONTEXT = 3
"""Lines of a diff before the first difference, and after it."""

_LINE_SIZE = 200
"""Characters of a line in a difference."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much a number may differ from the expected one: by the larger of the two tolerances.

    Unlike in `math.isclose`, `relative` counts from the expected number only.

    Attributes:
        absolute: The difference itself.
        relative: The difference divided by the expected number.
    """

    absolute: float = 0.0
    relative: float = 0.0


@dataclass(frozen=True, slots=True)
class Difference:
    """The first line that differs, and the lines around it.

    Attributes:
        line: Its number, from 1.
        expected: The expected line, cut; None if the expected text has fewer lines.
        actual: The actual line, cut; None if the program printed fewer lines.
        diff: A unified diff of the lines around it.
    """

    line: int
    expected: str | None
    actual: str | None
    diff: str


Match = Callable[[str, str], "Difference | None"]
"""Compares an expected text with the actual one; returns the first difference, or None if they match."""


def exact(expected: str, actual: str) -> Difference | None:
    """Compare two texts character by character."""
    return None if expected == actual else _first_difference(expected, actual, str.__eq__)


def trimmed(expected: str, actual: str) -> Difference | None:
    """Compare two texts without the white space at the ends of lines, and without empty lines at the end."""

    def are_equal(left: str, right: str) -> bool:
        return left.rstrip() == right.rstrip()

    pairs = zip_longest(_lines(expected), _lines(actual), fillvalue="")
    if expected == actual or all(are_equal(*pair) for pair in pairs):
        return None
    return _first_difference(expected, actual, are_equal, trim=True)


def tokens(expected: str, actual: str) -> Difference | None:
    """Compare what white space separates; it does not matter which white space."""
    return _compared_by_tokens(expected, actual, str.__eq__)


def within(tolerance: Tolerance) -> Match:
    """Return a comparison of tokens that allows numbers to differ.

    Two tokens match if they are equal, or if both are numbers that are close enough. NaN matches NaN, and an infinity
    matches the infinity with the same sign.
    """

    def is_close(expected: str, actual: str) -> bool:
        if expected == actual:
            return True
        if not _NUMBER.fullmatch(expected) or not _NUMBER.fullmatch(actual):
            return False
        left, right = float(expected), float(actual)
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        if math.isinf(left) or math.isinf(right):
            return left == right
        return abs(left - right) <= max(tolerance.absolute, tolerance.relative * abs(left))

    return lambda expected, actual: _compared_by_tokens(expected, actual, is_close)


def _compared_by_tokens(expected: str, actual: str, is_equal: Callable[[str, str], bool]) -> Difference | None:
    def are_equal(left: str, right: str) -> bool:
        pairs = zip_longest(_tokens(left), _tokens(right))
        return all(one is not None and other is not None and is_equal(one, other) for one, other in pairs)

    return None if are_equal(expected, actual) else _first_difference(expected, actual, are_equal)


def _tokens(text: str) -> Iterator[str]:
    return (match[0] for match in _TOKEN.finditer(text))


def _lines(text: str) -> Iterator[str]:
    """List lines one by one: splitting a large text in one step would stop all threads of the server meanwhile."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _first_difference(
    expected: str, actual: str, is_equal: Callable[[str, str], bool], *, trim: bool = False
) -> Difference:
    """Find the first line that differs; two texts may differ only in how their lines end."""
    pairs = enumerate(zip_longest(_lines(expected), _lines(actual)))
    differing = (at for at, (one, other) in pairs if one is None or other is None or not is_equal(one, other))
    index = next(differing, 0)  # in the first line, if the same tokens are on other lines
    start = max(0, index - _CONTEXT)
    left, right = (list(islice(_lines(text), start, index + 1 + _CONTEXT)) for text in (expected, actual))
    if trim:
        left, right = (_trimmed(lines) for lines in (left, right))
    at = index - start
    return Difference(index + 1, _line(left, at), _line(right, at), _diff(left, right))


def _trimmed(lines: Sequence[str]) -> list[str]:
    """Remove the white space at the ends of lines, and empty lines at the end."""
    found = [line.rstrip() for line in lines]
    while found and not found[-1]:
        found.pop()
    return found


def _line(lines: Sequence[str], index: int) -> str | None:
    return cut(lines[index], _LINE_SIZE) if index < len(lines) else None


def _diff(expected: Sequence[str], actual: Sequence[str]) -> str:
    left, right = ([cut(line, _LINE_SIZE) for line in lines] for lines in (expected, actual))
    return "\n".join(difflib.unified_diff(left, right, "expected", "actual", lineterm="", n=_CONTEXT))
