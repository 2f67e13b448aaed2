"""Fork servers: what keeps one from forking lets evaluations start cold, and no request fails for it."""

import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest

from leftovers import descendants, groups
from serving import await_fork_servers, running_server
from snekhouse.evaluation import Job, Result, Status
from snekhouse.packages.site import site_on_host
from snekhouse.registry.loading import load
from snekhouse.service import Service, open_service, supervisor

pytestmark = [pytest.mark.anyio, pytest.mark.waits]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def opened(small: Path, **changes: object) -> AsyncIterator[Service]:
    """Open a server with one runtime."""
    registry = load(small)
    runtime = registry.runtimes["only"].model_copy(update=changes)
    async with open_service(registry.model_copy(update={"runtimes": {"only": runtime}})) as service:
        yield service


async def evaluate(service: Service, code: str = "print(1)") -> Result:
    runtime = service.registry.runtimes["only"]
    return await service.evaluate(runtime, Job(args=("-c", code), limits=runtime.limits))


SET_ASIDE = 15_000
"""Fewer objects than there are in a fork of a second generation, and more than in one of a fork server."""


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in other processes
            await anyio.sleep(0.01)


def forks(service: Service) -> bool:
    supervisor = service.runtimes["only"].supervisor
    return supervisor is not None and supervisor.is_up


def reason(service: Service) -> str:
    supervisor = service.runtimes["only"].supervisor
    assert supervisor
    return supervisor.reason


def interpreters(service: Service) -> set[int]:
    """Processes of fork servers: the first of each, the fork server, and what it has forked ahead."""
    profile = os.fsencode(service.runtimes["only"].prepared.fork_server_profile)
    jails = [pid for pid in descendants(os.getpid()) if profile in command(pid).split(b"\0")]
    return {pid for jail in jails for pid in descendants(jail)}


def command(pid: int) -> bytes:
    """The command line of a process; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def kill(processes: Iterable[int]) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):  # the first takes the others with it
            os.kill(pid, signal.SIGKILL)


def held(service: Service) -> tuple[int, int]:
    """How many cgroups and descriptors there are."""
    state = service.runtimes["only"].prepared.profile.parents[1]
    return len(groups(state.name)), len(list(Path("/proc/self/fd").iterdir()))


async def test_a_fork_server_that_is_killed_is_replaced_and_meanwhile_evaluations_start_cold(small: Path) -> None:
    async with opened(small) as service:
        await until(lambda: forks(service))
        first = interpreters(service)
        kill(first)
        assert (await evaluate(service)).stdout == "1\n"
        await until(lambda: forks(service) and not first & interpreters(service))
        assert (await evaluate(service)).stdout == "1\n"
        assert reason(service) == ""


@pytest.mark.parametrize("victim", [0, 1, 2], ids=["the first process", "the fork server", "the second generation"])
async def test_an_evaluation_that_is_lost_with_its_fork_server_is_run_again(small: Path, victim: int) -> None:
    results: list[Result] = []
    async with opened(small) as service, anyio.create_task_group() as tasks:
        await until(lambda: forks(service))
        before = held(service)

        async def one() -> None:
            results.append(await evaluate(service, "import time; time.sleep(1); print('done')"))

        while int((await evaluate(service, "import gc; print(gc.get_freeze_count())")).stdout) < SET_ASIDE:
            await evaluate(service)
        tasks.start_soon(one)
        # The run, and for the next ones a fork of the fork server and one of its second generation.
        await until(lambda: len(interpreters(service)) == 6)
        parents = [pid for pid in sorted(interpreters(service)) if descendants(pid)]
        os.kill(parents[victim], signal.SIGKILL)
        await until(lambda: results and forks(service))
        await until(lambda: held(service) == before)
    assert [(result.status, result.stdout) for result in results] == [(Status.OK, "done\n")]


async def test_a_fork_server_that_does_not_answer_is_replaced(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snekhouse.jail.generation.ANSWER_TIMEOUT_S", 0.5)
    async with opened(small) as service:
        await until(lambda: forks(service))
        first = interpreters(service)
        for pid in first:
            os.kill(pid, signal.SIGSTOP)
        assert (await evaluate(service)).stdout == "1\n"
        await until(lambda: forks(service) and not first & interpreters(service))


async def test_a_fork_server_that_has_served_long_enough_is_replaced(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "RUN_LIMIT", 5)
    seeds: set[str] = set()
    async with opened(small) as service:
        await until(lambda: forks(service))
        with anyio.fail_after(20):
            while len(seeds) < 4:
                result = await evaluate(service, "print(hash('x'))")
                assert result.status is Status.OK
                seeds.add(result.stdout)
        await until(lambda: len(interpreters(service)) == 3)


async def test_a_fork_that_the_host_refuses_costs_no_other_evaluation(small: Path) -> None:
    found: list[Result] = []
    async with opened(small) as service, anyio.create_task_group() as tasks:
        await until(lambda: forks(service))
        await evaluate(service)  # and a spare is forked
        before = interpreters(service)

        async def run() -> None:
            found.append(await evaluate(service, "print('once', flush=True); __import__('time').sleep(2)"))

        tasks.start_soon(run)
        await anyio.sleep(0.3)
        limits = {pid: resource.prlimit(pid, resource.RLIMIT_NPROC) for pid in interpreters(service)}
        for pid in limits:
            resource.prlimit(pid, resource.RLIMIT_NPROC, (0, limits[pid][1]))
        for _ in range(3):
            assert (await evaluate(service)).stdout == "1\n"
        for pid, limit in limits.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NPROC, limit)
        for _ in range(3):
            assert (await evaluate(service)).stdout == "1\n"
        assert before & interpreters(service), "the fork server was replaced"
    assert (found[0].status, found[0].stdout) == (Status.OK, "once\n")


async def test_a_spare_that_was_killed_is_not_used(small: Path) -> None:
    async with opened(small) as service:
        await until(lambda: forks(service))
        await evaluate(service)
        await anyio.sleep(0.2)
        spares = [pid for pid in interpreters(service) if not list(descendants(pid))]
        kill(spares)
        await anyio.sleep(0.2)
        result = await evaluate(service)
        assert (result.status, result.stdout) == (Status.OK, "1\n")


async def test_an_evaluation_of_the_second_generation_outlives_the_replacement(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import gc, time; print(gc.get_freeze_count(), flush=True); time.sleep(2)"
    found: list[Result] = []
    async with opened(small) as service, anyio.create_task_group() as tasks:
        with anyio.fail_after(20):
            while int((await evaluate(service, code.replace("(2)", "(0)"))).stdout) < SET_ASIDE:
                pass
        before = interpreters(service)

        async def run() -> None:
            found.append(await evaluate(service, code))

        tasks.start_soon(run)
        await anyio.sleep(0.5)
        monkeypatch.setattr(supervisor, "RUN_LIMIT", 1)
        await evaluate(service)
        await until(lambda: interpreters(service) - before)
        monkeypatch.undo()
    assert found[0].status is Status.OK
    assert int(found[0].stdout) >= SET_ASIDE, "it was lost, and started again without modules set aside"


async def test_a_preparation_that_is_given_up_leaves_no_fork_server(small: Path) -> None:
    async with opened(small) as service:
        await until(lambda: forks(service))
        await anyio.sleep(0.5)
        before = len(list(descendants(os.getpid())))
        for seconds in (0.02, 0.1, 0.2, 0.3):
            with anyio.move_on_after(seconds):
                await service.renew("only")
        await until(lambda: len(list(descendants(os.getpid()))) <= before)
        assert (await evaluate(service)).status is Status.OK


async def test_a_fork_server_that_cannot_be_replaced_goes_on_serving(
    small: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor, "RUN_LIMIT", 1)
    async with opened(small) as service:
        await until(lambda: forks(service))
        service.runtimes["only"].prepared.fork_server_profile.unlink()
        for _ in range(2):
            assert (await evaluate(service)).status is Status.OK
        await until(lambda: "its fork server cannot be replaced" in caplog.text)
        assert forks(service)
        assert reason(service) == ""
    assert "start cold" not in caplog.text


async def test_packages_are_seen_at_once_and_by_the_next_fork_server(small: Path) -> None:
    code = "import fresh_module; print(fresh_module.x)"
    async with opened(small) as service:
        await until(lambda: forks(service))
        ready = service.runtimes["only"]
        first = interpreters(service)
        assert ready.probe
        folder = site_on_host(ready.runtime, ready.probe.user_site)
        assert folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "fresh_module.py").write_text("x = 1")
        assert (await evaluate(service, code)).stdout == "1\n"
        await until(lambda: forks(service) and not first & interpreters(service))
        assert (await evaluate(service, code)).stdout == "1\n"
        (folder / "fresh_module.py").unlink()


async def test_one_that_dies_again_and_again_is_started_with_pauses(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "PAUSES_S", (0.01, 30.0))
    async with opened(small) as service:
        for _ in range(2):
            await until(lambda: forks(service))
            kill(interpreters(service))
            await until(lambda: not forks(service))
        await anyio.sleep(0.5)
        assert not forks(service)
        assert "lost" in reason(service)
        assert (await evaluate(service)).stdout == "1\n"


async def test_a_module_that_cannot_be_imported_ahead_is_told(small: Path) -> None:
    async with opened(small, preload=("no.such.module",)) as service:
        await until(lambda: "ModuleNotFoundError: No module named 'no'" in reason(service))
        assert (await evaluate(service)).stdout == "1\n"


async def test_what_the_body_of_a_house_raises_comes_out_as_it_is(small: Path) -> None:
    with pytest.raises(KeyError):
        async with opened(small):
            raise KeyError


async def test_an_interpreter_without_ctypes_starts_cold(small: Path) -> None:
    async with opened(small, start="cold") as service:
        file = (await evaluate(service, "import _ctypes; print(_ctypes.__file__)")).stdout.strip()
    mounts = load(small).runtimes["only"].mounts
    hidden = mounts[0].model_copy(update={"source": "/dev/null", "target": file})
    async with opened(small, mounts=(*mounts, hidden)) as service:
        await until(lambda: "_ctypes" in reason(service))
        assert (await evaluate(service)).stdout == "1\n"


async def test_limits_of_a_request_apply_to_a_fork(small: Path) -> None:
    async with opened(small) as service:
        await until(lambda: forks(service))
        runtime = service.registry.runtimes["only"]
        small_limits = runtime.limits.model_copy(update={"memory": 16 << 20, "processes": 2})
        result = await service.evaluate(runtime, Job(args=("-c", "x = b'x' * (32 << 20)"), limits=small_limits))
        assert result.status is Status.OUT_OF_MEMORY
        code = "import os\nos.fork() or os._exit(0)\nn = 0\ntry:\n  while os.fork(): n += 1\n  import time; time.sleep(9)\nexcept OSError: print(n)"
        result = await service.evaluate(runtime, Job(args=("-c", code), limits=small_limits))
        assert result.stdout == "0\n"
        assert (await evaluate(service, "x = b'x' * (32 << 20); print(1)")).stdout == "1\n"


WITHOUT_UNSHARE = """
import ctypes, os, sys
from snekhouse.profile.bpf import compile_filter
from snekhouse.profile.seccomp_rules import ALLOW, Group, always
policy = compile_filter((Group('refused', '', (always(1, 'unshare'),)),), default=ALLOW)
program = (len(policy) // 8).to_bytes(8, 'little') + ctypes.addressof(kept := ctypes.create_string_buffer(policy)).to_bytes(8, 'little')
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
from snekhouse.cli import main
main()
"""


async def test_where_the_kernel_refuses_every_request_is_answered_cold(small: Path, tmp_path: Path) -> None:
    wrapper = (sys.executable, "-c", WITHOUT_UNSHARE)
    with running_server(small, tmp_path / "log", command=wrapper) as server:
        deadline = time.monotonic() + 10
        while "unshare" not in (listed := server.client.get("/runtimes").json()["runtimes"][0])["start_reason"]:
            assert time.monotonic() < deadline, listed
            assert server.client.post("/eval", json={"input": "print(1)"}).json()["stdout"] == "1\n"
        assert listed["start"] == "cold"
        assert server.client.post("/eval", json={"input": "print(1)"}).json()["stdout"] == "1\n"
    assert "evaluations start cold" in (tmp_path / "log").read_text()


async def test_the_list_tells_that_evaluations_fork(small: Path, tmp_path: Path) -> None:
    with running_server(small, tmp_path / "log") as server:
        await_fork_servers(server.client)
        listed = server.client.get("/runtimes").json()["runtimes"][0]
        assert (listed["start"], listed["start_reason"]) == ("fork", "")
