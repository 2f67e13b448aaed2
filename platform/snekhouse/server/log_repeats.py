"""Limit repeated warnings and errors: log the first ones, then one line a second with the number of the others.

Otherwise an error that occurs for every client would fill the disk with its tracebacks.
"""

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

_BURST = 10
"""Events of one kind to log in an interval."""

_INTERVAL_S = 1.0
"""Seconds in which events are counted, and between summaries."""

_MAX_KINDS = 1_000
"""Kinds to count separately; further events are counted by logger and level only."""

_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+")
"""Parts that vary between messages of one kind from libraries: descriptors, addresses, counts."""

_MAX_KEY_LENGTH = 200
"""Characters of a message's first line that identify its kind."""

_Kind = tuple[str, int, str, str]


@dataclass
class _Repeats:
    """The count of one kind.

    Attributes:
        begin: When its interval began (`time.monotonic`).
        count: Events in this interval.
        is_flood: Whether there were too many events; False again after an interval with few.
        more: Events that were neither logged nor summarized yet.
    """

    begin: float = field(default_factory=time.monotonic)
    count: int = 0
    is_flood: bool = False
    more: int = 0


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes records to standard error, but only a few warnings and errors of one kind in a second.

    Events of one kind have the same logger, level, message template and type of exception.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[_Kind, _Repeats] = {}
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless there are too many of its kind."""
        if record.levelno < logging.WARNING or self._admits(record):
            super().emit(record)

    def close(self) -> None:
        """Log the last summaries."""
        with self._locked():
            self._summarize()
        super().close()

    def _admits(self, record: logging.LogRecord) -> bool:
        """Count a record; return whether to log it. The caller holds the handler's lock."""
        repeats = self._repeats(_kind(record))
        if time.monotonic() - repeats.begin > _INTERVAL_S:
            if repeats.is_flood:  # the timer did not run: the process may be out of threads
                self._summarize()
            repeats.begin, repeats.count = time.monotonic(), 0
        repeats.count += 1
        repeats.is_flood = repeats.is_flood or repeats.count > _BURST
        if repeats.is_flood:
            repeats.more += 1
            self._start_timer()
        return not repeats.is_flood

    def _repeats(self, kind: _Kind) -> _Repeats:
        if kind not in self._kinds and len(self._kinds) >= _MAX_KINDS:
            begun = time.monotonic() - _INTERVAL_S
            self._kinds = {kind: each for kind, each in self._kinds.items() if each.is_flood or each.begin > begun}
            if len(self._kinds) >= _MAX_KINDS:
                kind = (*kind[:2], "others", "")
        return self._kinds.setdefault(kind, _Repeats())

    def _start_timer(self) -> None:
        if self._timer is None or not self._timer.is_alive():  # it is dead after a fork
            timer = threading.Timer(_INTERVAL_S, self._on_timer)
            timer.daemon = True
            try:
                timer.start()
            except RuntimeError:  # out of threads; the next event logs the summary
                return
            self._timer = timer

    def _on_timer(self) -> None:
        with self._locked():
            self._timer = None
            self._summarize()
            if any(each.is_flood for each in self._kinds.values()):
                self._start_timer()

    def _summarize(self) -> None:
        """Log how many more events each kind had, and begin its next interval."""
        for kind, each in self._kinds.items():
            if not each.is_flood:
                continue
            if each.more:
                super().emit(_summary(kind, each.more))
            each.is_flood = each.count > _BURST
            each.begin, each.count, each.more = time.monotonic(), 0, 0

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()


def _kind(record: logging.LogRecord) -> _Kind:
    """Return the kind of a record, without rendering the message."""
    message = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
    first = message.partition("\n")[0][:_MAX_KEY_LENGTH]
    error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
    return record.name, record.levelno, first if record.args else _VARYING.sub("N", first), error


def _summary(kind: _Kind, more: int) -> logging.LogRecord:
    name, level, message, error = kind
    text = f"{more} more like this: {message}" + (f" ({error})" if error else "")
    return logging.makeLogRecord(
        {"name": name, "levelno": level, "levelname": logging.getLevelName(level), "msg": text, "more": more}
    )
