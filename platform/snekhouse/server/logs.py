"""The server's log: one event a line, for people or for programs.

Modules log with the standard library, what there is to tell as an event with fields (``extra``). This renders them,
and those of every library, with structlog.
"""

import logging
import os
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from snekhouse.escaping import escaped
from snekhouse.server.log_repeats import LimitedHandler
from snekhouse.shortening import shortened

_TRUE = {"1", "true", "yes", "on"}

_FIELD = 2_000
"""Characters of a field that are logged, the event itself included."""

_LONG_FIELD = 16_000
"""Characters of a traceback that are logged, and of NsJail's log."""


def set_up_log(form: Literal["text", "json"]) -> None:
    """Send the log to standard error.

    ``SNEKHOUSE_DEBUG=1`` in the environment adds what only a search for a fault needs.

    Args:
        form: ``text``, with colours at a terminal, or ``json``, one object a line.
    """
    handler = LimitedHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_COLLECT, processors=_render(form)))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # each change of the registry's file, else
    logging.getLogger("snekhouse").setLevel(logging.DEBUG if wants_debug() else logging.INFO)


def set_up_messages() -> None:
    """Send warnings and errors to standard error, as messages of a command."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Message("snekhouse: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def wants_debug() -> bool:
    """Tell whether the environment asks for all that can be told."""
    return os.environ.get("SNEKHOUSE_DEBUG", "").lower() in _TRUE


class _Message(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record), keep="\n")


_COLLECT: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def _render(form: Literal["text", "json"]) -> list[Processor]:
    traceback = structlog.processors.format_exc_info  # without local variables: programs are among them
    common: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, traceback, _shorten]
    if form == "json":
        return [*common, structlog.processors.JSONRenderer()]  # ASCII: all that a terminal could obey is escaped
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        exception_formatter=structlog.dev.plain_traceback,
        pad_event_to=0,
        sort_keys=False,
    )
    return [*common, _escape, console]


_BLOCKS = {"exception", "stack"}
"""Fields that are written below the event, in several lines."""

_LONG = {*_BLOCKS, "nsjail_log"}

_PLAIN = (bool, int, float, type(None))


def _shorten(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make a bounded text of each field that is not a number."""
    for key, value in event.items():
        if not isinstance(value, _PLAIN):
            text = value if isinstance(value, str) else repr(value)
            event[key] = shortened(text, _LONG_FIELD if key in _LONG else _FIELD)
    return event


def _escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Let no field speak to the terminal, or look like an event of its own."""
    return {escaped(key): _block(value) if key in _BLOCKS else _line(value) for key, value in event.items()}


def _line(value: object) -> object:
    return escaped(value) if isinstance(value, str) else value


def _block(value: object) -> str:
    """Indent each line: an event begins at the start of one."""
    return "\n".join(f"  {escaped(line)}" for line in str(value).split("\n"))
