"""Servers that keep sessions, forked and cold, and a client of a session."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from serving import Server
from snekhouse.registry.models import Registry


@dataclass(frozen=True)
class Session:
    """A client of one session."""

    client: httpx.Client
    id: str

    def run(self, code: str, **fields: Any) -> dict[str, Any]:
        """Run a cell; return the answer."""
        answer = self.client.post(f"/sessions/{self.id}/eval", json={"input": code, **fields})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def value(self, code: str, **fields: Any) -> str:
        """Run a cell that must succeed; return its value as text."""
        answer = self.run(code, **fields)
        assert (answer["status"], answer["state"]) == ("ok", "kept"), answer
        return str((answer["result"] or {}).get("text", ""))

    def show(self) -> httpx.Response:
        """Ask what the session is."""
        return self.client.get(f"/sessions/{self.id}")

    def branch(self) -> "Session":
        """Make a branch."""
        answer = self.client.post(f"/sessions/{self.id}/branch")
        assert answer.status_code == 201, answer.text
        return Session(self.client, answer.json()["id"])

    def end(self) -> None:
        """End it."""
        self.client.delete(f"/sessions/{self.id}")


NewSession = Callable[..., Session]


def open_session(client: httpx.Client, **fields: Any) -> Session:
    """Make a session."""
    answer = client.post("/sessions", json=fields)
    assert answer.status_code == 201, answer.text
    return Session(client, answer.json()["id"])


@pytest.fixture(scope="session", params=["fork", "cold"])
def session_server(request: pytest.FixtureRequest) -> Server:
    """A server that forks the first process of sessions, and one that starts it cold."""
    found: Server = request.getfixturevalue({"fork": "forking_server", "cold": "cold_server"}[request.param])
    return found


@pytest.fixture
def new_session(session_server: Server) -> Iterator[NewSession]:
    """Make sessions, which end with the test."""
    made = []

    def new(**fields: Any) -> Session:
        made.append(open_session(session_server.client, **fields))
        return made[-1]

    yield new
    for session in made:
        session.end()


@pytest.fixture
def session(new_session: NewSession, registry: Registry) -> Session:
    """A session of the default runtime."""
    return new_session(runtime=registry.default)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try every third attack only in sessions that start cold, unless SNEKHOUSE_TEST_EVERY is set."""
    cold = [
        each
        for each in items
        if isinstance(each, pytest.Function)
        and each.originalname == "test_an_attack_hurts_nothing_but_its_own_session"
        and each.callspec.params.get("session_server") == "cold"
    ]
    left_out = set() if os.environ.get("SNEKHOUSE_TEST_EVERY") else set(cold) - set(cold[::3])
    items[:] = [each for each in items if each not in left_out]
