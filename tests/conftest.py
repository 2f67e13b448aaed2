"""What the tests share: this machine's interpreters, and a real server on them."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving import Server, await_templates, running_server
from snekhouse.registry.discovery import find_interpreters, render_registry
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry

signal.signal(signal.SIGINT, signal.default_int_handler)
"""What is started in the background may ignore it, and so would everything that these tests start."""


@pytest.fixture(scope="session")
def packages() -> Iterator[Path]:
    """A place for packages that, unlike pytest's own folders, anybody may enter: a wall less would be another test."""
    with tempfile.TemporaryDirectory(prefix="snekhouse-tests-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def registry_path(tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Path:
    """The registry that `runtimes discover` writes for this machine, with a place of its own for packages."""
    path = tmp_path_factory.mktemp("registry") / "runtimes.toml"
    written = render_registry(find_interpreters(), allow_degraded_reason="the tests run on any host")
    path.write_text(f'{written}\n[defaults]\npackages = "{packages}/{{runtime}}"\n')
    return path


@pytest.fixture(scope="session")
def registry(registry_path: Path) -> Registry:
    """That registry, loaded."""
    return load(registry_path)


@pytest.fixture(scope="session")
def forking_server(registry_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on that registry, which forks all evaluations."""
    with running_server(registry_path, tmp_path_factory.mktemp("server") / "log") as server:
        await_templates(server.client)
        yield server


@pytest.fixture(scope="session")
def cold_server(registry_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on that registry, which starts all evaluations cold."""
    folder = tmp_path_factory.mktemp("cold")
    cold = folder / "runtimes.toml"
    cold.write_text(registry_path.read_text().replace("[defaults]\n", '[defaults]\nstart = "cold"\n'))
    with running_server(cold, folder / "log") as server:
        yield server


@pytest.fixture(scope="session")
def server(forking_server: Server) -> Server:
    """The server for tests that do not care how evaluations start."""
    return forking_server


@pytest.fixture(scope="session")
def client(server: Server) -> httpx.Client:
    """A client of that server."""
    return server.client


@pytest.fixture
def small(registry: Registry, packages: Path, tmp_path: Path) -> Path:
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
        f'packages = "{packages}/small"\n'
    )
    return path
