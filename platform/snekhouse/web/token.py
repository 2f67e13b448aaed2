"""The token that opens the admin API, and who may try it how often."""

import hashlib
import hmac
import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

_FAILURES = RateLimitItemPerMinute(20)
"""Wrong tokens that one client may send; more are not even looked at."""

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="snekhouse"'}


class Guarded:
    """Middleware that lets only who has the token pass; without a token there is nothing behind it."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._digest = _digest(token) if token else None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            HTTPException: 404 without a token, 401 with a wrong one, 429 after too many wrong ones.
        """
        if self._digest is None:
            raise HTTPException(404, "the admin API is off; set SNEKHOUSE_ADMIN_TOKEN to have it")
        client = scope["client"][0] if scope.get("client") else ""
        if not self._limiter.test(_FAILURES, client):
            again = max(1, math.ceil(self._limiter.get_window_stats(_FAILURES, client).reset_time - time.time()))
            raise HTTPException(429, "too many wrong tokens", {"Retry-After": str(again)})
        if not hmac.compare_digest(_digest(_sent(Headers(scope=scope))), self._digest):
            self._limiter.hit(_FAILURES, client)
            raise HTTPException(401, "send the admin token: Authorization: Bearer TOKEN", _CHALLENGE)
        await self._app(scope, receive, send)


def _sent(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _digest(token: str) -> bytes:
    """Hash a token: comparing hashes takes the same time for each, however long it is."""
    return hashlib.sha256(token.encode()).digest()
