"""What clients are told of an error: the code and the title of each kind, in an answer or in an event."""

from collections.abc import Mapping
from http import HTTPStatus

from snekhouse.errors import (
    BusyError,
    JailError,
    RequestError,
    RuntimeUnknownError,
    SessionGoneError,
    SessionUnknownError,
    SnekhouseError,
)
from snekhouse.jail.session_files import FileUnknownError
from snekhouse.web.schemas import ErrorOut

STATUSES: Mapping[type[SnekhouseError], HTTPStatus] = {
    RequestError: HTTPStatus.BAD_REQUEST,
    RuntimeUnknownError: HTTPStatus.NOT_FOUND,
    SessionUnknownError: HTTPStatus.NOT_FOUND,
    FileUnknownError: HTTPStatus.NOT_FOUND,
    SessionGoneError: HTTPStatus.GONE,
    BusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    JailError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The code of each kind of error that a request may cause, its subclasses included."""


def status_of(error: SnekhouseError) -> HTTPStatus:
    """Return the code for an error; 500 if no request should cause it."""
    found = (status for kind, status in STATUSES.items() if isinstance(error, kind))
    return next(found, HTTPStatus.INTERNAL_SERVER_ERROR)


def error_told(error: SnekhouseError) -> ErrorOut:
    """Return what a client is told of an error."""
    text = f"the session did not start: {error}" if isinstance(error, JailError) else str(error)
    return ErrorOut.of(status_of(error), text, getattr(error, "title", ""))
