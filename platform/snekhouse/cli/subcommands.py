"""The commands by name. A command's module is imported when somebody runs the command, or asks for the list.

All modules together take several times as long to import as those of one command.
"""

from collections import UserDict
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

_PLACES = {
    "serve": "serve:serve",
    "eval": "evaluate:evaluate",
    "repl": "repl:repl",
    "judge": "judge:judge_program",
    "compare": "compare:compare",
    "doctor": "doctor:doctor",
    "runtimes": "runtimes:app",
    "packages": "packages:app",
    "render": "render:app",
}
"""Module and name of the function of each command, or of the app of its subcommands, in the order of the help."""


class Subcommands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _ByName(_PLACES)


class _ByName(UserDict[str, Any]):
    """The commands, which are made from their places when they are read."""

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = super().__getitem__(name).partition(":")
        found = getattr(import_module(f"snekhouse.cli.{module}"), attribute)
        app = typer.Typer(rich_markup_mode=None)  # the group that has this command alone
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
        return typer.main.get_group(app).commands[name]
