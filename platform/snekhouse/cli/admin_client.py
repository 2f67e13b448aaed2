"""What commands ask a running server by its admin API."""

import json
import urllib.error
import urllib.request
from typing import Any

from snekhouse.errors import RemoteError, UsageError
from snekhouse.server.secrets import ADMIN_TOKEN, take_admin_token

_TIMEOUT = 30.0
"""Seconds that a server may take to answer."""


def ask_server(url: str, path: str) -> Any:
    """Ask a server something.

    Args:
        url: Where it is, e.g. ``http://127.0.0.1:8060``.
        path: What to ask for, below ``/admin/``.

    Returns:
        Its answer, which is JSON.

    Raises:
        UsageError: The token or the URL cannot be used.
        RemoteError: It does not answer, or refuses to.
    """
    token = take_admin_token()
    if token is None:
        raise UsageError(f"set {ADMIN_TOKEN}, or {ADMIN_TOKEN}_FILE, to the server's token")
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is not the URL of a server; write http://HOST:PORT")
    request = urllib.request.Request(f"{url.rstrip('/')}/admin/{path}", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310 - looked at above
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise RemoteError(f"{url} refused the request: {error.code} {_description(error)}") from error
    except (OSError, ValueError) as error:
        raise RemoteError(f"{url} does not answer as snekhouse does: {error}; name another with --url") from error


def _description(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["description"])
    except (ValueError, KeyError, TypeError):
        return error.reason
