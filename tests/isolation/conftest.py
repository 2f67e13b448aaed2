"""What every attack needs."""

import httpx
import pytest

from isolation.attacks import Prison


@pytest.fixture(scope="session")
def prison(client: httpx.Client) -> Prison:
    """The newest runtime of this machine."""
    listed = client.get("/runtimes").json()["runtimes"]
    newest = max(listed, key=lambda each: tuple(map(int, each["version"].split(".")[:2])))
    return Prison(client, newest["name"])
