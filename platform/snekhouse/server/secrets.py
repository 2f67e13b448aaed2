"""Secrets, from the environment or from files that it names, never from the registry."""

import os
from pathlib import Path

from snekhouse.errors import UsageError

ADMIN_TOKEN = "SNEKHOUSE_ADMIN_TOKEN"  # noqa: S105 - the name of a variable

_MIN_LENGTH = 16
"""Minimum length of a token, in characters."""


def take_admin_token() -> str | None:
    """Remove the admin token from the environment, so that no child process inherits it, and return it if there is one.

    Raises:
        UsageError: The token cannot be used.
    """
    file = os.environ.pop(f"{ADMIN_TOKEN}_FILE", None)
    token = os.environ.pop(ADMIN_TOKEN, None)
    if file and token is not None:
        raise UsageError(f"both {ADMIN_TOKEN} and {ADMIN_TOKEN}_FILE are set; unset one")
    name = ADMIN_TOKEN
    if file:
        name = f"the token in {file}"
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{ADMIN_TOKEN}_FILE: {file} cannot be read: {error}") from error
    if token is not None and (len(token) < _MIN_LENGTH or not token.isascii() or any(map(str.isspace, token))):
        remedy = "make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        raise UsageError(f"{name} must have at least {_MIN_LENGTH} ASCII characters and no spaces; {remedy}")
    return token
