"""A client of a running server's admin API, for commands."""

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from snekhouse.errors import RemoteError, UsageError
from snekhouse.server.secrets import ADMIN_TOKEN, take_admin_token

_ANSWER_TIMEOUT_S = 30.0
"""Seconds for a server to answer."""


def ask_server(url: str, path: str) -> Any:
    """Send a GET request to the admin API of a server.

    Args:
        url: URL of the server, e.g. ``http://127.0.0.1:8060``.
        path: Path below ``/admin/``.

    Returns:
        The JSON answer.

    Raises:
        UsageError: The token or the URL cannot be used.
        RemoteError: The server does not answer, or refuses the request.
    """
    token = take_admin_token()
    if token is None:
        raise UsageError(f"set {ADMIN_TOKEN}, or {ADMIN_TOKEN}_FILE, to the server's token")
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is not the URL of a server; write http://HOST:PORT")
    request = urllib.request.Request(f"{url.rstrip('/')}/admin/{path}", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_TIMEOUT_S) as answer:  # noqa: S310 - checked above
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise RemoteError(f"{url} refused the request: {error.code} {_description(error)}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise RemoteError(f"no valid answer from {url}: {error}; start the server, or name one with --url") from error


def _description(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["description"])
    except (ValueError, KeyError, TypeError):
        return error.reason
