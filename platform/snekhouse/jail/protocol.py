"""The guest protocol: the messages between host and guest.

docs/protocol.md describes it. This module is the host's side, and does no input or output. The bootstrap inside the
jail implements the guest's side. The sides share no code; both are tested on the example messages in tests/protocol/.

Before the program of an evaluation runs, the guest closes its end of the socket, and the host reads nothing more. A
session keeps the socket open, and the host trusts none of its messages.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from snekhouse.profile.tmpfs import TmpfsMount

HELLO = b"snekhouse 1\n"
"""The guest's first bytes, sent together with a descriptor of the home (SCM_RIGHTS)."""

FORK_REFUSED = b"E"
"""The first byte of the message that replaces a hello if the fork server cannot fork or seal a process.

The reason follows.
"""

FORK_SERVER_HELLO = b"snekhouse fork server 1\n"
"""A fork server's first bytes, when it is ready."""

_NUMBER = struct.Struct(">I")
_READY, _REFUSED = b"R", b"E"
_STAMP = struct.Struct(">QQ")
_REFUSAL = struct.Struct(">II")

_SESSION = 0xFFFFFFFF
"""Instead of a number of arguments: the guest becomes a session."""

_LARGE_SIZE = 1 << 16
"""Minimum number of bytes of a field that is sent as a separate piece."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """An input file as the guest wrote it.

    Attributes:
        inode: Its inode number in the home's tmpfs.
        mtime: Time of its last modification, in nanoseconds.
    """

    inode: int
    mtime: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """An input file that the guest could not write.

    Attributes:
        index: Its position in the request, from 0.
        errno: The error (errno(3)).
    """

    index: int
    errno: int

    def explained(self, path: str) -> tuple[str, str]:
        """Return snekbox's text for the output, and a message with the reason.

        Args:
            path: The file's path in the request.
        """
        reason = OSError(self.errno, os.strerror(self.errno))
        text = f"{type(reason).__name__}: Failed to create file '{path}'."
        return text, f"{text} ({reason.strerror})"


def encode_task_files(count: int) -> bytes:
    """Encode how many `tasks` files of cgroups there are; their descriptors are sent with this number (SCM_RIGHTS)."""
    return _NUMBER.pack(count)


def encode_fork_server(
    policy: bytes, writable: Sequence[TmpfsMount], preload: Sequence[str], *, loopback: bool = False
) -> bytes:
    """Encode the settings of a fork server.

    Args:
        policy: The filter that runs install (``struct sock_filter[]``).
        writable: The tmpfs that runs mount.
        preload: Modules to import before the first run.
        loopback: Whether the loopback interface of runs is up.
    """
    mounts = [
        _field(each.target.encode()) + _field(each.options.encode()) + _NUMBER.pack(each.flags) for each in writable
    ]
    modules = [_field(name.encode()) for name in preload]
    lists = [_NUMBER.pack(len(each)) + b"".join(each) for each in (mounts, modules)]
    return _field(policy) + _NUMBER.pack(loopback) + b"".join(lists)


def encode_fork(number: int, user: int) -> bytes:
    """Encode an order to fork a run. The run's end of its control socket is sent with the order (SCM_RIGHTS).

    Args:
        number: A number that no other fork of the same generation has.
        user: Its user and group id inside.
    """
    return b"F" + _NUMBER.pack(number) + _NUMBER.pack(user)


def encode_kill(number: int) -> bytes:
    """Encode an order to kill a fork, if it has not ended yet."""
    return b"K" + _NUMBER.pack(number) + _NUMBER.pack(0)


def encode_generation(number: int) -> bytes:
    """Encode an order to fork another generation; its end of a control socket is sent with the order (SCM_RIGHTS).

    Args:
        number: A number that no other fork of the same generation has.
    """
    return b"G" + _NUMBER.pack(number) + _NUMBER.pack(0)


def encode_modules(modules: Sequence[str]) -> bytes:
    """Encode the modules that a generation sets aside; none means those of the standard library."""
    return _NUMBER.pack(len(modules)) + b"".join(_field(name.encode()) for name in modules)


class ModuleOutcome(Enum):
    """What became of a module that a generation was to set aside."""

    SET_ASIDE = b"T"
    MISSING = b"M"
    """It cannot be imported."""
    UNFIT = b"U"
    """Its import changes the process, which can fork no runs any more."""


MODULE_REPORT_HEAD = struct.Struct(">cII")
"""The head of a report on a module: a `ModuleOutcome`, a number of KiB, the length of the reason.

The number is the growth of the peak memory of the process so far. The reason follows, in UTF-8.
"""

ENDED = struct.Struct(">IIQ")
"""A fork server's report that a fork has ended: its number, its status (wait(2)), its CPU time in microseconds."""


def _field(content: bytes) -> bytes:
    return _NUMBER.pack(len(content)) + content


def encode_request(
    args: Sequence[bytes] | None, variables: Sequence[tuple[bytes, bytes]], files: Sequence[tuple[bytes, bytes]]
) -> Iterator[bytes]:
    """Encode a request in pieces: small fields together, and each large field alone, without a copy.

    Args:
        args: Arguments of the interpreter; None for a session.
        variables: Name and value of each environment variable that this run sets.
        files: Path below the home, and content, of each input file.

    Yields:
        Pieces to send in order.
    """
    small = bytearray()
    for field in _fields(args, variables, files):
        if len(field) < _LARGE_SIZE:
            small += field
        else:
            yield bytes(small)
            small.clear()
            yield field
    yield bytes(small)


def _fields(
    args: Sequence[bytes] | None, variables: Sequence[tuple[bytes, bytes]], files: Sequence[tuple[bytes, bytes]]
) -> Iterator[bytes]:
    yield _NUMBER.pack(_SESSION if args is None else len(args))
    for arg in args or ():
        yield _NUMBER.pack(len(arg))
        yield arg
    yield _NUMBER.pack(len(variables))
    for name, value in variables:
        yield _field(name) + _field(value)
    yield _NUMBER.pack(len(files))
    for path, content in files:
        yield _NUMBER.pack(len(path)) + path + _NUMBER.pack(len(content))
        yield content


def report_size(head: bytes, files: int) -> int | None:
    """Return the size of a report in bytes.

    Args:
        head: Its first bytes.
        files: How many files the request had.

    Returns:
        The size, or None if no report begins with these bytes.
    """
    match head[:1]:
        case b"R":
            return len(_READY) + files * _STAMP.size
        case b"E":
            return len(_REFUSED) + _REFUSAL.size
        case _:
            return None


def decode_report(report: bytes) -> tuple[Stamp, ...] | Refusal:
    """Decode a whole report of the guest: the stamps of all input files, or the one that failed."""
    if report[:1] == _REFUSED:
        return Refusal(*_REFUSAL.unpack(report[1:]))
    return tuple(Stamp(*stamp) for stamp in _STAMP.iter_unpack(report[1:]))


class Order(Enum):
    """What a state of a session is told to do."""

    FORK = b"F"
    """Fork a copy, which takes the orders of the control socket that is sent with the order (SCM_RIGHTS)."""
    RUN_CELL = b"C"
    """Run a cell with the standard streams that are sent with the order. The cell follows as a request."""
    WAIT = b"W"
    """Wait for the last copy; answer with its status (wait(2)) as a u32."""


STATE_HELLO = b"S"
"""The first byte of a state; the kernel adds its process id (SCM_CREDENTIALS)."""


class CellEnd(Enum):
    """How a cell ended."""

    VALUE = b"V"
    EXCEPTION = b"X"
    EXIT = b"Q"
    """The program asked the interpreter to end."""


CELL_REPORT_HEAD = struct.Struct(">ccIII")
"""The head of a state's report on a cell: ``D``, a `CellEnd`, and as numbers the exit code, the threads and the parts.

For each part, two fields follow: its name and its content.
"""
