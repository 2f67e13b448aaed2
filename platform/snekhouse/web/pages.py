"""The web pages of the server: the page at ``/`` and the operators' page at ``/admin/``.

`make page` builds their files from ``playground/`` into ``page/``. They load nothing from other servers, and no inline
script runs in them. HTML that programs return is shown in a frame without an origin.

Sources: https://www.w3.org/TR/CSP3/, https://html.spec.whatwg.org/multipage/iframe-embed-object.html#attr-iframe-sandbox
"""

import gzip
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from snekhouse.registry.server import Server
from snekhouse.web.answer import FixedAnswer

_WORKER = "worker.js"
"""The script that holds the connections of a page."""

_MEDIA_TYPES = {
    "app.js": "text/javascript",
    "app.css": "text/css",
    "admin.js": "text/javascript",
    "frame.js": "text/javascript",
    _WORKER: "text/javascript",
}
"""Media types of the files that the pages load."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob:; "
    "connect-src 'self'; frame-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the pages may load. The editor adds its rules to the page in an element with the nonce."""

_FRAME_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-scripts"
)
"""What the frame that shows HTML of programs may load: its own script, but no script in that HTML."""

_WORKER_POLICY = "default-src 'none'; connect-src 'self'"
"""What the worker may load: it obeys the policy that comes with its script, not that of the page."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_FRAME = "frame.html"
"""The document of the frame that shows HTML of programs."""

_NONCE = b"NONCE"
"""The placeholder of the nonce in the files of the pages."""


def wants_page(headers: Headers, settings: Server) -> bool:
    """Return whether a client gets the page at ``/``, and not JSON: the server has one, and only browsers name HTML.

    Args:
        headers: The headers of its request.
        settings: The settings of the server.
    """
    kinds = (part.partition(";")[0].strip().lower() for part in headers.get("accept", "").split(","))
    return settings.page and "text/html" in kinds


def page(name: str) -> Response:
    """Return a page.

    Args:
        name: File of the page.
    """
    return _with_nonce(name, _POLICY, {"X-Frame-Options": "DENY", "Vary": "Accept"})


def _with_nonce(name: str, policy: str, headers: Mapping[str, str]) -> Response:
    nonce = secrets.token_urlsafe(16)
    security = {"Content-Security-Policy": policy.format(nonce=nonce), "Cache-Control": "no-store"}
    return HTMLResponse(
        _file(name).content.replace(_NONCE, nonce.encode()), headers={**_HEADERS, **headers, **security}
    )


class PageFile(HTTPEndpoint):
    """``/page/{asset}``."""

    async def get(self, request: Request) -> Response:
        """Send a file of the pages."""
        _require_pages(request)
        name = request.path_params["asset"]
        if name == _FRAME:
            return _with_nonce(name, _FRAME_POLICY, {})
        if name not in _MEDIA_TYPES:
            raise HTTPException(404, "the page has no such file")
        if name not in _zipped:  # compressing takes tens of milliseconds, so not on the event loop
            _zipped[name] = await anyio.to_thread.run_sync(gzip.compress, _file(name).content)
        found = _file(name)
        headers = {**_HEADERS, "Cache-Control": "no-cache", "ETag": found.tag, "Vary": "Accept-Encoding"}
        if name == _WORKER:
            headers["Content-Security-Policy"] = _WORKER_POLICY
        if found.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if not _accepts_gzip(request.headers):
            return FixedAnswer(found.content, headers=headers, media_type=_MEDIA_TYPES[name])
        return FixedAnswer(_zipped[name], headers=headers | {"Content-Encoding": "gzip"}, media_type=_MEDIA_TYPES[name])


class OperatorsPage(HTTPEndpoint):
    """``/admin/``."""

    async def get(self, request: Request) -> Response:
        """Show the page for operators, which asks for the admin token."""
        _require_pages(request)
        return page("admin.html")


ROUTES = (Route("/page/{asset}", PageFile), Route("/admin/", OperatorsPage))


def _require_pages(request: Request) -> None:
    if not request.app.state.service.registry.server.page:
        raise HTTPException(404, "this server has no pages: [server] page is false")


def _accepts_gzip(headers: Mapping[str, str]) -> bool:
    codings = (part.replace(" ", "").lower() for part in headers.get("accept-encoding", "").split(","))
    return not {"gzip", "gzip;q=1", "gzip;q=1.0"}.isdisjoint(codings)


_zipped: dict[str, bytes] = {}
"""Files of the pages, compressed with gzip."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the pages.

    Attributes:
        content: Its bytes.
        tag: Its ETag.
    """

    content: bytes
    tag: str


@cache
def _file(name: str) -> _File:
    content = (files("snekhouse.web") / "page" / name).read_bytes()
    return _File(content, f'"{sha256(content).hexdigest()[:32]}"')
