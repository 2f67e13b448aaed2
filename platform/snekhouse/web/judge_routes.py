"""The routes that judge a program."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace

import anyio.to_thread
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from snekhouse.errors import BusyError
from snekhouse.judging.verdicts import Verdict
from snekhouse.registry.models import Runtime
from snekhouse.service import Service
from snekhouse.service.cases import Case, CaseResult, Clock, judge_cases
from snekhouse.web.answer import in_turn
from snekhouse.web.app_state import service_of
from snekhouse.web.body import read_request
from snekhouse.web.bulk_limits import TOO_MUCH, time_limit_of
from snekhouse.web.connection import while_connected
from snekhouse.web.judge_request import JudgeRequest
from snekhouse.web.judge_schemas import CaseOut, Judged, JudgeUsage
from snekhouse.web.memory_budget import Reservation, reservation_of
from snekhouse.web.routes import chosen_runtime
from snekhouse.web.streaming import Events, StreamedAnswer, wanted_format


class Judge(HTTPEndpoint):
    """``/judge`` and ``/judge/{runtime}``."""

    async def post(self, request: Request) -> Response:
        """Judge a program by its cases."""
        service = service_of(request)
        named = request.path_params.get("runtime")
        if named:
            service.registry.resolve(named)
        body = await read_request(request, int(service.registry.server.max_request), JudgeRequest)
        runtime = service.registry.resolve(named) if named else chosen_runtime(service.registry, body)
        cases = await anyio.to_thread.run_sync(body.to_cases, service.registry, runtime)  # there may be many
        judging = _Judging(
            service,
            body,
            runtime,
            cases,
            reservation_of(request.scope),
            time_limit=time_limit_of(request, body.timeout),
        )
        if kind := wanted_format(request):
            return StreamedAnswer(request, kind, judging.stream)
        return await while_connected(request, judging.answer)


class _Judging:
    def __init__(
        self,
        service: Service,
        body: JudgeRequest,
        runtime: Runtime,
        cases: Sequence[Case],
        reservation: Reservation,
        *,
        time_limit: float | None,
    ) -> None:
        self._service, self._body, self._runtime, self._reservation = service, body, runtime, reservation
        self._time_limit = time_limit
        self._cases, self._setup = cases, body.to_setup(runtime)
        self._size = _size_of(self._cases)
        reservation.hold(self._size)
        self._clock = Clock()
        self._pieces: list[bytes] = [b""] * len(self._cases)

    async def answer(self) -> Response:
        """Judge all cases, and return the whole answer."""

        async def keep(found: CaseResult) -> None:
            piece = self._encoded(found)
            try:
                self._hold(len(piece))
            except BusyError:
                result = found.result and found.result.without_content(TOO_MUCH)
                piece = self._encoded(replace(found, result=result))
            self._pieces[found.index] = piece

        judged = await self._judge(keep)
        return StreamingResponse(in_turn(_whole(judged, self._pieces)), media_type="application/json")

    async def stream(self, events: Events) -> None:
        """Judge all cases, and send an event for each as it ends."""
        await events.send("start", {"runtime": self._runtime.name, "count": len(self._cases)})

        async def send(found: CaseResult) -> None:
            piece = self._encoded(found)
            try:
                with self._reservation.more(len(piece)):
                    await events.send("case", piece)
            except BusyError:
                result = found.result and found.result.without_content(TOO_MUCH)
                await events.send("case", self._encoded(replace(found, result=result)))

        await events.send("end", await self._judge(send))

    async def _judge(self, take: Callable[[CaseResult], Awaitable[None]]) -> Judged:
        body = self._body

        async def count(found: CaseResult) -> None:
            if found.result:
                self._clock.cpu_time += found.result.usage.cpu_time
            await take(found)

        stop_at_failure = body.stop == "first_failure"
        verdicts = await judge_cases(
            self._service,
            self._cases,
            count,
            stop_at_failure=stop_at_failure,
            time_limit=self._time_limit,
            setup=self._setup,
        )
        usage = JudgeUsage(wall_time=self._clock.wall_time, cpu_time=self._clock.cpu_time)
        return Judged.of(verdicts, self._runtime.name, usage)

    def _encoded(self, found: CaseResult) -> bytes:
        outputs = self._body.outputs
        with_content = outputs == "all" or (outputs == "failed" and found.judgement.verdict is not Verdict.ACCEPTED)
        case = CaseOut.of(self._body.cases[found.index].id, found, with_content=with_content)
        return case.model_dump_json().encode()

    def _hold(self, size: int) -> None:
        self._reservation.hold(self._size + size)
        self._size += size


def _size_of(cases: Sequence[Case]) -> int:
    """Return the bytes of all cases together; they share what the request has for all."""
    parts: dict[int, int] = {}
    for case in cases:
        expected = case.expected
        texts = (*case.job.args, case.job.stdin, expected.stdout or "", *expected.files.values())
        for part in (*texts, *(file.content for file in case.job.files)):
            parts[id(part)] = len(part)
    return sum(parts.values()) + _CASE_SIZE * len(cases)


_CASE_SIZE = 1 << 10
"""Bytes that a case takes besides its content."""


def _whole(judged: Judged, cases: Sequence[bytes]) -> Iterator[bytes]:
    yield judged.model_dump_json().encode()[:-1] + b',"cases":['
    for index, case in enumerate(cases):
        yield (b"," if index else b"") + case
    yield b"]}"


ROUTES = (
    Route("/judge", Judge),
    Route("/judge/{runtime}", Judge),
)
