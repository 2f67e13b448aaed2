"""The description of the API as JSON and as a page, which loads nothing from other servers."""

import json
from functools import cache
from importlib.resources import files

from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from snekhouse.web.answer import FixedAnswer
from snekhouse.web.openapi import describe

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>snekhouse: HTTP API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<noscript><p>This page needs JavaScript; <a href="openapi.json">the description itself</a> does not.</p></noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

_START = """\
SwaggerUIBundle({url: "openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null, tryItOutEnabled: true});
"""

_POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; connect-src 'self'"

_ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
"""Files of Swagger UI, from the package swagger-ui-py, and their media types."""

_DAY = {"Cache-Control": "public, max-age=86400"}


class Description(HTTPEndpoint):
    """``/openapi.json``."""

    async def get(self, _request: Request) -> Response:
        """Describe the API."""
        return FixedAnswer(_description(), media_type="application/json")


class Page(HTTPEndpoint):
    """``/docs``."""

    async def get(self, _request: Request) -> Response:
        """Show the description."""
        return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"})


class Asset(HTTPEndpoint):
    """``/docs/{asset}``."""

    async def get(self, request: Request) -> Response:
        """Send a file of the page."""
        name = request.path_params["asset"]
        if name == "start.js":
            return Response(_START, media_type="text/javascript", headers=_DAY)
        if name not in _ASSETS:
            raise HTTPException(404, "the page has no such file")
        return FixedAnswer(_asset(name), media_type=_ASSETS[name], headers=_DAY)


@cache
def _description() -> bytes:
    return json.dumps(describe(), ensure_ascii=False).encode()


@cache
def _asset(name: str) -> bytes:
    return (files("swagger_ui") / "static" / name).read_bytes()
