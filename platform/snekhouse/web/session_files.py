"""The routes of a session's files."""

import os
import posixpath
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from operator import attrgetter
from typing import TypeVar

import anyio.lowlevel
import anyio.to_thread
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from snekhouse.errors import RequestError
from snekhouse.evaluation import File
from snekhouse.jail.home_walk import FilesError
from snekhouse.jail.session_files import OpenFile, list_files, opened_file, remove_file
from snekhouse.service import Session
from snekhouse.web.answer import json_answer
from snekhouse.web.app_state import service_of, session_of, sessions_of
from snekhouse.web.body import read_bytes
from snekhouse.web.connection import while_connected
from snekhouse.web.fields import below_home
from snekhouse.web.memory_budget import reservation_of
from snekhouse.web.session_schemas import FilesOut

_PIECE = 1 << 18
"""Bytes that are read and sent at once."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
"""One range of bytes. A server may ignore other ranges (RFC 9110, 14.2)."""


class FileList(HTTPEndpoint):
    """``/sessions/{session}/files``."""

    async def get(self, request: Request) -> Response:
        """List the files."""
        session = session_of(request)
        timeout = session.runtime.files.timeout
        try:
            with _home(session) as home:
                found, is_cut = await _in_turn(request, lambda: list_files(home, timeout))
        except FilesError as error:
            raise RequestError(f"the files cannot be listed: {error}; remove files, or shorten their paths") from error
        reservation_of(request.scope).hold(2 * sum(map(attrgetter("cost"), found)))
        return json_answer(FilesOut.of(found, truncated=is_cut))


class OneFile(HTTPEndpoint):
    """``/sessions/{session}/files/{path}``."""

    async def get(self, request: Request) -> Response:
        """Send a file, or one range of it."""
        path = _path(request)
        with ExitStack() as held:
            with _home(session_of(request)) as home:
                file = await _in_turn(request, lambda: held.enter_context(opened_file(home, path)))
            start, stop = _asked(request, file)
            return FileResponse(file, start, stop, held.pop_all(), with_body=request.method != "HEAD")

    async def put(self, request: Request) -> Response:
        """Write a file."""
        session, path = session_of(request), _path(request)
        content = await read_bytes(request, int(service_of(request).registry.server.max_request))
        reservation_of(request.scope).hold(len(content))
        await while_connected(request, lambda: sessions_of(request).write_file(session, File(path, content)))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def delete(self, request: Request) -> Response:
        """Remove a file or an empty folder."""
        path = _path(request)
        with _home(session_of(request)) as home:
            await _in_turn(request, lambda: remove_file(home, path))
        return Response(status_code=HTTPStatus.NO_CONTENT)


ROUTES = (
    Route("/sessions/{session}/files", FileList),
    Route("/sessions/{session}/files/{path:path}", OneFile),
)


_T = TypeVar("_T")


async def _in_turn(request: Request, work: Callable[[], _T]) -> _T:
    """Work on the home of a session in a thread: one request at a time for each home, and few for all.

    Raises:
        ClientDisconnect: The client disconnected.
    """
    sessions, home = sessions_of(request), session_of(request).shared

    async def wait_and_work() -> _T:
        async with home.files:
            return await anyio.to_thread.run_sync(work, limiter=sessions.file_threads)

    return await while_connected(request, wait_and_work)


@contextmanager
def _home(session: Session) -> Iterator[int]:
    """Yield a descriptor of the home that stays open if the session ends meanwhile."""
    home = os.dup(session.shared.jail.home)
    try:
        yield home
    finally:
        os.close(home)


def _path(request: Request) -> str:
    try:
        return posixpath.normpath(below_home(request.path_params["path"]))
    except ValueError as error:
        raise RequestError(f"path: {error}", title="Request file is invalid") from error


class FileResponse(Response):
    """A file of a session, or a range of it, sent in pieces while it is read."""

    media_type = "application/octet-stream"

    def __init__(self, file: OpenFile, start: int, stop: int, held: ExitStack, *, with_body: bool) -> None:
        """Prepare the response.

        Args:
            file: The file.
            start: The first byte to send.
            stop: The byte after the last one to send.
            held: Closes the file, once the response has been sent.
            with_body: Whether to send the bytes, and not only the headers.
        """
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Disposition": "attachment",  # no browser shows what a program wrote as a page of this server
            "ETag": _etag(file),
            "X-Content-Type-Options": "nosniff",
        }
        is_whole = stop - start == file.size
        if not is_whole:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
        super().__init__(status_code=HTTPStatus.OK if is_whole else HTTPStatus.PARTIAL_CONTENT, headers=headers)
        self.headers["Content-Length"] = str(stop - start)
        self._file, self._start, self._stop, self._held = file, start, stop, held
        self._with_body = with_body

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the response.

        Raises:
            ClientDisconnect: The file has become shorter meanwhile. Then the connection closes before the end.
        """
        with self._held:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            at = self._start
            while self._with_body and at < self._stop:
                piece = os.pread(self._file.descriptor, min(_PIECE, self._stop - at), at)
                if not piece:
                    raise ClientDisconnect
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await anyio.lowlevel.checkpoint()
                at += len(piece)
            await send({"type": "http.response.body", "body": b""})


def _etag(file: OpenFile) -> str:
    return f'"{file.version}"'


def _asked(request: Request, file: OpenFile) -> tuple[int, int]:
    """Return which bytes of a file a request asks for: the first, and the one after the last.

    Raises:
        HTTPException: 416; the file has none of them.
    """
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if (
        request.method == "HEAD"
        or not match
        or not any(match.groups())
        or request.headers.get("if-range", _etag(file)) != _etag(file)
    ):
        return 0, file.size
    first, last = match.groups()
    if not first:
        start, stop = max(0, file.size - int(last)), file.size
    elif last and int(last) < int(first):
        return 0, file.size  # an invalid range is ignored
    else:
        start, stop = int(first), min(file.size, int(last) + 1 if last else file.size)
    if start >= stop:
        raise HTTPException(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            f"the file has {file.size} bytes, and none of this range",
            {"Content-Range": f"bytes */{file.size}"},
        )
    return start, stop
