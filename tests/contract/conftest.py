"""The runtimes that the contract is tested on: the oldest and the newest of this machine."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from contract.snekbox_client import SnekboxClient
from serving import running_server
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry


@pytest.fixture(params=["oldest", "newest"])
def snekbox(request: pytest.FixtureRequest, client: httpx.Client, registry: Registry) -> SnekboxClient:
    """A snekbox client of one of them."""
    listed = client.get("/runtimes").json()["runtimes"]
    versions = {each["name"]: tuple(map(int, each["version"].split(".")[:2])) for each in listed}
    name = {"oldest": min, "newest": max}[request.param](versions, key=versions.__getitem__)
    return SnekboxClient(client, registry.runtimes[name].executable, versions[name], name)


@pytest.fixture
def impatient(small: Path, tmp_path: Path) -> Iterator[SnekboxClient]:
    """A client of a server that takes next to no time for collecting files."""
    small.write_text(f"{small.read_text()}files = {{ timeout = 0.001 }}\n")
    with running_server(small, tmp_path / "log") as server:
        yield SnekboxClient(server.client, load(small).runtimes["only"].executable, (3,), "only")
