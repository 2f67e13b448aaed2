"""The target of a request, in the one form that the routes know."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_PREFIX = re.compile(r"(?:https?://[^/]*)?/*", re.IGNORECASE)


class PlainTarget:
    """Middleware for targets that name the host too (RFC 9112, 3.2.2), or have a slash too many.

    The first are what clients send to a proxy; a second slash at the beginning is what joining a base URL and ``/eval``
    makes, and one at the end of ``/eval/`` is a common slip.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            path = _PREFIX.sub("/", scope["path"], count=1)
            scope = {**scope, "path": path.rstrip("/") if path.startswith("/eval/") else path}
        await self._app(scope, receive, send)
