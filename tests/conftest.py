"""What the tests share: this machine's interpreters, and a real server on them."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx
import hypothesis
import pytest

from serving import PATIENCE, SLOWNESS, Server, await_fork_servers, only, running_server
from snekhouse.cli.probing import find_in_root
from snekhouse.registry.discovery.interpreters import find_interpreters
from snekhouse.registry.discovery.writing import render_registry
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry

hypothesis.settings.register_profile("any machine", deadline=None)  # one may be slow, or do other things as well
hypothesis.settings.load_profile("any machine")

signal.signal(signal.SIGINT, signal.default_int_handler)
"""What is started in the background may ignore it, and so would everything that these tests start."""


SESSIONS = 20
"""How many sessions the servers keep: `runtimes discover` writes it."""

UIDS = (1_901_000_000, 1_901_004_095)
"""Host ids of the servers: several test processes run side by side, each with several servers."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup(
        "snekhouse", "a server elsewhere, such as in a container, instead of servers of the tests' own"
    )
    group.addoption("--server", metavar="URL", help="one that forks evaluations")
    group.addoption("--cold-server", metavar="URL", help="one that starts them cold")
    for name in ("--server-pid", "--cold-server-pid"):
        group.addoption(name, metavar="PID", type=int, help="the process of that server, as this machine numbers it")
    group.addoption("--start", choices=("fork", "cold"), help="leave out tests of the other way to start")
    group.addoption("--server-registry", metavar="FILE", type=Path, help="what they serve")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a server of its own, or another start, where the server is elsewhere; give slow machines time."""
    if config.getoption("--server"):
        own = [item for item in items if item.get_closest_marker("own_server")]
        config.hook.pytest_deselected(items=own)
        items[:] = [item for item in items if item not in own]
    if start := config.getoption("--start"):
        params = {item: set(map(str, item.callspec.params.values())) for item in items if hasattr(item, "callspec")}
        other = [item for item in items if ({"fork", "cold"} - {start}) & params.get(item, set())]
        config.hook.pytest_deselected(items=other)
        items[:] = [item for item in items if item not in other]
    for item in items if SLOWNESS > 1 else ():
        marker = item.get_closest_marker("timeout")
        seconds = marker.args[0] if marker else float(config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(seconds * SLOWNESS), append=False)


@pytest.fixture(scope="session")
def packages() -> Iterator[Path]:
    """A place for packages that, unlike pytest's own folders, anybody may enter: a wall less would be another test."""
    with tempfile.TemporaryDirectory(prefix="snekhouse-tests-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def registry_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Path:
    """The registry that `runtimes discover` writes for this machine, with a place of its own for packages.

    SNEKHOUSE_TEST_ROOT names a root file system whose interpreters the tests run on instead (`make root`).
    """
    if elsewhere := request.config.getoption("--server-registry"):
        assert isinstance(elsewhere, Path)
        return elsewhere
    path = tmp_path_factory.mktemp("registry") / "runtimes.toml"
    root = os.environ.get("SNEKHOUSE_TEST_ROOT")
    found = find_in_root(Path(root).expanduser()) if root else find_interpreters()
    written = render_registry(found, allow_degraded_reason="the tests run on any host")
    written = written.replace("[server]\n", f"[server]\nuids = {list(UIDS)}\n", 1)
    path.write_text(f'{written}\n[defaults]\npackages = "{packages}/{{runtime}}"\n')
    return path


@pytest.fixture(scope="session")
def registry(registry_path: Path) -> Registry:
    """That registry, loaded."""
    return load(registry_path)


@pytest.fixture(scope="session")
def forking_server(
    request: pytest.FixtureRequest, registry_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server on that registry, which forks all evaluations."""
    if elsewhere := request.config.getoption("--server"):
        yield from _elsewhere(elsewhere, request.config.getoption("--server-pid"))
        return
    with running_server(registry_path, tmp_path_factory.mktemp("server") / "log") as server:
        await_fork_servers(server.client)
        yield server


@pytest.fixture(scope="session")
def cold_server(
    request: pytest.FixtureRequest, registry_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server on that registry, which starts all evaluations cold."""
    if elsewhere := request.config.getoption("--cold-server"):
        yield from _elsewhere(elsewhere, request.config.getoption("--cold-server-pid"))
        return
    folder = tmp_path_factory.mktemp("cold")
    cold = folder / "runtimes.toml"
    cold.write_text(registry_path.read_text().replace("[defaults]\n", '[defaults]\nstart = "cold"\n'))
    with running_server(cold, folder / "log") as server:
        yield server


def _elsewhere(url: str, pid: int) -> Iterator[Server]:
    process = cast("subprocess.Popen[str]", SimpleNamespace(pid=pid))  # all that tests of what goes on inside ask for
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        yield Server(client, process, Path("/dev/null"))


@pytest.fixture(scope="session")
def server(forking_server: Server) -> Server:
    """The server for tests that do not care how evaluations start."""
    return forking_server


@pytest.fixture(scope="session")
def client(server: Server) -> httpx.Client:
    """A client of that server."""
    return server.client


@pytest.fixture(scope="session")
def one_runtime(registry: Registry, packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of one runtime, the default of this machine: quicker to probe than all."""
    path = tmp_path_factory.mktemp("small") / "runtimes.toml"
    path.write_text(only(registry.runtimes[registry.default], packages / "small"))
    return path


@pytest.fixture
def small(one_runtime: Path, tmp_path: Path) -> Path:
    """A copy of that registry for a test to change."""
    path = tmp_path / "small.toml"
    path.write_text(one_runtime.read_text())
    return path
