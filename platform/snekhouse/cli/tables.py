"""Tables: aligned and coloured at a terminal, plain columns in a pipe."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from snekhouse.cli.output import print_text
from snekhouse.escaping import escaped


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; in a pipe one line per row, separated by tabs.

    Args:
        columns: Names of the columns.
        rows: One text per column.
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
