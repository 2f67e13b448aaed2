"""Limits of requests that consist of many evaluations."""

import math

from starlette.requests import Request

from snekhouse.errors import RequestError

TOO_MUCH = "too much is in transit, so output and files are left out"


def time_limit_of(request: Request, own: float | None) -> float | None:
    """Return how many seconds a request may take: the lower of its field `timeout` and its header X-Request-Timeout.

    Raises:
        RequestError: The header is not a number of seconds.
    """
    sent = request.headers.get("x-request-timeout")
    if sent is None:
        return own
    try:
        seconds = float(sent)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise RequestError(f"X-Request-Timeout: {sent[:100]!r} is not a number of seconds above 0")
    return seconds if own is None else min(own, seconds)
