"""The target of a request, rewritten to the form that the routes match."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_PREFIX = re.compile(r"(?:https?://[^/]*)?/*", re.IGNORECASE)


class TargetNormalization:
    """Middleware that removes the host and extra slashes from targets.

    Clients send the host in the target to a proxy (RFC 9112, 3.2.2). Joining a base URL and ``/eval`` may double the
    first slash, and a slash at the end of ``/eval/`` is a common mistake.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            path = _PREFIX.sub("/", scope["path"], count=1)
            scope = {**scope, "path": path.rstrip("/") if path.startswith("/eval/") else path}
        await self._app(scope, receive, send)
