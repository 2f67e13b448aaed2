"""Check that a request comes from a program, or from a web page that may use the server.

A browser sends requests for any page that its user opens, even to servers that only the user can reach. Pages cannot
forge the headers that the check reads. `Host` has the name of the server in the URL, which reveals DNS rebinding (an
attacker's name that resolves to this server). `Origin` and `Sec-Fetch-Site` have the origin of the page.

Sources: RFC 9110, 7.2; RFC 6454; https://www.w3.org/TR/fetch-metadata/
"""

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from snekhouse.registry.server import Server
from snekhouse.web.answer import error_answer

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
"""Methods that change nothing; the browser hides their answers from pages of other origins."""

_PORTS = {"http": 80, "https": 443}
_MAX_QUOTED = 200
"""Characters of a header that a message repeats."""


class OriginCheck:
    """Middleware that refuses requests of web pages that are not allowed to use the server."""

    def __init__(self, app: ASGIApp, settings: Callable[[], Server], *, on_loopback: bool) -> None:
        """Wrap an application.

        Args:
            app: The application.
            settings: Returns the current settings of the server.
            on_loopback: Whether the server listens on a loopback address.
        """
        self._app = app
        self._settings = settings
        self._on_loopback = on_loopback
        self._shared_with = lru_cache(maxsize=1)(self._share)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        settings = self._settings()
        refusal = self._refuse_host(headers, settings) or _refuse_page(scope, headers, settings)
        if refusal is None:
            await self._shared_with(settings.origins)(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await refusal(scope, receive, send)

    def _share(self, origins: tuple[str, ...]) -> ASGIApp:
        """Wrap the application so that pages of these origins may read the answers (CORS)."""
        if not origins:
            return self._app
        return CORSMiddleware(
            self._app,
            origins,
            allow_methods=("GET", "POST", "PUT", "DELETE"),
            allow_headers=("Authorization", "Content-Type"),
        )

    def _refuse_host(self, headers: Headers, settings: Server) -> Response | None:
        sent = headers.get("host", "")
        if not sent or not (self._on_loopback or settings.hosts):
            return None  # nothing to check, or not a browser: browsers always send Host
        host = _name_of(sent)
        if _is_loopback(host) or any(_matches(host, pattern) for pattern in settings.hosts):
            return None
        if not self._on_loopback and _is_address(host):
            return None  # DNS rebinding needs a name
        return error_answer(
            HTTPStatus.MISDIRECTED_REQUEST,
            f"this server does not serve the host {sent[:_MAX_QUOTED]!r}; add it to [server] hosts in the registry",
        )


def _refuse_page(scope: Scope, headers: Headers, settings: Server) -> Response | None:
    if scope["type"] == "http" and scope["method"] in _SAFE_METHODS:
        return None
    origin = headers.get("origin")
    if origin is None:
        is_allowed = headers.get("sec-fetch-site") != "cross-site"
    else:
        is_allowed = origin in settings.origins or _is_same(origin, headers.get("host", ""))
    if is_allowed:
        return None
    page = f"the web page {origin[:_MAX_QUOTED]!r}" if origin else "a web page of another site"
    return error_answer(
        HTTPStatus.FORBIDDEN, f"{page} may not use this server; add its origin to [server] origins in the registry"
    )


def _name_of(host: str) -> str:
    """Return the host of a header without port, brackets and trailing dot, in lower case."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    return name.strip("[]").rstrip(".").lower()


def _is_loopback(host: str) -> bool:
    is_name = host == "localhost" or host.endswith(".localhost")  # RFC 6761, 6.3
    return is_name or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _matches(host: str, pattern: str) -> bool:
    """Return whether a name matches an entry of `hosts`: a name, ``*.NAME`` for all names below it, or ``*``."""
    pattern = pattern.lower()
    return pattern in {host, "*"} or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _is_same(origin: str, host: str) -> bool:
    """Return whether a page is from this host; a proxy with TLS may have changed the scheme."""
    try:
        page = urlsplit(origin)
        here = urlsplit(f"{page.scheme}://{host}")
        port = _PORTS.get(page.scheme)
        return bool(page.hostname) and (page.hostname, page.port or port) == (here.hostname, here.port or port)
    except ValueError:
        return False
