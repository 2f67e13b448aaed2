"""The route that compares runtimes."""

from collections.abc import AsyncIterator, Iterator, Mapping

import anyio
import anyio.to_thread
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from snekhouse.errors import RequestError
from snekhouse.evaluation import Result
from snekhouse.judging.grouping import ResultGroup, grouped
from snekhouse.service import Service
from snekhouse.service.bulk import Task, evaluate_all
from snekhouse.web.answer import eval_pieces, in_turn
from snekhouse.web.app_state import service_of
from snekhouse.web.body import read_request
from snekhouse.web.bulk_limits import time_limit_of
from snekhouse.web.connection import while_connected
from snekhouse.web.judge_request import CompareRequest
from snekhouse.web.judge_schemas import Compared, GroupOut
from snekhouse.web.memory_budget import Reservation, reservation_of
from snekhouse.web.schemas import EvalResponse
from snekhouse.web.streaming import Events, StreamedAnswer, wanted_format


class Compare(HTTPEndpoint):
    """``/compare``."""

    async def post(self, request: Request) -> Response:
        """Evaluate a program in several runtimes, and group equal results."""
        service = service_of(request)
        body = await read_request(request, int(service.registry.server.max_request), CompareRequest)
        comparing = _Comparing(service, body, reservation_of(request.scope), time_limit_of(request, body.timeout))
        if kind := wanted_format(request):
            return StreamedAnswer(request, kind, comparing.stream)
        return await while_connected(request, comparing.answer)


class _Comparing:
    def __init__(
        self, service: Service, body: CompareRequest, reservation: Reservation, time_limit: float | None
    ) -> None:
        self._service, self._body, self._reservation, self._time_limit = service, body, reservation, time_limit
        available = [name for name, state in service.runtimes.items() if state.probe]
        self._jobs = body.to_jobs(service.registry, available)
        if not self._jobs:
            raise RequestError("runtimes: none is named or available; GET /runtimes lists them")
        for name in self._jobs:
            service.check_available(name)
        jobs = [job for _, job in self._jobs.values()]
        copies = min(service.registry.server.slots, len(jobs)) - 1  # of standard input; `size` has one
        self._size = max(job.size + copies * len(job.stdin) for job in jobs)
        reservation.hold(self._size)
        self._results: dict[str, Result] = {}

    async def answer(self) -> Response:
        """Evaluate the program everywhere, and return the whole answer."""
        await self._evaluate(None)
        compared = await self._compared()
        return StreamingResponse(in_turn(self._whole(compared)), media_type="application/json")

    async def stream(self, events: Events) -> None:
        """Evaluate the program everywhere, and send an event for each runtime as it ends."""
        await events.send("start", {"runtimes": list(self._jobs)})
        await self._evaluate(events)
        await events.send("end", await self._compared())

    async def _evaluate(self, events: Events | None) -> None:
        async def tasks() -> AsyncIterator[Task[str]]:
            for name, (runtime, job) in self._jobs.items():
                yield Task(name, runtime, job)

        async def done(task: Task[str], result: Result) -> None:
            self._reservation.hold(self._size + result.size)  # output that is left out would make a difference
            self._size += result.size
            self._results[task.name] = result
            if events:
                await events.send("result", eval_pieces(self._response(task.name, result)))

        with anyio.move_on_after(self._time_limit):
            await evaluate_all(self._service, tasks(), done)

    async def _compared(self) -> Compared:
        found = {name: self._results[name] for name in self._jobs if name in self._results}
        default = self._service.registry.default
        default = default if default in found else next(iter(found), "")
        groups = await self._grouped(found, default) if found else ()
        skipped = tuple(name for name in self._jobs if name not in found)
        return Compared(default=default, groups=GroupOut.all_of(groups), skipped=skipped)

    async def _grouped(self, found: Mapping[str, Result], default: str) -> tuple[ResultGroup, ...]:
        normalization = self._body.normalize.to_normalization()
        return await anyio.to_thread.run_sync(grouped, found, default, normalization, limiter=self._service.diffs)

    def _whole(self, compared: Compared) -> Iterator[bytes]:
        yield compared.model_dump_json().encode()[:-1] + b',"results":{'
        for index, name in enumerate(name for name in self._jobs if name in self._results):
            yield (b"," if index else b"") + b'"' + name.encode() + b'":'
            yield from eval_pieces(self._response(name, self._results[name]))
        yield b"}}"

    def _response(self, name: str, result: Result) -> EvalResponse:
        _, job = self._jobs[name]
        return EvalResponse.of(name, job.limits, self._service.enforcement, result, with_value=job.wants_value)


ROUTES = (Route("/compare", Compare),)
