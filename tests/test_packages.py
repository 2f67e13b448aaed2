"""Third-party packages: installed for one runtime, seen there at once and nowhere else, and only to be read."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from command import refused, snekhouse
from serving import running_server
from snekhouse.packages.site import executable_on_host
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry
from wheels import make_wheel


@dataclass(frozen=True)
class Pantry:
    """A server whose runtimes have no packages yet, and a folder of wheels to install from.

    Attributes:
        path: The registry.
        registry: It, loaded.
        wheels: Where packages come from: no index is asked.
        folder: Holds the packages of each runtime, by its name.
        client: A client of the server.
    """

    path: Path
    registry: Registry
    wheels: Path
    folder: Path
    client: httpx.Client

    def run(self, command: str, *args: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run `snekhouse packages COMMAND`."""
        place = {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(self.wheels)}
        return snekhouse("packages", command, "--registry", self.path, *args, env=place)

    def install(self, runtime: str, *requirements: str) -> None:
        done = self.run("install", runtime, *requirements)
        assert done.returncode == 0, done.stderr

    def evaluate(self, runtime: str, code: str) -> str:
        body: dict[str, Any] = self.client.post(f"/eval/{runtime}", json={"input": code}).json()
        return str(body["stdout"])

    def listed(self, runtime: str) -> list[tuple[str, str]]:
        """What GET /runtimes says."""
        runtimes = self.client.get("/runtimes").json()["runtimes"]
        (packages,) = (each["packages"] for each in runtimes if each["name"] == runtime)
        return [(package["name"], package["version"]) for package in packages]


@pytest.fixture(scope="module")
def served(registry_path: Path, packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pantry]:
    folder = tmp_path_factory.mktemp("packages")
    path = folder / "runtimes.toml"
    path.write_text(registry_path.read_text().replace(f'"{packages}/', f'"{packages}/installed/'))
    wheels = folder / "wheels"
    wheels.mkdir()
    make_wheel(wheels, "alpha", "1.0")
    make_wheel(wheels, "alpha", "2.0")
    make_wheel(wheels, "beta", "1.0", requires=["alpha"])
    with running_server(path, folder / "log") as server:
        yield Pantry(path, load(path), wheels, packages / "installed", server.client)


@pytest.fixture
def pantry(served: Pantry) -> Iterator[Pantry]:
    """The server, with no packages installed."""
    yield served
    for name in served.registry.runtimes:
        shutil.rmtree(served.folder / name)
        (served.folder / name).mkdir()


def test_a_package_is_importable_at_once_by_every_runtime_that_it_is_installed_for(pantry: Pantry) -> None:
    for name in pantry.registry.runtimes:
        assert "ModuleNotFoundError" in pantry.evaluate(name, "import alpha")
        pantry.install(name, "alpha==1.0")
        assert pantry.evaluate(name, "import alpha; print(alpha.version)") == "1.0\n"
        assert pantry.listed(name) == [("alpha", "1.0")]


def test_a_neighbour_sees_neither_the_package_nor_its_folder(pantry: Pantry) -> None:
    mine, *others = pantry.registry.runtimes
    pantry.install(mine, "alpha")
    assert others
    for other in others:
        assert "ModuleNotFoundError" in pantry.evaluate(other, "import alpha")
        assert pantry.evaluate(other, "import os; print(os.listdir('/snekbox/user_base'))") == "[]\n"
        assert pantry.listed(other) == []


def test_programs_can_only_read_packages(pantry: Pantry) -> None:
    name = pantry.registry.default
    pantry.install(name, "alpha")
    for path in pantry.folder.rglob("alpha.py"):
        path.chmod(0o666)  # the mount alone forbids it
    code = "import alpha, os\ntry: open(alpha.__file__, 'a')\nexcept OSError as error: print(os.strerror(error.errno))"
    assert pantry.evaluate(name, code) == "Read-only file system\n"


def test_bytecode_is_compiled_when_a_package_is_installed(pantry: Pantry) -> None:
    for name in pantry.registry.runtimes:
        pantry.install(name, "alpha")
        code = "import alpha, os; print(os.path.exists(alpha.__cached__), alpha.__cached__[-4:])"
        assert pantry.evaluate(name, code) == "True .pyc\n"


def test_a_version_replaces_another(pantry: Pantry) -> None:
    name = pantry.registry.default
    for version in ("2.0", "1.0") * 3:  # within one second, often: their modules differ in neither time nor size
        pantry.install(name, f"alpha=={version}")
        assert pantry.evaluate(name, "import alpha; print(alpha.version)") == f"{version}\n"
        assert pantry.listed(name) == [("alpha", version)]


def test_dependencies_come_with_a_package_and_stay_when_it_is_removed(pantry: Pantry) -> None:
    name = pantry.registry.default
    pantry.install(name, "beta")
    assert pantry.listed(name) == [("alpha", "2.0"), ("beta", "1.0")]
    assert pantry.run("remove", name, "beta").returncode == 0
    assert pantry.listed(name) == [("alpha", "2.0")]
    assert "ModuleNotFoundError" in pantry.evaluate(name, "import beta")


def test_the_name_of_a_package_that_is_not_installed_is_refused(pantry: Pantry) -> None:
    name = pantry.registry.default
    pantry.install(name, "beta")
    done = pantry.run("remove", name, "alpha", "bet")
    assert done.returncode == 2
    assert f"{name} has no package 'bet', and nothing was removed; did you mean 'beta'?" in done.stderr
    assert pantry.listed(name) == [("alpha", "2.0"), ("beta", "1.0")]


def test_sync_installs_exactly_what_a_file_asks_for(pantry: Pantry, tmp_path: Path) -> None:
    name = pantry.registry.default
    pantry.install(name, "alpha==1.0")
    (tmp_path / f"{name}.txt").write_text("beta  # and what it needs\n")
    assert pantry.run("sync", "--requirements", tmp_path).returncode == 0
    assert pantry.listed(name) == [("alpha", "2.0"), ("beta", "1.0")]
    (tmp_path / f"{name}.txt").write_text("alpha\n")
    assert pantry.run("sync", "--requirements", tmp_path).returncode == 0
    assert pantry.listed(name) == [("alpha", "2.0")]
    (tmp_path / f"{name}.txt").write_text("")
    assert pantry.run("sync", "--requirements", tmp_path).returncode == 0
    assert pantry.listed(name) == []


def test_sync_takes_packages_from_where_its_file_says(pantry: Pantry, tmp_path: Path) -> None:
    name = pantry.registry.default
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    make_wheel(elsewhere, "gamma", "1.0")
    (tmp_path / f"{name}.txt").write_text(f"--find-links {elsewhere}\ngamma\n")
    done = pantry.run("sync", "--requirements", tmp_path)
    assert (done.returncode, pantry.listed(name)) == (0, [("gamma", "1.0")]), done.stderr


def test_sync_checks_the_hashes_of_its_file(pantry: Pantry, tmp_path: Path) -> None:
    name = pantry.registry.default
    digest = hashlib.sha256((pantry.wheels / "alpha-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    file = tmp_path / f"{name}.txt"
    file.write_text(f"alpha==1.0 --hash=sha256:{'0' * 64}\n")
    done = pantry.run("sync", "--requirements", tmp_path)
    assert done.returncode == 2
    assert "Hash mismatch" in done.stderr
    file.write_text(f"alpha==1.0 \\\n    --hash=sha256:{digest}\n")
    assert pantry.run("sync", "--requirements", tmp_path).returncode == 0
    assert pantry.listed(name) == [("alpha", "1.0")]


def test_sync_looks_beside_the_registry(pantry: Pantry) -> None:
    name = pantry.registry.default
    assert "has no requirements files" in refused(pantry.run("sync"))
    folder = pantry.path.parent / "runtimes" / "packages"
    folder.mkdir(parents=True)
    (folder / f"{name}.txt").write_text("alpha==1.0")
    assert pantry.run("sync").returncode == 0
    assert pantry.listed(name) == [("alpha", "1.0")]


def test_sync_refuses_a_file_for_a_runtime_that_does_not_exist(pantry: Pantry, tmp_path: Path) -> None:
    (tmp_path / "9.9.txt").write_text("alpha")
    said = refused(pantry.run("sync", "--requirements", tmp_path))
    assert "9.9" in said
    assert pantry.registry.default in said


def test_list_prints_a_table_or_json(pantry: Pantry) -> None:
    name = pantry.registry.default
    assert json.loads(pantry.run("list", name, "--json").stdout) == []
    pantry.install(name, "beta")
    assert pantry.run("list", name).stdout == "NAME\tVERSION\nalpha\t2.0\nbeta\t1.0\n"
    assert json.loads(pantry.run("list", name, "--json").stdout)[1] == {"name": "beta", "version": "1.0"}


def test_what_uv_cannot_do_is_an_error_with_uvs_own_words(pantry: Pantry) -> None:
    said = refused(pantry.run("install", pantry.registry.default, "nonesuch"))
    assert "nonesuch" in said
    assert said.endswith("snekhouse: uv could not install; its output is above\n")


def test_a_requirement_is_never_an_option_of_uv(pantry: Pantry) -> None:
    assert "--version" in refused(pantry.run("install", pantry.registry.default, "--", "--version"))


def test_programs_may_read_what_a_strict_umask_made(pantry: Pantry) -> None:
    name = pantry.registry.default
    before = os.umask(0o077)
    try:
        pantry.install(name, "alpha")
    finally:
        os.umask(before)
    assert pantry.evaluate(name, "import alpha; print(alpha.version)") == "2.0\n"


def test_a_runtime_without_a_user_base_has_no_place_for_packages(small: Path) -> None:
    small.write_text(small.read_text() + 'env = { PYTHONUSERBASE = "" }\n')
    said = refused(snekhouse("packages", "install", "only", "alpha", "--registry", small))
    assert 'set runtimes."only".env.PYTHONUSERBASE' in said


def test_the_peers_recipe_works_where_its_folder_leads_to_the_runtimes_own(pantry: Pantry, tmp_path: Path) -> None:
    """As the image has it: /snekbox/user_base/lib/pythonX.Y is a link to where the runtime X.Y has its packages."""
    name = pantry.registry.default
    pantry.install(name, "alpha==1.0")
    (lib,) = (pantry.folder / name / "lib").iterdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / lib.name).symlink_to(lib)
    interpreter = executable_on_host(pantry.registry.runtimes[name])
    options = ["--user", "--no-index", "--find-links", str(pantry.wheels), "--quiet"]
    command = [sys.executable, "-m", "pip", "--python", str(interpreter), "install", *options, "beta"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONUSERBASE": str(tmp_path)}, stderr=subprocess.DEVNULL)
    assert pantry.evaluate(name, "import beta; print(beta.version)") == "1.0\n"


def test_numpy_for_one_runtime_is_importable_there_alone(pantry: Pantry) -> None:
    name, other = pantry.registry.default, list(pantry.registry.runtimes)[-1]
    version = pantry.evaluate(name, "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    options = ["--quiet", "--dest", str(pantry.wheels), "--no-deps", "--only-binary=:all:", "--python-version", version]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, "numpy"], check=True)
    pantry.install(name, "numpy")
    assert pantry.evaluate(name, "import numpy; print(numpy.arange(5).sum())") == "10\n"
    assert "ModuleNotFoundError" in pantry.evaluate(other, "import numpy")
