"""What the tests share: this machine's interpreters, and a real server on them."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving import Server, running_server
from snekhouse.registry.discovery import find_interpreters, render_registry
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry


@pytest.fixture(scope="session")
def registry_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The registry that `runtimes discover` writes for this machine."""
    path = tmp_path_factory.mktemp("registry") / "runtimes.toml"
    path.write_text(render_registry(find_interpreters(), allow_degraded_reason="the tests run on any host"))
    return path


@pytest.fixture(scope="session")
def registry(registry_path: Path) -> Registry:
    """That registry, loaded."""
    return load(registry_path)


@pytest.fixture(scope="session")
def server(registry_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on that registry."""
    with running_server(registry_path, tmp_path_factory.mktemp("server") / "log") as server:
        yield server


@pytest.fixture(scope="session")
def client(server: Server) -> httpx.Client:
    """A client of that server."""
    return server.client
