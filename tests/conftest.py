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


@pytest.fixture
def small(registry: Registry, tmp_path: Path) -> Path:
    """A registry of one runtime, the default of this machine: quicker to probe than all."""
    runtime = registry.runtimes[registry.default]
    mounts = ", ".join(
        f'{{ source = "{each.source}", target = "{each.target}", mandatory = {str(each.mandatory).lower()} }}'
        for each in runtime.mounts
    )
    path = tmp_path / "small.toml"
    path.write_text(
        "[server]\nallow_degraded = true\n"
        f'[runtimes."only"]\naliases = ["one"]\nexecutable = "{runtime.executable}"\nmounts = [{mounts}]\n'
    )
    return path
