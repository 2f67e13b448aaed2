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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out attacks that tell nothing new, or little: SNEKHOUSE_TEST_EVERY=1 keeps more.

    Tests marked `alone` measure what is left when an evaluation is answered; tests/sessions does that for sessions. A cell
    runs the same code whichever way its session starts, so every third attack is enough from cold sessions, unless
    SNEKHOUSE_TEST_EVERY is set. Against a server elsewhere, every tenth is enough: its host changes nothing but the walls
    of the jail, which evaluations attack. Attacks on the server's resources that differ only in what they send are tried
    every second time.
    """
    params = {
        each: each.callspec.params for each in items if isinstance(each, pytest.Function) and hasattr(each, "callspec")
    }
    cells = [each for each, given in params.items() if given.get("prison") == "session"]
    alone = {each for each in cells if each.get_closest_marker("alone")}
    cold = [each for each in cells if params[each].get("server") == "cold"]
    few = set(cells) - set(cells[::10]) if config.getoption("--server") else set()
    left_out = alone | few
    if not os.environ.get("SNEKHOUSE_TEST_EVERY"):
        alike = [each for each in params if each.path.name == "test_server_resources.py"]
        left_out |= (set(cold) - set(cold[::3])) | set(alike[1::2])
    items[:] = [each for each in items if each not in left_out]
