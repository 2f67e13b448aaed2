"""The ASGI application, and how errors become answers."""

import logging
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler, Receive, Scope, Send

from snekhouse.errors import BusyError, SnekhouseError
from snekhouse.service import Reloader, Service, Sessions
from snekhouse.web import (
    admin,
    batch_routes,
    compare_routes,
    interactive,
    judge_routes,
    pages,
    session_files,
    session_routes,
)
from snekhouse.web.answer import error_answer
from snekhouse.web.memory_budget import MemoryBudget, TransitLimit
from snekhouse.web.origins import OriginCheck
from snekhouse.web.refusals import STATUSES, error_told, status_of
from snekhouse.web.routes import ROUTES
from snekhouse.web.target import TargetNormalization
from snekhouse.web.unread_bodies import BodyDiscard

_log = logging.getLogger(__name__)


def create_app(
    service: Service,
    reloader: Reloader,
    sessions: Sessions,
    admin_token: str | None = None,
    *,
    on_loopback: bool = False,
) -> Starlette:
    """Make the ASGI application of a server.

    Args:
        service: Evaluates the requests.
        reloader: Reloads the registry.
        sessions: Its sessions.
        admin_token: The token of the admin API; None to switch the API off.
        on_loopback: Whether the server listens on a loopback address.
    """
    budget = MemoryBudget(lambda: int(service.registry.server.max_in_transit or 0))
    middleware = [
        Middleware(TargetNormalization),
        Middleware(TransitLimit, budget=budget),
        Middleware(BodyDiscard),
        Middleware(OriginCheck, settings=lambda: service.registry.server, on_loopback=on_loopback),
    ]
    bulk = [*judge_routes.ROUTES, *compare_routes.ROUTES, *batch_routes.ROUTES, *interactive.ROUTES]
    of_sessions = [*session_routes.ROUTES, *session_files.ROUTES]
    routes = [*ROUTES, *bulk, *of_sessions, *pages.ROUTES, admin.mounted(admin_token)]
    app = Starlette(routes=routes, exception_handlers=_HANDLERS, middleware=middleware)
    app.router.redirect_slashes = False
    app.router.default = _no_route
    app.state.service = service
    app.state.reloader = reloader
    app.state.sessions = sessions
    return app


async def _no_route(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Answer 404; the default of Starlette answers 403 to a WebSocket."""
    raise HTTPException(HTTPStatus.NOT_FOUND)


# Coroutines, because Starlette runs plain functions in threads: a flood of errors would occupy all 40 threads.
async def _on_error(_request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return error_answer(error.status_code, _explain(error), error.headers)
    assert isinstance(error, SnekhouseError)  # noqa: S101 - `_HANDLERS` says so
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, BusyError) else None
    told = error_told(error)
    return error_answer(status_of(error), told.description, headers, title=told.title)


def _explain(error: HTTPException) -> str:
    """Return a remedy for errors of Starlette that have only the phrase of the status."""
    if error.detail == HTTPStatus.NOT_FOUND.phrase:
        return "there is no such route; GET / lists the main routes"
    if error.detail == HTTPStatus.METHOD_NOT_ALLOWED.phrase:
        return f"send one of the methods {(error.headers or {}).get('Allow')}"
    return error.detail


async def _on_bug(request: Request, error: Exception) -> Response:
    route = request.scope.get("route")
    _log.error("%s %s failed", request.method, getattr(route, "path", request.url.path), exc_info=error)
    return error_answer(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; the server's log has the details")


_HANDLERS: dict[type[Exception] | int, ExceptionHandler] = {
    **dict.fromkeys((HTTPException, *STATUSES), _on_error),
    Exception: _on_bug,
}
