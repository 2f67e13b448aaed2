"""The input and the result of a run: plain data that every layer shares."""

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from snekhouse.registry.models import Limits


class Status(StrEnum):
    """How an evaluation ended."""

    OK = "ok"
    ERROR = "error"
    SIGNALED = "signaled"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_LIMIT = "output_limit"
    FILE_ERROR = "file_error"
    INTERNAL_ERROR = "internal_error"


class Encoding(StrEnum):
    """How the bytes of output become text."""

    UTF_8 = "utf-8"
    BASE64 = "base64"


COLOR_VARIABLES: Mapping[bool | None, dict[str, str]] = {
    True: {"PYTHON_COLORS": "1"},
    False: {"PYTHON_COLORS": "0", "NO_COLOR": "1"},
    None: {},
}
"""Variables that switch colours: https://docs.python.org/3/using/cmdline.html#envvar-PYTHON_COLORS, no-color.org."""


@dataclass(frozen=True, slots=True)
class File:
    """A file in the home.

    Attributes:
        path: Relative to the home, with ``/`` between names.
        content: Its bytes.
    """

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Job:
    """What to evaluate.

    Attributes:
        args: Arguments of the interpreter, as text or in UTF-8.
        files: Files to write below the home before the start.
        stdin: What the program reads from its standard input.
        separate_stderr: Whether to return stderr separately from stdout.
        encoding: How to encode the output.
        limits: The limits in force.
        env: Environment variables, which add to those of the runtime or replace them.
        wants_value: Whether to return the value of the expression at the end. The last argument is then a cell.
    """

    args: tuple[str | bytes, ...]
    limits: Limits
    files: tuple[File, ...] = ()
    stdin: bytes = b""
    separate_stderr: bool = False
    encoding: Encoding = Encoding.UTF_8
    env: Mapping[str, str] = field(default_factory=dict)
    wants_value: bool = False

    @property
    def size(self) -> int:
        """Approximate size in bytes: a character counts as one; stdin counts twice, since the run copies it."""
        return sum(map(len, self.args)) + 2 * len(self.stdin) + sum(len(file.content) for file in self.files)


class Controls(Protocol):
    """What a client can do to a program that runs."""

    async def write(self, content: bytes) -> None:
        """Write to its standard input; wait while the program does not read. Nothing happens once it has ended."""

    def close_stdin(self) -> None:
        """End its standard input."""

    def send_signal(self, number: signal.Signals) -> None:
        """Send its first process a signal, unless it has ended."""


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Observer:
    """What follows an evaluation or a cell while it runs.

    Attributes:
        started: Called once it has a slot.
        printed: Takes what the program prints as it comes: ``stdout`` or ``stderr``, and bytes. While this waits, the
            program waits as well, once its pipe is full. The result then has only the output that this has not
            received. If None, the result has all output.
        controlled: Called when the program starts, with its controls. Its standard input is then a pipe, and the job's
            is not used. If None, the standard input is the job's.
    """

    started: Callable[[], None] = _nothing
    printed: Callable[[str, bytes], Awaitable[None]] | None = None
    controlled: Callable[[Controls], None] | None = None


NOBODY = Observer()
"""An observer that follows nothing."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run used.

    Attributes:
        wall_time: Seconds from the start of the program to the end of its last process.
        cpu_time: Seconds, user and system, of all processes of the run.
        memory: Peak in bytes; None if the host does not measure it.
        queue_time: Seconds in the queue.
    """

    wall_time: float = 0.0
    cpu_time: float = 0.0
    memory: int | None = None
    queue_time: float = 0.0


class Enforcer(StrEnum):
    """What enforces a limit: the kernel, which refuses or kills, or the server, which checks and kills."""

    KERNEL = "kernel"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Enforcement:
    """What enforces each limit of a run on this host; None if nothing does."""

    memory: Enforcer | None
    cpus: Enforcer | None
    wall_time: Enforcer = Enforcer.SERVER
    address_space: Enforcer = Enforcer.KERNEL
    processes: Enforcer = Enforcer.KERNEL
    output: Enforcer = Enforcer.SERVER


@dataclass(frozen=True, slots=True)
class ProgramError:
    """The exception that ended a program, as the program printed it.

    Attributes:
        name: Name of its class.
        value: Its text.
        line: Line of the program where it was raised; None if that is unknown.
    """

    name: str
    value: str
    line: int | None


@dataclass(frozen=True, slots=True)
class Result:
    """The result of an evaluation.

    Attributes:
        status: How it ended.
        returncode: The program's exit code; 128 + N after signal N; 255 when the jail failed; None when output or
            files could not be returned.
        stdout: Standard output. Unless the job separates standard error, it contains both, in order.
        stderr: Standard error if the job separates it, else None.
        encoding: Encoding of `stdout` and `stderr`; a message that replaces them is always UTF-8.
        message: The reason in a sentence; empty for `ok`, and for an exit code without an exceeded limit.
        error: The uncaught exception that ended the program.
        signal: Name of the signal that ended the program, e.g. ``SIGSEGV``.
        truncated: Whether output was cut at its limit.
        files: Files that the program left in its home.
        left_out: The limits that left some of its files out, in a sentence; empty if all are there.
        usage: What the run used.
        value: The value of the expression at the end of a cell, by format: ``text``, ``html``, ``png`` in Base64, and
            others.
        figures: Open figures of matplotlib, as PNG in Base64.
    """

    status: Status
    returncode: int | None
    stdout: str = ""
    stderr: str | None = None
    encoding: Encoding = Encoding.UTF_8
    message: str = ""
    error: ProgramError | None = None
    signal: str | None = None
    truncated: bool = False
    files: tuple[File, ...] = ()
    left_out: str = ""
    usage: Usage = field(default_factory=Usage)
    value: Mapping[str, str] = field(default_factory=dict)
    figures: Sequence[str] = ()

    @property
    def explanation(self) -> str:
        """What people should know besides the output: `message` and `left_out`."""
        return "; ".join(filter(None, (self.message, self.left_out)))

    def without_content(self, message: str) -> "Result":
        """Return it without output, files, value and figures, and with a message that says so."""
        return replace(
            self, stdout="", stderr=None, files=(), left_out="", value={}, figures=(), truncated=True, message=message
        )

    @property
    def size(self) -> int:
        """Approximate size in bytes of what it returns: a character counts as one."""
        texts = (self.stdout, self.stderr or "", *self.value.values(), *self.figures)
        return sum(map(len, texts)) + sum(len(file.content) for file in self.files)
