"""Fidelity in both ways to start."""

import httpx
import pytest

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
