"""The output of one evaluation or cell as events, while the program runs."""

import codecs
import time
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import anyio

from snekhouse.errors import SnekhouseError
from snekhouse.evaluation import Controls, Encoding, Job, Observer, Result
from snekhouse.web.streaming import Events

_T = TypeVar("_T")

Run = Callable[[Job, Observer], Awaitable[_T]]
"""Runs a job, and lets an observer follow it."""


@dataclass
class OutputEvents:
    """Sends the output of a program as it comes: ``start``, ``stdout`` and ``stderr``.

    Attributes:
        events: Where to send.
        encoding: How bytes become text. A character that is cut in two at the border of two events is sent whole, in
            the second. Bytes that are not UTF-8 become U+FFFD.
    """

    events: Events
    encoding: Encoding
    _begin: float = 0.0
    _has_slot: anyio.Event = field(default_factory=anyio.Event)
    _has_started: anyio.Event = field(default_factory=anyio.Event)
    _decoders: dict[str, codecs.IncrementalDecoder] = field(default_factory=dict)

    async def follow(
        self,
        job: Job,
        run: Run[_T],
        result_of: Callable[[_T], Result],
        controlled: Callable[[Controls], None] | None = None,
    ) -> _T:
        """Run a job, and send its output as it comes; return what `run` returns.

        Args:
            job: The job.
            run: Runs it.
            result_of: Returns the result in what `run` returns; it has the end of the output.
            controlled: See `Observer`.

        Raises:
            SnekhouseError: `run` raised it.
        """
        failed: list[SnekhouseError] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._announce)
            try:
                found = await run(replace(job, encoding=Encoding.BASE64), Observer(self._start, self._send, controlled))
                self._start()
                await self._finish(result_of(found))
            except SnekhouseError as error:
                failed.append(error)
                tasks.cancel_scope.cancel()
        if failed:
            raise failed[0]  # outside of the exception group
        return found

    def _start(self) -> None:
        self._begin = self._begin or time.monotonic()
        self._has_slot.set()

    async def _announce(self) -> None:
        await self._has_slot.wait()
        await self.events.send("start")
        self._has_started.set()

    async def _send(self, name: str, content: bytes, *, is_last: bool = False) -> None:
        await self._has_started.wait()
        if self.encoding is Encoding.BASE64:
            text = b64encode(content).decode()
        else:
            decoder = self._decoders.setdefault(name, codecs.getincrementaldecoder("utf-8")("replace"))
            before = decoder.getstate()
            text = decoder.decode(content, is_last)
        if not text:
            return
        try:
            await self.events.send(name, {"text": text, "time": round(time.monotonic() - self._begin, 6)})
        except BaseException:  # cancelled; the content comes again, with the rest
            if self.encoding is not Encoding.BASE64:
                decoder.setstate(before)
            raise

    async def _finish(self, result: Result) -> None:
        """Send the end of the output, which `Observer.printed` was not given."""
        for name, text in (("stdout", result.stdout), ("stderr", result.stderr or "")):
            content = b64decode(text) if result.encoding is Encoding.BASE64 else text.encode()
            await self._send(name, content, is_last=True)


def without_output(result: Result, encoding: Encoding) -> Result:
    """Return a result without the output, which events have already sent."""
    stderr = None if result.stderr is None else ""
    return replace(result, stdout="", stderr=stderr, encoding=encoding)
