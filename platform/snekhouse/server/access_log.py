"""The access log: one event for each request, in the same log as all other events."""

import re
from urllib.parse import unquote

from hypercorn.logging import Logger
from hypercorn.typing import ResponseSummary, WWWScope

_DEBUG_PATHS = {"/healthz", "/readyz", "/metrics"}
"""Paths that monitoring requests often: logged only with debugging on."""


_SESSION = re.compile(r"(/sessions/+)[^/]+")


def without_session(path: str) -> str:
    """Return a path with `...` instead of the id of a session: everybody who knows the id can use the session."""
    decoded = unquote(path)  # as the routes see it
    return _SESSION.sub(r"\1...", decoded) if _SESSION.search(decoded) else path


class AccessLog(Logger):
    """Hypercorn's logger, which logs requests as events with fields.

    It omits what may be secret: query, headers, and the ids of sessions.
    """

    async def access(self, request: WWWScope, response: ResponseSummary | None, request_time: float) -> None:
        """Log a request.

        Args:
            request: The ASGI scope.
            response: The answer; None if the client had disconnected.
            request_time: Seconds from the first byte of the request to the last of the answer.
        """
        if self.access_logger is None or request["type"] != "http":
            return
        log = self.access_logger.debug if request["path"] in _DEBUG_PATHS else self.access_logger.info
        client = request.get("client")
        fields = {
            "client": client[0] if client else None,
            "method": request["method"],
            "path": without_session(request["raw_path"].partition(b"?")[0].decode("ascii", "backslashreplace")),
            "http_status": int(response["status"]) if response else None,
            "seconds": round(request_time, 6),
        }
        log("request", extra=fields)
