"""Why a runtime is unavailable, on real jails: the key of its table, what is wrong, the remedy."""

import re
import shutil
from pathlib import Path

import pytest

from command import SNEKHOUSE, snekhouse
from filtered import run_under
from snekhouse.profile.seccomp_rules import always
from snekhouse.registry.models import Mount, Registry, Runtime
from snekhouse.service import open_service

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def reason_of(runtime: Runtime, registry: Registry) -> str:
    """Open a server with one runtime alone, and say why it is unavailable."""
    alone = registry.model_copy(update={"default": runtime.name, "runtimes": {runtime.name: runtime}})
    async with open_service(alone, require_runtime=False) as service:
        reason = service.runtimes[runtime.name].reason
    assert "nsjail" not in reason.lower()
    assert len(reason) <= 500
    return reason


@pytest.fixture
def good(registry: Registry) -> Runtime:
    return registry.resolve(registry.default)


def _with(runtime: Runtime, **changes: object) -> Runtime:
    return runtime.model_copy(update=changes)


def _without(runtime: Runtime, *parts: str) -> Runtime:
    kept = tuple(each for each in runtime.mounts if not any(part in each.target for part in parts))
    return _with(runtime, mounts=kept)


async def test_a_mount_whose_source_is_missing(registry: Registry, good: Runtime) -> None:
    broken = _with(good, mounts=(*good.mounts, Mount(source="/no/such/folder", target="/x")))
    assert await reason_of(broken, registry) == (
        "mounts: the source '/no/such/folder' does not exist on this host; correct the path, or write mandatory = false"
    )


async def test_an_executable_that_no_mount_contains(registry: Registry, good: Runtime) -> None:
    assert await reason_of(_with(good, executable="/no/such/python"), registry) == (
        "executable: no mount contains '/no/such/python'; correct the path, or add a mount that contains it"
    )


async def test_an_executable_that_does_not_exist_in_its_mount(
    registry: Registry, good: Runtime, tmp_path: Path
) -> None:
    mounts = (*good.mounts, Mount(source=str(tmp_path), target="/opt/mine"))
    assert await reason_of(_with(good, executable="/opt/mine/bin/python", mounts=mounts), registry) == (
        f"executable: '/opt/mine/bin/python' does not exist (on the host: '{tmp_path}/bin/python'); correct the path"
    )


async def test_a_link_that_leads_out_of_all_mounts(registry: Registry, good: Runtime, tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to("/elsewhere/python")
    mounts = (*good.mounts, Mount(source=str(tmp_path), target="/mine"))
    assert await reason_of(_with(good, executable="/mine/python", mounts=mounts), registry) == (
        "executable: no mount contains '/mine/python' (a link to '/elsewhere/python'); "
        "correct the path, or add a mount that contains it"
    )


async def test_a_folder_a_script_and_a_file_that_others_may_not_execute(
    registry: Registry, good: Runtime, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "script").write_text("#!/bin/sh\n")
    (tmp_path / "script").chmod(0o755)
    (tmp_path / "private").write_text("x")
    (tmp_path / "private").chmod(0o700)
    mounts = (*good.mounts, Mount(source=str(tmp_path), target="/mine"))

    async def reason(name: str) -> str:
        return await reason_of(_with(good, executable=f"/mine/{name}", mounts=mounts), registry)

    assert (await reason("folder")).startswith("executable: '/mine/folder' is not a file; ")
    assert (await reason("script")).startswith("executable: '/mine/script' is a script; ")
    assert (await reason("private")).endswith(f"; run chmod o+rx {tmp_path}/private")


async def test_a_program_that_is_not_python(registry: Registry, good: Runtime) -> None:
    mounts = (*good.mounts, Mount(source="/usr/bin"))
    expected = "executable: '/usr/bin/ls' is not a Python interpreter; write the path of one"
    assert await reason_of(_with(good, executable="/usr/bin/ls", mounts=mounts), registry) == expected


async def test_a_missing_loader(registry: Registry, good: Runtime) -> None:
    reason = await reason_of(_without(good, "ld-linux", "lib64"), registry)
    assert reason.startswith("mounts: the loader '/lib")
    assert "of the interpreter is not in the jail; add { source = " in reason


async def test_a_loader_that_is_a_link_out_of_all_mounts(registry: Registry, good: Runtime) -> None:
    broken = _without(good, "ld-linux", "lib64", "linux-gnu")
    reason = await reason_of(
        _with(broken, mounts=(*broken.mounts, Mount(source="/usr/lib64", target="/lib64"))), registry
    )
    found = re.search(r'add \{ source = "(.+)", target = "(.+)" \} to mounts$', reason)
    assert found, reason
    added = Mount(source=found[1], target=found[2])
    libraries = tuple(each for each in good.mounts if "linux-gnu" in each.target and each.target != added.target)
    mounts = (*broken.mounts, Mount(source="/usr/lib64", target="/lib64"), *libraries, added)
    assert not await reason_of(_with(broken, mounts=mounts), registry)


async def test_a_part_of_the_standard_library(registry: Registry, good: Runtime, tmp_path: Path) -> None:
    home = next(each for each in good.mounts if good.executable.startswith(f"{each.target}/"))
    inside = Path(good.executable).relative_to(home.target)
    _copy_without_library(Path(home.source), inside, tmp_path)
    library = next((Path(home.source) / "lib").glob("python3.*"))
    shutil.copytree(library / "encodings", tmp_path / "lib" / library.name / "encodings")
    for name in ("codecs.py", "io.py", "abc.py", "os.py", "stat.py", "posixpath.py", "genericpath.py", "site.py"):
        shutil.copy(library / name, tmp_path / "lib" / library.name / name)
    mounts = tuple(_mount_from(tmp_path, each) if each is home else each for each in good.mounts)
    reason = await reason_of(_with(good, mounts=mounts), registry)
    assert reason.startswith("mounts: the interpreter does not find its standard library")
    assert reason.endswith("; add the folder that contains it (PREFIX/lib/pythonX.Y) to mounts, or install it")


async def test_a_limit_that_is_too_low_to_start(registry: Registry, good: Runtime) -> None:
    low = _with(good, limits=good.limits.model_copy(update={"wall_time": 0.001}))
    assert await reason_of(low, registry) == "still running after 0.001 s (limits.wall_time): killed; raise the limit"


async def test_a_missing_shared_library(registry: Registry, good: Runtime) -> None:
    loader = next(each for each in good.mounts if "ld-linux" in each.source)
    broken = _without(good, "linux-gnu", "ld.so.cache")
    reason = await reason_of(_with(broken, mounts=(*broken.mounts, loader)), registry)
    assert reason.startswith("mounts: the interpreter needs lib")
    assert reason.endswith("(cannot open shared object file); add the folder that contains it to mounts")


async def test_a_missing_standard_library(registry: Registry, good: Runtime, tmp_path: Path) -> None:
    home = next(each for each in good.mounts if good.executable.startswith(f"{each.target}/"))
    inside = Path(good.executable).relative_to(home.target)
    _copy_without_library(Path(home.source), inside, tmp_path)
    mounts = tuple(_mount_from(tmp_path, each) if each is home else each for each in good.mounts)
    assert await reason_of(_with(good, mounts=mounts), registry) == (
        "mounts: the interpreter does not find its standard library; "
        "add the folder that contains it (PREFIX/lib/pythonX.Y) to mounts, or install it"
    )


def _copy_without_library(home: Path, executable: Path, target: Path) -> None:
    target.chmod(0o755)
    (target / executable).parent.mkdir(parents=True)
    shutil.copy(home / executable, target / executable)
    for library in (home / "lib").glob("libpython*.so*"):
        (target / "lib").mkdir(exist_ok=True)
        shutil.copy(library, target / "lib")


def _mount_from(source: Path, mount: Mount) -> Mount:
    return mount.model_copy(update={"source": str(source)})


async def test_the_reason_is_bounded_whatever_is_in_it(registry: Registry, good: Runtime) -> None:
    mounts = (*good.mounts, *(Mount(source=f"/no/such/{'x' * 200}/" * 15, target="/x") for _ in range(2)))
    alone = registry.model_copy(
        update={"default": good.name, "runtimes": {good.name: _with(good, mounts=mounts)}},
    )
    async with open_service(alone, require_runtime=False) as service:
        ready = service.runtimes[good.name]
    assert ready.reason.startswith("mounts: the source '/no/such/xxx")
    assert ready.reason.endswith("; correct the path, or write mandatory = false")
    assert len(ready.reason) < 550
    assert ready.preparation.last_error == ready.reason


async def test_what_an_interpreter_prints_while_it_is_probed_changes_nothing(registry: Registry, good: Runtime) -> None:
    noisy = _with(good, env={**good.env, "PYTHONWARNINGS": "nonsense"})  # it complains on standard error
    assert not await reason_of(noisy, registry)


def test_check_list_and_eval_use_the_same_words(small: Path) -> None:
    small.write_text(small.read_text().replace('executable = "', 'executable = "/nowhere'))
    checked = snekhouse("runtimes", "check", "-r", small)
    assert checked.returncode == 1
    prefix, _, reason = checked.stdout.strip().partition('runtimes."only": ')
    assert prefix == f"{small}: "
    assert reason.startswith("executable: no mount contains '/nowhere/")
    assert reason in snekhouse("runtimes", "list", "-r", small).stdout
    assert reason in snekhouse("eval", "-r", small, "1").stderr
    assert f"runtime only is unavailable: {reason}" in snekhouse("serve", "-r", small, "--bind", "127.0.0.1:0").stderr


def test_a_jail_that_a_filter_refuses_points_to_who_tells_that(registry_path: Path) -> None:
    done = run_under([always(1, "mount")], [*SNEKHOUSE, "runtimes", "check", "-r", str(registry_path)])
    assert done.returncode == 1
    assert "Operation not permitted" in done.stdout
    assert "; snekhouse doctor shows the cause" in done.stdout
