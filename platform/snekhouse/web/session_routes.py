"""The routes of sessions."""

from dataclasses import replace
from functools import partial
from http import HTTPStatus

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from snekhouse.errors import BusyError, RequestError
from snekhouse.evaluation import Job
from snekhouse.jail.cell import CellResult
from snekhouse.jail.protocol import Refusal
from snekhouse.service import Service, Session
from snekhouse.web.answer import answer, eval_pieces, json_answer
from snekhouse.web.app_state import service_of, session_of, sessions_of
from snekhouse.web.body import read_request
from snekhouse.web.client_network import network_of
from snekhouse.web.connection import while_connected
from snekhouse.web.memory_budget import reservation_of
from snekhouse.web.output_events import OutputEvents, without_output
from snekhouse.web.session_request import CellRequest, SessionRequest
from snekhouse.web.session_schemas import CellResponse, SessionOut
from snekhouse.web.streaming import Events, StreamedAnswer, wanted_format


class SessionList(HTTPEndpoint):
    """``/sessions``."""

    async def post(self, request: Request) -> Response:
        """Make a session."""
        service = service_of(request)
        body = await read_request(request, int(service.registry.server.max_request), SessionRequest, empty=b"{}")
        runtime = service.registry.resolve(body.runtime or service.registry.default)
        job = body.to_job(runtime)
        reservation_of(request.scope).hold(job.size)
        made = await while_connected(
            request, lambda: sessions_of(request).create(runtime, job, network_of(request.scope))
        )
        if isinstance(made, Refusal):
            raise RequestError(made.explained(job.files[made.index].path)[1], title="Request file is invalid")
        return _session_answer(service, made, HTTPStatus.CREATED)


class OneSession(HTTPEndpoint):
    """``/sessions/{session}``."""

    async def get(self, request: Request) -> Response:
        """Show a session."""
        return _session_answer(service_of(request), session_of(request))

    async def delete(self, request: Request) -> Response:
        """End a session."""
        sessions_of(request).end(session_of(request))
        return Response(status_code=HTTPStatus.NO_CONTENT)


class Cell(HTTPEndpoint):
    """``/sessions/{session}/eval``."""

    async def post(self, request: Request) -> Response:
        """Run a cell."""
        service, session = service_of(request), session_of(request)
        body = await read_request(request, int(service.registry.server.max_request), CellRequest)
        job = body.to_job(session.limits)
        reservation_of(request.scope).hold(job.size)

        async def stream(events: Events) -> None:
            output = OutputEvents(events, job.encoding)
            found = await output.follow(job, partial(sessions_of(request).run, session), lambda cell: cell.result)
            rest = replace(found, result=without_output(found.result, job.encoding))
            await events.send("end", eval_pieces(_respond(request, session, job, rest)))

        if kind := wanted_format(request):
            return StreamedAnswer(request, kind, stream)
        found = await while_connected(request, lambda: sessions_of(request).run(session, job))
        return answer(_respond(request, session, job, found))


def _respond(request: Request, session: Session, job: Job, found: CellResult) -> CellResponse:
    """Convert the result of a cell; leave its output out if too much is in transit, because the cell has run."""
    try:
        reservation_of(request.scope).hold(2 * found.result.size)
    except BusyError:
        found = found.without_content("too much is in transit, so the output is left out; the cell has run")
    return CellResponse.of_cell(session, job.limits, service_of(request).enforcement, found)


class Branch(HTTPEndpoint):
    """``/sessions/{session}/branch``."""

    async def post(self, request: Request) -> Response:
        """Make another session with a copy of the state."""
        session = session_of(request)
        copy = await while_connected(request, lambda: sessions_of(request).branch(session))
        return _session_answer(service_of(request), copy, HTTPStatus.CREATED)


class Rollback(HTTPEndpoint):
    """``/sessions/{session}/rollback``."""

    async def post(self, request: Request) -> Response:
        """Go back to the latest checkpoint."""
        session = session_of(request)
        await while_connected(request, lambda: sessions_of(request).roll_back(session))
        return _session_answer(service_of(request), session)


class Interrupt(HTTPEndpoint):
    """``/sessions/{session}/interrupt``."""

    async def post(self, request: Request) -> Response:
        """Raise KeyboardInterrupt in the cell that runs."""
        sessions_of(request).interrupt(session_of(request))
        return Response(status_code=HTTPStatus.NO_CONTENT)


ROUTES = (
    Route("/sessions", SessionList),
    Route("/sessions/{session}", OneSession),
    Route("/sessions/{session}/eval", Cell),
    Route("/sessions/{session}/branch", Branch),
    Route("/sessions/{session}/rollback", Rollback),
    Route("/sessions/{session}/interrupt", Interrupt),
)


def _session_answer(service: Service, session: Session, status: HTTPStatus = HTTPStatus.OK) -> Response:
    response = json_answer(SessionOut.of(session, service.registry.server, service.enforcement))
    response.status_code = status
    return response
