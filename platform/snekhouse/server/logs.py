"""The server's log: one event per line, as text for people or as JSON for programs.

Modules log events with fields (``extra``) through the standard library. This module renders them with structlog, and
the events of libraries too.
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

_MAX_FIELD_LENGTH = 2_000
"""Characters of a field to log, including the event itself."""

_MAX_LONG_FIELD_LENGTH = 16_000
"""Characters of a traceback, or of NsJail's log, to log."""


def set_up_log(form: Literal["text", "json"]) -> None:
    """Send the log to standard error.

    ``SNEKHOUSE_DEBUG=1`` in the environment adds events for debugging.

    Args:
        form: ``text``, with colours at a terminal, or ``json``, one object per line.
    """
    handler = LimitedHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_COLLECT, processors=_render(form)))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it logs each change of the registry's file
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each request that a worker passes on
    logging.getLogger("snekhouse").setLevel(logging.DEBUG if wants_debug() else logging.INFO)


def set_up_messages() -> None:
    """Send warnings and errors to standard error, in the format of a command's messages."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Message("snekhouse: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def wants_debug() -> bool:
    """Return whether the environment asks for debugging events."""
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
    traceback = structlog.processors.format_exc_info  # without local variables, which may hold programs
    common: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, traceback, _shorten]
    if form == "json":
        return [*common, structlog.processors.JSONRenderer()]  # ASCII: control characters are escaped
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0, sort_keys=False
    )
    return [*common, _escape, console]


_BLOCKS = {"exception", "stack"}
"""Fields that are written below the event, on several lines."""

_LONG_FIELDS = {*_BLOCKS, "nsjail_log"}

_UNCHANGED_TYPES = (bool, int, float, type(None))


def _shorten(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Convert each field that is not a number to text of limited length."""
    for key, value in event.items():
        if not isinstance(value, _UNCHANGED_TYPES):
            text = value if isinstance(value, str) else repr(value)
            event[key] = shortened(text, _MAX_LONG_FIELD_LENGTH if key in _LONG_FIELDS else _MAX_FIELD_LENGTH)
    return event


def _escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape fields, so that none can control the terminal or look like another event."""
    return {escaped(key): _block(value) if key in _BLOCKS else _line(value) for key, value in event.items()}


def _line(value: object) -> object:
    return escaped(value) if isinstance(value, str) else value


def _block(value: object) -> str:
    """Indent each line, because events start at the beginning of a line."""
    return "\n".join(f"  {escaped(line)}" for line in str(value).split("\n"))
