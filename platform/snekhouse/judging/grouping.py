"""Results of one program in several runtimes, in groups of equal ones."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from snekhouse.evaluation import Result, Status

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")
_LINE_NUMBER = re.compile(r'(File "[^"\n]*", line )\d+')
_VERSION = re.compile(r"\b3\.\d{1,2}(?:\.\d{1,2})?(?:(?:a|b|rc)\d+)?\b")

_DIFF_LINES = 200
"""Lines of a diff; the rest is cut."""

_COMPARED_LINES = 500
"""Lines of each output that a diff looks at: its time grows with the square of their number, to 40 ms for 500."""


@dataclass(frozen=True, slots=True)
class Normalization:
    """What does not count as a difference.

    Attributes:
        addresses: Addresses in memory, such as ``0x7f3a5c2b1d90``.
        lines: Numbers of lines in tracebacks.
        versions: Versions of Python, such as ``3.12.4``.
    """

    addresses: bool = False
    lines: bool = False
    versions: bool = False

    def of(self, text: str) -> str:
        """Replace everything that does not count as a difference by a fixed text."""
        if self.addresses:
            text = _ADDRESS.sub("0x...", text)
        if self.lines:
            text = _LINE_NUMBER.sub(r"\1...", text)
        return _VERSION.sub("3.x", text) if self.versions else text


@dataclass(frozen=True, slots=True)
class ResultGroup:
    """Runtimes whose results are equal.

    Attributes:
        runtimes: Their names, in the order of the request.
        diff: A unified diff of the output, from that of the default's group to that of this one; empty for the first.
    """

    runtimes: tuple[str, ...]
    diff: str


def grouped(results: Mapping[str, Result], default: str, normalization: Normalization) -> tuple[ResultGroup, ...]:
    """Put runtimes with equal results into groups: equal status, exit code, type of exception and output.

    Args:
        results: The result of each runtime, by name.
        default: The runtime whose group is the first, and with which the others are compared.
        normalization: What does not count as a difference.
    """
    groups: dict[_Key, list[str]] = {}
    for name in sorted(results, key=lambda name: name != default):
        groups.setdefault(_Key.of(results[name], normalization), []).append(name)
    first = next(iter(groups))
    order = list(results)
    return tuple(
        ResultGroup(tuple(sorted(names, key=order.index)), "" if key == first else _diff(default, first, names[0], key))
        for key, names in groups.items()
    )


@dataclass(frozen=True, slots=True)
class _Key:
    status: Status
    returncode: int | None
    exception: str
    stdout: str
    stderr: str

    @classmethod
    def of(cls, result: Result, normalization: Normalization) -> "_Key":
        texts = normalization.of(result.stdout), normalization.of(result.stderr or "")
        return cls(result.status, result.returncode, result.error.name if result.error else "", *texts)

    @property
    def lines(self) -> Sequence[str]:
        """The lines of the output, and how the program ended if it did not succeed."""
        ending = [] if self.status is Status.OK else [f"[{self.status.value}, exit code {self.returncode}]"]
        return [*islice((self.stdout + self.stderr).split("\n"), _COMPARED_LINES), *ending]


def _diff(default: str, first: _Key, name: str, other: _Key) -> str:
    lines = difflib.unified_diff(first.lines, other.lines, default, name, lineterm="", n=2)
    return "\n".join(islice(lines, _DIFF_LINES))
