"""What goes into a run and what comes out: plain data that every layer shares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

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
    """How output, which is bytes, becomes text."""

    UTF_8 = "utf-8"
    BASE64 = "base64"


@dataclass(frozen=True, slots=True)
class File:
    """A file of the home.

    Attributes:
        path: Relative to the home, with ``/`` between names.
        content: Its bytes.
    """

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Job:
    """What a client wants evaluated.

    Attributes:
        args: Arguments of the interpreter, as text or in UTF-8.
        files: Written below the home before the start.
        stdin: What the program reads from its standard input.
        separate_stderr: Whether stderr comes apart from stdout.
        encoding: How its output comes back.
        limits: The limits in force.
        env: Variables of the environment, besides those of the runtime or instead of them.
    """

    args: tuple[str | bytes, ...]
    limits: Limits
    files: tuple[File, ...] = ()
    stdin: bytes = b""
    separate_stderr: bool = False
    encoding: Encoding = Encoding.UTF_8
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that it takes, about: a character counts as one; stdin twice, since a run has it as a file as well."""
        return sum(map(len, self.args)) + 2 * len(self.stdin) + sum(len(file.content) for file in self.files)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run used.

    Attributes:
        wall_time: Seconds from "go" to the end of the last process.
        cpu_time: Seconds, user and system, of all processes of the run.
        memory: Peak in bytes; None where the host does not measure it.
        queue_time: Seconds that the request waited for its turn.
    """

    wall_time: float = 0.0
    cpu_time: float = 0.0
    memory: int | None = None
    queue_time: float = 0.0


class Enforcer(StrEnum):
    """Who keeps a run to a limit: the kernel, which refuses or kills, or the server, which looks and ends the run."""

    KERNEL = "kernel"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Enforcement:
    """Who keeps runs to each of their limits on this host; None where nobody does."""

    memory: Enforcer | None
    cpus: Enforcer | None
    wall_time: Enforcer = Enforcer.SERVER
    address_space: Enforcer = Enforcer.KERNEL
    processes: Enforcer = Enforcer.KERNEL
    output: Enforcer = Enforcer.SERVER


@dataclass(frozen=True, slots=True)
class ProgramError:
    """The exception that ended a program, as the program says.

    Attributes:
        name: Name of its class.
        value: Its text.
        line: Line of the program where it was raised; None where that is not known.
    """

    name: str
    value: str
    line: int | None


@dataclass(frozen=True, slots=True)
class Result:
    """How an evaluation ended, and what it left.

    Attributes:
        status: How it ended, in one word.
        returncode: The program's own; 128 + N after signal N; 255 when the jail failed; None when output or
            files could not be passed on.
        stdout: Standard output; with standard error in it, in order, unless that was asked for apart.
        stderr: Standard error when asked for apart, else None.
        encoding: How `stdout` and `stderr` are to be read; messages that stand in their place are never base64.
        message: Why, in a sentence; empty for `ok` and for a plain exit.
        error: The uncaught exception that ended the program.
        signal: Name of the signal that ended the program, e.g. ``SIGSEGV``.
        truncated: Whether output was cut at its limit.
        files: What the program left in its home.
        usage: What it used.
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
    usage: Usage = field(default_factory=Usage)

    @property
    def size(self) -> int:
        """Bytes of all that the program left, about: a character of text counts as one."""
        return len(self.stdout) + len(self.stderr or "") + sum(len(file.content) for file in self.files)
