"""Clients of a session, for `snekhouse repl`: one of a server's session, and one without a server."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, Self

import anyio.to_thread

from snekhouse.errors import BusyError, RemoteError, RequestError, UsageError
from snekhouse.evaluation import Job
from snekhouse.jail.protocol import Refusal
from snekhouse.jail.verdict import JAIL_FAILED
from snekhouse.registry.models import Registry, Runtime
from snekhouse.service import Session, Sessions, open_service, opened_sessions


@dataclass(frozen=True, slots=True)
class CellAnswer:
    """The result of a cell.

    Attributes:
        output: Its stdout and stderr.
        value: The value of the expression at its end, as text; empty if there is none.
        message: What ended it; empty if it ended by itself.
        state: ``kept``, ``rolled_back`` or ``lost``.
        returncode: Its exit code.
        files: The size in bytes of each file that is new or has changed, by path.
    """

    output: str
    value: str
    message: str
    state: str
    returncode: int
    files: Mapping[str, int]

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Convert the answer of a server."""
        return cls(
            output=answer["stdout"],
            value=(answer["result"] or {}).get("text", ""),
            message=answer["message"],
            state=answer["state"],
            returncode=JAIL_FAILED if answer["returncode"] is None else answer["returncode"],
            files={file["path"]: file["size"] for file in answer["files"]},
        )


class SessionClient(Protocol):
    """A client of one session."""

    async def run(self, code: str) -> CellAnswer:
        """Run a cell."""

    async def branch(self) -> None:
        """Make a branch, use it from now on, and end the session before it.

        Raises:
            BusyError: The session cannot branch now.
        """

    async def roll_back(self) -> None:
        """Go back to the state before the last cell.

        Raises:
            RequestError: There is none.
        """

    async def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the cell that runs."""

    async def cells(self) -> int:
        """Return how many cells the state contains."""


class RemoteSession:
    """A session of a server."""

    def __init__(self, url: str, session: str) -> None:
        self._url, self._session = url, session

    async def run(self, code: str) -> CellAnswer:
        """See `SessionClient`."""
        return CellAnswer.of(await self._ask("POST", "/eval", {"input": code}))

    async def branch(self) -> None:
        """See `SessionClient`."""
        branch = str((await self._ask("POST", "/branch"))["id"])
        await self.end()
        self._session = branch

    async def roll_back(self) -> None:
        """See `SessionClient`."""
        await self._ask("POST", "/rollback")

    async def interrupt(self) -> None:
        """See `SessionClient`."""
        await self._ask("POST", "/interrupt")

    async def cells(self) -> int:
        """See `SessionClient`."""
        return int((await self._ask("GET"))["execution_count"])

    async def end(self) -> None:
        """End the session."""
        await self._ask("DELETE")

    async def _ask(self, method: str, path: str = "", body: object = None) -> dict[str, Any]:
        return await ask(self._url, method, f"/sessions/{self._session}{path}", body)


async def ask(url: str, method: str, path: str, body: object = None) -> dict[str, Any]:
    """Send a request to a server; return the JSON of the answer, or nothing for an empty one.

    Raises:
        RequestError: The server refuses the request (400).
        BusyError: It cannot serve the request now (503).
        RemoteError: It does not answer, or answers with another error.
    """
    return await anyio.to_thread.run_sync(_ask, url, method, path, body)


def _ask(url: str, method: str, path: str, body: object) -> dict[str, Any]:
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url.rstrip('/')}{path}", content, headers, method=method)  # noqa: S310 - checked
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - `remote_session` checks the URL
            received = answer.read()
            return dict(json.loads(received)) if received else {}
    except urllib.error.HTTPError as error:
        reason = _description(error)
        if error.code == _BAD_REQUEST:
            raise RequestError(reason) from error
        if error.code == _UNAVAILABLE:
            raise BusyError(reason) from error
        raise RemoteError(f"{url} refused the request: {error.code} {reason}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise RemoteError(f"no valid answer from {url}: {error}; start the server, or leave --url out") from error


_BAD_REQUEST, _UNAVAILABLE = 400, 503


def _description(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["description"])
    except (ValueError, KeyError, TypeError):
        return error.reason


@asynccontextmanager
async def remote_session(url: str, runtime: str) -> AsyncIterator[RemoteSession]:
    """Open a session of a server, and end it on leaving.

    Args:
        url: URL of the server.
        runtime: Name or alias of a runtime; empty for the default.

    Raises:
        UsageError: The URL cannot be used.
        RequestError: The server refuses the session (400).
        BusyError: It cannot open one now, or allows none (503).
        RemoteError: It does not answer, or answers with another error.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is not the URL of a server; write http://HOST:PORT")
    session = RemoteSession(url, str((await ask(url, "POST", "/sessions", {"runtime": runtime}))["id"]))
    try:
        yield session
    finally:
        with (
            anyio.CancelScope(shield=True),
            suppress(RemoteError, BusyError),
        ):  # it has ended already, or the server has
            await session.end()


class LocalSession:
    """A session without a server."""

    def __init__(self, sessions: Sessions, session: Session) -> None:
        self._sessions, self._session = sessions, session

    async def run(self, code: str) -> CellAnswer:
        """See `SessionClient`."""
        found = await self._sessions.run(self._session, Job(args=(code,), limits=self._session.limits))
        return CellAnswer(
            output=found.result.stdout,
            value=found.result.value.get("text", ""),
            message=found.result.explanation,
            state=found.outcome.value,
            returncode=JAIL_FAILED if found.result.returncode is None else found.result.returncode,
            files={file.path: len(file.content) for file in found.result.files},
        )

    async def branch(self) -> None:
        """See `SessionClient`."""
        branch = await self._sessions.branch(self._session)
        self._sessions.end(self._session)
        self._session = branch

    async def roll_back(self) -> None:
        """See `SessionClient`."""
        await self._sessions.roll_back(self._session)

    async def interrupt(self) -> None:
        """See `SessionClient`."""
        self._sessions.interrupt(self._session)

    async def cells(self) -> int:
        """See `SessionClient`."""
        return self._session.state.cells


_MAX_SESSIONS = 2
"""Sessions of one command at once: `%branch` makes a branch, and then ends the session before it."""

_LONG_S = 30 * 24 * 3600.0
"""Seconds after which a session without a server ends: nobody else waits for its memory."""


@asynccontextmanager
async def local_session(registry: Registry, runtime: Runtime) -> AsyncIterator[LocalSession]:
    """Open a session in a jail of this process, and end it on leaving.

    Args:
        registry: The registry of the runtime.
        runtime: The runtime.

    Raises:
        HostError: The host lacks a wall, and the registry does not allow that.
        BusyError: The runtime is unavailable, or this host cannot limit sessions.
        JailError: The session did not start.
    """
    once = runtime.model_copy(update={"start": "cold"})
    server = registry.server.model_copy(
        update={"sessions": _MAX_SESSIONS, "session_idle": _LONG_S, "session_age": _LONG_S}
    )
    alone = registry.model_copy(update={"default": runtime.name, "runtimes": {runtime.name: once}, "server": server})
    async with open_service(alone, require_runtime=False) as service, opened_sessions(service) as sessions:
        made = await sessions.create(once, Job(args=(), limits=runtime.limits))
        assert not isinstance(made, Refusal)  # noqa: S101 - there are no files that could be refused
        yield LocalSession(sessions, made)
