"""The route that takes many evaluations at once."""

from collections.abc import AsyncIterator, Sequence
from itertools import chain

import anyio
import anyio.to_thread
from pydantic_core import from_json
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from snekhouse.errors import BusyError, RequestError, RuntimeUnknownError, SnekhouseError
from snekhouse.evaluation import Job, Result
from snekhouse.registry.models import Runtime
from snekhouse.service import Service
from snekhouse.service.bulk import Task, evaluate_all
from snekhouse.web.answer import eval_pieces
from snekhouse.web.app_state import service_of
from snekhouse.web.body import read_lines, validated
from snekhouse.web.bulk_limits import TOO_MUCH, time_limit_of
from snekhouse.web.judge_request import BatchLine
from snekhouse.web.judge_schemas import BatchEnd, BatchHead
from snekhouse.web.memory_budget import Reservation, reservation_of
from snekhouse.web.refusals import error_told
from snekhouse.web.routes import chosen_runtime
from snekhouse.web.schemas import EvalResponse
from snekhouse.web.streaming import Events, StreamedAnswer, StreamFormat, wanted_format


class Batch(HTTPEndpoint):
    """``/batch``."""

    async def post(self, request: Request) -> Response:
        """Evaluate each line of the body, and answer with a line as each ends."""
        service = service_of(request)
        lines = await read_lines(request, int(service.registry.server.max_request))
        kind = wanted_format(request) or StreamFormat.NDJSON
        batch = _Batch(service, lines, time_limit_of(request, None), reservation_of(request.scope))
        return StreamedAnswer(request, kind, batch.stream)


class _Batch:
    def __init__(
        self, service: Service, lines: Sequence[bytes], time_limit: float | None, reservation: Reservation
    ) -> None:
        self._service, self._lines, self._time_limit = service, lines, time_limit
        self._reservation = reservation
        self._answered: set[int] = set()
        self._ids: list[str | int | None] = [None] * len(lines)

    async def stream(self, events: Events) -> None:
        """Evaluate all lines, and send an event for each."""
        await events.send("start", {"count": len(self._lines)})

        async def tasks() -> AsyncIterator[Task[int]]:
            for index, line in enumerate(self._lines):
                try:
                    body = await self._body(index, line)
                    runtime, job = _resolved(self._service, body)
                except (RequestError, RuntimeUnknownError, BusyError) as error:
                    await events.send("error", self._error(index, error))
                    self._answered.add(index)
                else:
                    yield Task(index, runtime, job)

        async def done(task: Task[int], result: Result) -> None:
            try:
                with self._reservation.more(2 * result.size):
                    await self._send(events, task, result)
            except BusyError:
                await self._send(events, task, result.without_content(TOO_MUCH))
            self._answered.add(task.name)

        with anyio.move_on_after(self._time_limit):
            await evaluate_all(self._service, tasks(), done)
        for index in sorted(set(range(len(self._lines))) - self._answered):
            await events.send("skipped", {"index": index, "id": self._ids[index] or _id_of(self._lines[index])})
        await events.send("end", BatchEnd(count=len(self._lines)))

    async def _send(self, events: Events, task: Task[int], result: Result) -> None:
        response = EvalResponse.of(
            task.runtime.name, task.job.limits, self._service.enforcement, result, with_value=task.job.wants_value
        )
        head = BatchHead(index=task.name, id=self._ids[task.name]).model_dump_json().encode()[:-1]
        pieces = eval_pieces(response)
        await events.send("result", chain([head + b"," + next(pieces)[1:]], pieces))

    def _error(self, index: int, error: SnekhouseError) -> dict[str, object]:
        return {"index": index, "id": self._ids[index], "error": error_told(error).model_dump()}

    async def _body(self, index: int, line: bytes) -> BatchLine:
        try:
            body = await validated(BatchLine, line)
        except RequestError:
            self._ids[index] = _id_of(line)
            raise
        self._ids[index] = body.id
        return body


def _id_of(line: bytes) -> str | int | None:
    """Return the name of a line that is not valid, if it has one."""
    try:
        found = from_json(line[:_MAX_ERROR_LINE], allow_partial=True)
    except ValueError:
        return None
    name = found.get("id") if isinstance(found, dict) else None
    return name if isinstance(name, str | int) else None


_MAX_ERROR_LINE = 1 << 16
"""Bytes of a line that is not valid in which its name is searched."""


def _resolved(service: Service, body: BatchLine) -> tuple[Runtime, Job]:
    runtime = chosen_runtime(service.registry, body)
    service.check_available(runtime.name)
    return runtime, body.to_job(runtime)


ROUTES = (Route("/batch", Batch),)
