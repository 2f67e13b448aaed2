"""What the routes use: the service, the sessions, and the session that a request names."""

from starlette.requests import Request

from snekhouse.service import Service, Session, Sessions


def service_of(request: Request) -> Service:
    """Return the service of the server."""
    service: Service = request.app.state.service
    return service


def sessions_of(request: Request) -> Sessions:
    """Return the sessions of the server."""
    sessions: Sessions = request.app.state.sessions
    return sessions


def session_of(request: Request) -> Session:
    """Return the session that the path of a request names.

    Raises:
        SessionGoneError: It has ended.
        SessionUnknownError: There is none.
    """
    return sessions_of(request).find(request.path_params["session"])
