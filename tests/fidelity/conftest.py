"""Fidelity in both ways to start."""

import pytest

from serving import Server


@pytest.fixture(scope="session", params=["fork", "cold"])
def server(request: pytest.FixtureRequest) -> Server:
    """A server that forks its evaluations, and one that starts them cold."""
    found: Server = request.getfixturevalue({"fork": "forking_server", "cold": "cold_server"}[request.param])
    return found
