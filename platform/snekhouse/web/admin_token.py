"""The check of the admin API's token, with a limit on wrong attempts."""

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

from snekhouse.web.client_network import network_of

_FAILURES = RateLimitItemPerMinute(20)
"""Wrong tokens that one client may send; after that it gets 429."""

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="snekhouse"'}


class AdminTokenCheck:
    """Middleware that refuses requests without the token, and every request if the server has no token."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._digest = _digest(token) if token else None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            HTTPException: 404 if the server has no token, 401 for a wrong token, 429 after too many wrong ones.
        """
        if self._digest is None:
            raise HTTPException(404, "the admin API is off; start the server with SNEKHOUSE_ADMIN_TOKEN to enable it")
        sent = _sent(Headers(scope=scope))
        if not hmac.compare_digest(_digest(sent), self._digest):
            raise self._refusal(network_of(scope), sent)
        await self._app(scope, receive, send)

    def _refusal(self, network: str, sent: str) -> HTTPException:
        """Count a wrong token; the right token passes even if others from the same address send wrong ones."""
        if self._limiter.hit(_FAILURES, network):
            reason = "the admin token is wrong" if sent else "send the admin token: Authorization: Bearer TOKEN"
            return HTTPException(401, reason, _CHALLENGE)
        retry_after = max(1, math.ceil(self._limiter.get_window_stats(_FAILURES, network).reset_time - time.time()))
        return HTTPException(429, "too many wrong tokens", {"Retry-After": str(retry_after)})


def _sent(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _digest(token: str) -> bytes:
    """Hash a token, so that the comparison takes the same time for each length."""
    return hashlib.sha256(token.encode()).digest()
