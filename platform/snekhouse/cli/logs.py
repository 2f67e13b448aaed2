"""The server's log: one event a line, for people or for programs.

Modules log with the standard library, what there is to tell as an event with fields (``extra``). This renders them,
and those of every library, with structlog.
"""

import logging
import os
import sys
from typing import Literal

import structlog
from structlog.typing import Processor

_TRUE = {"1", "true", "yes", "on"}


def set_up(form: Literal["text", "json"]) -> None:
    """Send the log to standard error.

    ``SNEKHOUSE_DEBUG=1`` in the environment adds what only a search for a fault needs.

    Args:
        form: ``text``, with colours at a terminal, or ``json``, one object a line.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_COLLECT, processors=_render(form)))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # each change of the registry's file, else
    logging.getLogger("snekhouse").setLevel(logging.DEBUG if wants_debug() else logging.INFO)


def wants_debug() -> bool:
    """Tell whether the environment asks for all that can be told."""
    return os.environ.get("SNEKHOUSE_DEBUG", "").lower() in _TRUE


_COLLECT: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def _render(form: Literal["text", "json"]) -> list[Processor]:
    plain = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if form == "json":
        return [plain, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        exception_formatter=structlog.dev.plain_traceback,  # others show local variables: programs are among them
        pad_event_to=0,
        sort_keys=False,
    )
    return [plain, console]
