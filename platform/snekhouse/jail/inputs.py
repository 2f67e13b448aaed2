"""The inputs of a job, as a jail takes them: arguments and files as bytes, and standard input as a descriptor."""

import fcntl
import os
import posixpath
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import anyio.lowlevel

from snekhouse.evaluation import Job


@dataclass(frozen=True, slots=True)
class Request:
    """A job as bytes.

    Attributes:
        args: Arguments of the interpreter; None to ask for a session.
        variables: Name and value of each environment variable that this run sets.
        files: Path below the home, in its shortest form, and content, of each input file.
    """

    args: tuple[bytes, ...] | None
    variables: tuple[tuple[bytes, bytes], ...]
    files: tuple[tuple[bytes, bytes], ...]

    @classmethod
    def of(cls, job: Job) -> Self:
        """Encode a job.

        Raises:
            ValueError: No process can have such arguments; the text is snekbox's.
        """
        args = tuple(map(_encode, job.args))
        variables = tuple((_encode(name), _encode(value)) for name, value in job.env.items())
        return cls(args, variables, tuple((_encode(posixpath.normpath(file.path)), file.content) for file in job.files))


def _encode(text: str | bytes) -> bytes:
    try:
        encoded = text if isinstance(text, bytes) else text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"UnicodeEncodeError: {error}") from None
    if b"\0" in encoded:
        raise ValueError("ValueError: embedded null byte")
    return encoded


@asynccontextmanager
async def stdin_file(content: bytes) -> AsyncIterator[int]:
    """Make a file in memory with the standard input, which nobody can change (memfd_create(2)).

    Args:
        content: The whole standard input.

    Yields:
        A descriptor of the file, at its beginning.
    """
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest[:_PIECE]) :]
            if rest:
                await anyio.lowlevel.checkpoint()
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


_PIECE = 1 << 20
"""Bytes that are written at once, before other tasks of the event loop get a turn."""
