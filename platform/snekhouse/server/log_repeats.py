"""Warnings and errors that repeat: the first of them are logged, then one line a second tells how many more there were.

Whatever fails for every client, or for every connection, would otherwise fill the disk with its tracebacks.
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
"""Events of a kind that are logged within an interval."""

_INTERVAL = 1.0
"""Seconds."""

_KINDS = 1_000
"""Kinds that are told apart; what comes beyond is of one kind for each logger and level."""

_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+")
"""What differs in messages of libraries that are alike: descriptors, addresses, counts."""

_SHOWN = 200
"""Characters of the first line that tell a kind of message from others."""

_Kind = tuple[str, int, str, str]


@dataclass
class _Repeats:
    """What is known of one kind.

    Attributes:
        begin: When its interval began (`time.monotonic`).
        count: Events in this interval.
        is_flood: Whether there were too many; so until an interval has few.
        more: Events that were not logged, and not told of yet.
    """

    begin: float = field(default_factory=time.monotonic)
    count: int = 0
    is_flood: bool = False
    more: int = 0


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes records to standard error; of warnings and errors of one kind not more than some in a second.

    Of one kind are events of the same logger and level with the same fork server and type of exception.
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
        """Tell of what was not logged."""
        with self._locked():
            self._tell()
        super().close()

    def _admits(self, record: logging.LogRecord) -> bool:
        """Count a record; the lock of the handler is held."""
        repeats = self._repeats(_kind(record))
        if time.monotonic() - repeats.begin > _INTERVAL:
            if repeats.is_flood:  # the timer has not come: there may be no more threads
                self._tell()
            repeats.begin, repeats.count = time.monotonic(), 0
        repeats.count += 1
        repeats.is_flood = repeats.is_flood or repeats.count > _BURST
        if repeats.is_flood:
            repeats.more += 1
            self._start_timer()
        return not repeats.is_flood

    def _repeats(self, kind: _Kind) -> _Repeats:
        if kind not in self._kinds and len(self._kinds) >= _KINDS:
            begun = time.monotonic() - _INTERVAL
            self._kinds = {kind: each for kind, each in self._kinds.items() if each.is_flood or each.begin > begun}
            if len(self._kinds) >= _KINDS:
                kind = (*kind[:2], "others", "")
        return self._kinds.setdefault(kind, _Repeats())

    def _start_timer(self) -> None:
        if self._timer is None or not self._timer.is_alive():  # a fork has lost it
            timer = threading.Timer(_INTERVAL, self._on_timer)
            timer.daemon = True
            try:
                timer.start()
            except RuntimeError:  # no more threads; the next event tells
                return
            self._timer = timer

    def _on_timer(self) -> None:
        with self._locked():
            self._timer = None
            self._tell()
            if any(each.is_flood for each in self._kinds.values()):
                self._start_timer()

    def _tell(self) -> None:
        """Log how many more there were of each kind, and begin its next interval."""
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
    """Tell of which kind a record is, without rendering it."""
    message = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
    first = message.partition("\n")[0][:_SHOWN]
    error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
    return record.name, record.levelno, first if record.args else _VARYING.sub("N", first), error


def _summary(kind: _Kind, more: int) -> logging.LogRecord:
    name, level, message, error = kind
    text = f"{more} more like this: {message}" + (f" ({error})" if error else "")
    return logging.makeLogRecord(
        {"name": name, "levelno": level, "levelname": logging.getLevelName(level), "msg": text, "more": more}
    )
