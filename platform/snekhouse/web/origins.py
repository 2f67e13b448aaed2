"""Who may ask: programs, and web pages that the registry names.

A browser sends requests on behalf of any page that its user opens, also to servers that only the user can reach. Two
headers that pages cannot forge tell them: `Host` has the name by which the server was found, which shows DNS rebinding
(a name of the attacker's that resolves to this server); `Origin` and `Sec-Fetch-Site` have where the page is from.

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

from snekhouse.registry.models import Server
from snekhouse.web.schemas import ErrorOut

_READING = {"GET", "HEAD", "OPTIONS"}
"""Methods that change nothing; what they answer is kept from pages of other origins by the browser."""

_PORTS = {"http": 80, "https": 443}
_SHOWN = 200
"""Characters of a header that a message repeats."""


class OriginCheck:
    """Middleware that refuses requests which a web page sends without leave."""

    def __init__(self, app: ASGIApp, settings: Callable[[], Server], *, on_loopback: bool) -> None:
        """Wrap an application.

        Args:
            app: What answers.
            settings: Tells what `[server]` of the registry says now.
            on_loopback: Whether the server listens on a loopback address.
        """
        self._app = app
        self._settings = settings
        self._on_loopback = on_loopback
        self._shared_with = lru_cache(maxsize=1)(self._share)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
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
        """Let pages of these origins see the answers (CORS)."""
        if not origins:
            return self._app
        return CORSMiddleware(
            self._app, origins, allow_methods=("GET", "POST"), allow_headers=("Authorization", "Content-Type")
        )

    def _refuse_host(self, headers: Headers, settings: Server) -> Response | None:
        sent = headers.get("host", "")
        if not sent or not (self._on_loopback or settings.hosts):
            return None  # a browser always sends one
        host = _name_of(sent)
        if _is_loopback(host) or any(_matches(host, pattern) for pattern in settings.hosts):
            return None
        if not self._on_loopback and _is_address(host):
            return None  # no name that could resolve to another address
        return _refusal(
            HTTPStatus.MISDIRECTED_REQUEST,
            f"this server does not answer for the host {sent[:_SHOWN]!r}; add it to [server] hosts in the registry",
        )


def _refuse_page(scope: Scope, headers: Headers, settings: Server) -> Response | None:
    if scope["type"] == "http" and scope["method"] in _READING:
        return None
    origin = headers.get("origin")
    if origin is None:
        is_allowed = headers.get("sec-fetch-site") != "cross-site"
    else:
        is_allowed = origin in settings.origins or _is_same(origin, headers.get("host", ""))
    if is_allowed:
        return None
    page = f"the web page {origin[:_SHOWN]!r}" if origin else "a web page of another site"
    return _refusal(
        HTTPStatus.FORBIDDEN, f"{page} may not use this server; add its origin to [server] origins in the registry"
    )


def _refusal(status: HTTPStatus, description: str) -> Response:
    body = ErrorOut.of(status, description)
    return Response(body.model_dump_json(), status, media_type="application/json")


def _name_of(host: str) -> str:
    """Take the port off, and what else a name may be written with."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    return name.strip("[]").rstrip(".").lower()


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _matches(host: str, pattern: str) -> bool:
    """Match a name with one of `hosts`: a name, ``*.`` and a name for all below it, or ``*``."""
    pattern = pattern.lower()
    return pattern in {host, "*"} or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _is_same(origin: str, host: str) -> bool:
    """Whether a page is from the very host that it asks; the scheme may be another behind a proxy with TLS."""
    try:
        page = urlsplit(origin)
        here = urlsplit(f"{page.scheme}://{host}")
        port = _PORTS.get(page.scheme)
        return bool(page.hostname) and (page.hostname, page.port or port) == (here.hostname, here.port or port)
    except ValueError:
        return False
