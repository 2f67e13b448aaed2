"""Output of commands: text, messages, and JSON for programs."""

import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from snekhouse.escaping import escaped


def print_text(text: str) -> None:
    """Write to standard output, as UTF-8 in every locale."""
    print_bytes(text.encode(errors="surrogateescape"), sys.stdout)


def print_bytes(content: bytes, stream: TextIO) -> None:
    """Write bytes to a standard stream, so that the output of a program stays as it was."""
    stream.flush()
    stream.buffer.write(content)
    stream.buffer.flush()


def print_lines(lines: Iterable[str]) -> None:
    """Print lines that may contain untrusted text, such as names of files."""
    print_text("".join(f"{escaped(line)}\n" for line in lines))


def say(text: str, *, keep: str = "") -> None:
    """Print a message on standard error.

    Args:
        text: The message; it may contain untrusted text.
        keep: Characters that are not escaped, such as a newline.
    """
    sys.stderr.write(f"snekhouse: {escaped(text, keep=keep)}\n")


def command() -> str:
    """Return how the caller can run this program: by its name, or by its path if the shell does not find the name."""
    typed = sys.argv[0]
    return typed if Path(typed).name == "snekhouse" and not shutil.which("snekhouse") else "snekhouse"


def print_json(value: Any) -> None:
    """Print a value as JSON, in ASCII, so that it cannot control a terminal."""
    print_text(json.dumps(value, indent=2, default=str) + "\n")
