"""The routes that judge a program."""

import sys
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
from snekhouse.web.answer import eval_pieces, in_turn, joined
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
        time_limit = time_limit_of(request, body.timeout)
        reservation = reservation_of(request.scope)
        judging = await anyio.to_thread.run_sync(_Judging, service, body, runtime, reservation, time_limit)
        judging.hold()
        if kind := wanted_format(request):
            return StreamedAnswer(request, kind, judging.stream)
        return await while_connected(request, judging.answer)


class _Judging:
    """One request. It is made in a thread, because it may have many cases."""

    def __init__(
        self,
        service: Service,
        body: JudgeRequest,
        runtime: Runtime,
        reservation: Reservation,
        time_limit: float | None,
    ) -> None:
        self._service, self._body, self._runtime, self._reservation = service, body, runtime, reservation
        self._time_limit = time_limit
        self._clock = Clock()
        self._cases, self._setup = body.to_cases(service.registry, runtime), body.to_setup(runtime)
        self._size = _size_of(self._cases, service.registry.server.slots)
        self._pieces: list[bytes] = [b""] * len(self._cases)

    def hold(self) -> None:
        """Reserve the memory that the cases take.

        Raises:
            BusyError: Too much is in transit.
        """
        self._reservation.hold(self._size)

    async def answer(self) -> Response:
        """Judge all cases, and return the whole answer."""

        async def keep(found: CaseResult) -> None:
            try:
                with self._reservation.more(2 * self._size_of_content(found)):
                    piece = await joined(self._encoded(found))
                    self._reservation.hold(self._reservation.size + len(piece))
            except BusyError:
                piece = await joined(self._encoded(_without_content(found)))
            self._pieces[found.index] = piece

        judged = await self._judge(keep)
        return StreamingResponse(in_turn(_whole(judged, self._pieces)), media_type="application/json")

    async def stream(self, events: Events) -> None:
        """Judge all cases, and send an event for each as it ends."""
        await events.send("start", {"runtime": self._runtime.name, "count": len(self._cases)})

        async def send(found: CaseResult) -> None:
            try:
                with self._reservation.more(2 * self._size_of_content(found)):
                    await events.send("case", self._encoded(found))
            except BusyError:
                await events.send("case", self._encoded(_without_content(found)))

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

    def _encoded(self, found: CaseResult) -> Iterator[bytes]:
        name, with_content = self._body.cases[found.index].id, self._has_content(found)
        return eval_pieces(CaseOut.of(name, found, with_content=with_content))

    def _has_content(self, found: CaseResult) -> bool:
        """Return whether the answer has the output and the files of a case."""
        outputs = self._body.outputs
        return outputs == "all" or (outputs == "failed" and found.judgement.verdict is not Verdict.ACCEPTED)

    def _size_of_content(self, found: CaseResult) -> int:
        return found.result.size if found.result and self._has_content(found) else 0


def _without_content(found: CaseResult) -> CaseResult:
    return replace(found, result=found.result and found.result.without_content(TOO_MUCH))


def _size_of(cases: Sequence[Case], slots: int) -> int:
    """Return the bytes of all cases together; they share what the request has for all.

    Args:
        cases: The cases.
        slots: How many run at once; each has its own copy of its standard input.
    """
    parts: dict[int, int] = {}
    for case in cases:
        expected = case.expected
        for part in (
            *case.job.args,
            case.job.stdin,
            *expected.files.values(),
            *(file.content for file in case.job.files),
        ):
            parts[id(part)] = len(part)
        if expected.stdout:  # a character may take four bytes; the request still has the text in UTF-8
            parts[id(expected.stdout)] = sys.getsizeof(expected.stdout) + len(expected.stdout)
    copies = min(slots, len(cases)) * max(len(case.job.stdin) for case in cases)
    return sum(parts.values()) + copies + _CASE_SIZE * len(cases)


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
