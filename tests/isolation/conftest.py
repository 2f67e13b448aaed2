"""What every attack needs, in both ways to start."""

import os
from dataclasses import replace

import httpx
import pytest

from isolation.attacks import Prison
from serving import Server


@pytest.fixture(scope="session", params=["fork", "cold"])
def server(request: pytest.FixtureRequest) -> Server:
    """A server that forks its evaluations, and one that starts them cold."""
    found: Server = request.getfixturevalue({"fork": "forking_server", "cold": "cold_server"}[request.param])
    return found


@pytest.fixture(scope="session")
def client(server: Server) -> httpx.Client:
    """A client of that server; that of all tests may have been made for another one."""
    return server.client


@pytest.fixture(scope="session")
def evaluations(client: httpx.Client) -> Prison:
    """The newest runtime of this machine, for evaluations."""
    listed = client.get("/runtimes").json()["runtimes"]
    newest = max(listed, key=lambda each: tuple(map(int, each["version"].split(".")[:2])))
    return Prison(client, newest["name"])


@pytest.fixture(scope="session", params=["eval", "session"])
def prison(evaluations: Prison, request: pytest.FixtureRequest) -> Prison:
    """The same runtime, for evaluations and for cells of sessions."""
    return replace(evaluations, in_session=request.param == "session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Attack from cells of cold sessions with every third attack only, unless SNEKHOUSE_TEST_EVERY is set.

    A cell runs in the same code, whichever way its session starts.
    """
    params = {
        item: item.callspec.params for item in items if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    }
    cold = [item for item, given in params.items() if (given.get("prison"), given.get("server")) == ("session", "cold")]
    left_out = set(cold) - set(cold[::3]) if not os.environ.get("SNEKHOUSE_TEST_EVERY") else set()
    items[:] = [item for item in items if item not in left_out]
