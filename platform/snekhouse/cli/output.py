"""What a command prints: a table for a person at a terminal, plain columns in a pipe, JSON for a program."""

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from snekhouse.escaping import escaped


def print_text(text: str) -> None:
    """Write to standard output as UTF-8, whatever the locale: what a program printed comes out as it was."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode(errors="surrogateescape"))
    sys.stdout.buffer.flush()


def print_lines(lines: Iterable[str]) -> None:
    """Print lines that have foreign text in them, such as names of files."""
    print_text("".join(f"{escaped(line)}\n" for line in lines))


def say(text: str, *, keep: str = "") -> None:
    """Tell something on standard error.

    Args:
        text: What to tell; it may have foreign text in it.
        keep: Characters that are not escaped, such as a newline.
    """
    sys.stderr.write(f"snekhouse: {escaped(text, keep=keep)}\n")


def command() -> str:
    """Name this program as its caller can type it again: by its path where the shell does not find the bare name."""
    typed = sys.argv[0]
    return typed if Path(typed).name == "snekhouse" and not shutil.which("snekhouse") else "snekhouse"


def print_json(value: Any) -> None:
    """Print a value as JSON; in ASCII, so that nothing in it speaks to a terminal."""
    print_text(json.dumps(value, indent=2, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their columns; in a pipe separated by tabs, one line a row.

    Args:
        columns: Their names.
        rows: As many texts each as there are columns.
    """
    cells = ([escaped(" ".join(text.split())) for text in row] for row in rows)
    if not sys.stdout.isatty():
        for row in (columns, *cells):
            print_text("\t".join(row) + "\n")
        return
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*(Text(text, style=_COLOURS.get(text, "")) for text in row))
    Console().print(table)


_COLOURS = {"available": "green", "stands": "green", "unavailable": "red", "missing": "yellow"}
