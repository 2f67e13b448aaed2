"""Where a jail has the locale C.UTF-8, the interpreter sets LC_CTYPE itself (PEP 538): programs see what plain ones see."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fidelity.plain import Plain
from fidelity.programs import LOCALE, Program
from fidelity.test_fidelity import by_id, differing
from serving import Server, await_fork_servers, running_server
from snekhouse.registry.loading import load

pytestmark = pytest.mark.own_server

LOCALES = Path("/usr/lib/locale")
"""Where glibc has its locales; from 2.35 on it has C.UTF-8 even without: setlocale(3)."""


@pytest.fixture(scope="module")
def registry_with_locales(registry_path: Path) -> Iterator[Path]:
    """The registry of this machine, with the locales of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "runtimes.toml")
        mount = f'mounts = [{{ source = "{LOCALES}", mandatory = false }}]\n'
        path.write_text(registry_path.read_text().replace("[defaults]\n", f"[defaults]\n{mount}"))
        yield path


@pytest.fixture(scope="module")
def plain(registry_with_locales: Path) -> Plain:
    return Plain(load(registry_with_locales), registry_with_locales.parent)


@pytest.fixture(scope="module", params=["fork", "cold"])
def server(
    request: pytest.FixtureRequest, registry_with_locales: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("locales")
    path = folder / "runtimes.toml"
    path.write_text(
        registry_with_locales.read_text().replace("[defaults]\n", f'[defaults]\nstart = "{request.param}"\n')
    )
    with running_server(path, folder / "log") as server:
        if request.param == "fork":
            await_fork_servers(server.client)
        yield server


@pytest.mark.parametrize("program", LOCALE, ids=by_id)
def test_locale_and_utf8_mode_are_those_of_plain_nsjail(program: Program, server: Server, plain: Plain) -> None:
    names = [each["name"] for each in server.client.get("/runtimes").json()["runtimes"]]
    assert differing(program, server.client, plain, names) == {}


def test_the_interpreters_of_the_host_do_set_it(registry_with_locales: Path, plain: Plain) -> None:
    """Otherwise this module shows nothing."""
    default = load(registry_with_locales).default
    assert b"'C.UTF-8'" in plain.run(default, ("-c", "import os; print([os.environ['LC_CTYPE']])"), {}, b"").output
