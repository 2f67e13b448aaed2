"""The routes that judge a program, compare runtimes, or take many evaluations at once."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus

import anyio
import anyio.to_thread
from pydantic_core import from_json
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from snekhouse.errors import BusyError, RequestError, RuntimeUnknownError
from snekhouse.evaluation import Job, Result
from snekhouse.judging.grouping import grouped
from snekhouse.judging.verdicts import Verdict
from snekhouse.registry.models import Runtime
from snekhouse.service import Service
from snekhouse.service.bulk import Task, evaluate_all
from snekhouse.service.cases import CaseResult, Clock, judge_cases
from snekhouse.web.answer import eval_pieces, in_turn
from snekhouse.web.app_state import service_of
from snekhouse.web.body import read_lines, read_request, validated
from snekhouse.web.connection import while_connected
from snekhouse.web.judge_request import BatchLine, CompareRequest, JudgeRequest
from snekhouse.web.judge_schemas import BatchEnd, BatchHead, CaseOut, Compared, GroupOut, Judged, JudgeUsage
from snekhouse.web.memory_budget import Reservation, reservation_of
from snekhouse.web.routes import chosen_runtime
from snekhouse.web.schemas import ErrorOut, EvalResponse
from snekhouse.web.streaming import Events, StreamedAnswer, StreamFormat, wanted_format


def time_limit_of(request: Request, own: float | None) -> float | None:
    """Return how many seconds a request may take: the lower of its field `timeout` and its header X-Request-Timeout.

    Raises:
        RequestError: The header is not a number of seconds.
    """
    sent = request.headers.get("x-request-timeout")
    if sent is None:
        return own
    try:
        seconds = float(sent)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise RequestError(f"X-Request-Timeout: {sent[:100]!r} is not a number of seconds above 0")
    return seconds if own is None else min(own, seconds)


_TOO_MUCH = "too much is in transit, so output and files are left out"


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
        judging = _Judging(service, body, runtime, reservation_of(request.scope), time_limit_of(request, body.timeout))
        if kind := wanted_format(request):
            return StreamedAnswer(request, kind, judging.stream)
        return await while_connected(request, judging.answer)


class _Judging:
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
        self._cases, self._setup = body.to_cases(service.registry, runtime), body.to_setup(runtime)
        self._size = sum({id(case.job.files): case.job.size for case in self._cases}.values())
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
                result = found.result and found.result.without_content(_TOO_MUCH)
                piece = self._encoded(replace(found, result=result))
            self._pieces[found.index] = piece

        judged = await self._judge(keep)
        return StreamingResponse(in_turn(_whole(judged, self._pieces)), media_type="application/json")

    async def stream(self, events: Events) -> None:
        """Judge all cases, and send an event for each as it ends."""
        await events.send("start", {"runtime": self._runtime.name, "count": len(self._cases)})

        async def send(found: CaseResult) -> None:
            await events.send("case", self._encoded(found))

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


def _whole(judged: Judged, cases: Sequence[bytes]) -> Iterator[bytes]:
    yield judged.model_dump_json().encode()[:-1] + b',"cases":['
    for index, case in enumerate(cases):
        yield (b"," if index else b"") + case
    yield b"]}"


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
        self._size = max(job.size for _, job in self._jobs.values())
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
            self._size += result.size
            self._reservation.hold(self._size)
            self._results[task.name] = result
            if events:
                await events.send("result", b"".join(eval_pieces(self._response(task.name, result))))

        with anyio.move_on_after(self._time_limit):
            await evaluate_all(self._service, tasks(), done)

    async def _compared(self) -> Compared:
        found = {name: self._results[name] for name in self._jobs if name in self._results}
        default = self._service.registry.default
        default = default if default in found else next(iter(found), "")
        normalization = self._body.normalize.to_normalization()
        groups = await anyio.to_thread.run_sync(grouped, found, default, normalization) if found else ()
        skipped = tuple(name for name in self._jobs if name not in found)
        return Compared(default=default, groups=GroupOut.all_of(groups), skipped=skipped)

    def _whole(self, compared: Compared) -> Iterator[bytes]:
        yield compared.model_dump_json().encode()[:-1] + b',"results":{'
        for index, name in enumerate(name for name in self._jobs if name in self._results):
            yield (b"," if index else b"") + b'"' + name.encode() + b'":'
            yield from eval_pieces(self._response(name, self._results[name]))
        yield b"}}"

    def _response(self, name: str, result: Result) -> EvalResponse:
        _, job = self._jobs[name]
        return EvalResponse.of(name, job.limits, self._service.enforcement, result, with_value=job.wants_value)


class Batch(HTTPEndpoint):
    """``/batch``."""

    async def post(self, request: Request) -> Response:
        """Evaluate each line of the body, and answer with a line as each ends."""
        service = service_of(request)
        lines = await read_lines(request, int(service.registry.server.max_request))
        kind = wanted_format(request) or StreamFormat.NDJSON
        return StreamedAnswer(request, kind, _Batch(service, lines, time_limit_of(request, None)).stream)


class _Batch:
    def __init__(self, service: Service, lines: Sequence[bytes], time_limit: float | None) -> None:
        self._service, self._lines, self._time_limit = service, lines, time_limit
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
            response = EvalResponse.of(
                task.runtime.name, task.job.limits, self._service.enforcement, result, with_value=task.job.wants_value
            )
            head = BatchHead(index=task.name, id=self._ids[task.name]).model_dump_json().encode()[:-1]
            await events.send("result", head + b"," + b"".join(eval_pieces(response))[1:])
            self._answered.add(task.name)

        with anyio.move_on_after(self._time_limit):
            await evaluate_all(self._service, tasks(), done)
        for index in sorted(set(range(len(self._lines))) - self._answered):
            await events.send("skipped", {"index": index, "id": self._ids[index] or _id_of(self._lines[index])})
        await events.send("end", BatchEnd(count=len(self._lines)))

    def _error(self, index: int, error: Exception) -> dict[str, object]:
        told = ErrorOut.of(_STATUSES[type(error)], str(error), getattr(error, "title", "")).model_dump()
        return {"index": index, "id": self._ids[index], "error": told}

    async def _body(self, index: int, line: bytes) -> BatchLine:
        try:
            body = await validated(BatchLine, line)
        except RequestError:
            self._ids[index] = _id_of(line)
            raise
        self._ids[index] = body.id
        return body


_STATUSES: Mapping[type[Exception], HTTPStatus] = {
    RequestError: HTTPStatus.BAD_REQUEST,
    RuntimeUnknownError: HTTPStatus.NOT_FOUND,
    BusyError: HTTPStatus.SERVICE_UNAVAILABLE,
}


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
    if service.runtimes[runtime.name].probe is None:
        raise BusyError(f"the runtime {runtime.name} is unavailable: {service.runtimes[runtime.name].reason}")
    return runtime, body.to_job(runtime)


ROUTES = (
    Route("/judge", Judge),
    Route("/judge/{runtime}", Judge),
    Route("/compare", Compare),
    Route("/batch", Batch),
)
